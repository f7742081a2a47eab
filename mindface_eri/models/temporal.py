# SPDX-License-Identifier: Apache-2.0
"""The temporal encoder of a branch: convolutions, then attention over time (paper section 3.4).

`model.temporal` chooses it: `temma`, which the paper adopts, or `plain`, which version 0.1 had.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from mindface_eri.config import ModelConfig
from mindface_eri.models.layers import position
from mindface_eri.models.tcn import TemporalConvNet
from mindface_eri.models.temma import TemmaEncoder
from mindface_eri.models.transformer import TransformerEncoder


def temporal_encoder(in_channels: int, config: ModelConfig) -> nn.Cell:
    """The encoder that `config.temporal` names: feature vectors over time (B, T, in) -> (B, T, width)."""
    return (TemmaEncoder if config.temporal == "temma" else TemporalEncoder)(in_channels, config)


class TemporalEncoder(nn.Cell):
    """The plain one (B, T, in) -> (B, T, width): bare convolutions, learned positions, blocks that normalise last."""

    def __init__(self, in_channels: int, config: ModelConfig) -> None:
        super().__init__()
        ffn_ratio, dropout = config.temporal_settings
        self.tcn = TemporalConvNet(in_channels, config.width, config.tcn_kernel, config.tcn_dilations,
                                   dropout=dropout)
        self.position = position((1, config.frames, config.width))
        self.encoder = TransformerEncoder(config.width, config.temporal_depth, config.temporal_heads,
                                          ffn_ratio=ffn_ratio, dropout=dropout)

    def construct(self, x: Tensor) -> Tensor:
        x = self.tcn(x) + self.position  # (B, T, width)
        return self.encoder(x)  # (B, T, width)
