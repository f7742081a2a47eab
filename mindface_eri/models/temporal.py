# SPDX-License-Identifier: Apache-2.0
"""The temporal encoder of either branch: convolutions, then attention over time (paper section 3.4)."""

from __future__ import annotations

from mindspore import Tensor, nn

from mindface_eri.config import ModelConfig
from mindface_eri.models.layers import position
from mindface_eri.models.tcn import TemporalConvNet
from mindface_eri.models.transformer import TransformerEncoder


class TemporalEncoder(nn.Cell):
    """Feature vectors over time (B, T, in) -> (B, T, width); `in` is 256 for video and 1024 for sound in the paper."""

    def __init__(self, in_channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.tcn = TemporalConvNet(in_channels, config.width, config.tcn_kernel, config.tcn_dilations,
                                   dropout=config.dropout)
        self.position = position((1, config.frames, config.width))
        self.encoder = TransformerEncoder(config.width, config.temporal_depth, config.temporal_heads,
                                          ffn_ratio=config.ffn_ratio, dropout=config.dropout)

    def construct(self, x: Tensor) -> Tensor:
        x = self.tcn(x) + self.position  # (B, T, width)
        return self.encoder(x)  # (B, T, width)
