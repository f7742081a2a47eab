# SPDX-License-Identifier: Apache-2.0
"""The spatial encoder: attention among the positions of a frame's feature map (paper section 3.2, eqs. 1 to 5)."""

from __future__ import annotations

from typing import Tuple

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import position
from mindface_eri.models.pooling import AttentionPooling
from mindface_eri.models.transformer import TransformerEncoder


class SpatialEncoder(nn.Cell):
    """Feature maps (N, C, H, W) -> one vector a frame (N, C) and its spatial weights (N, H * W).

    Args:
        channels: C; 256 in the paper.
        tokens: H * W; 49 in the paper.
    """

    def __init__(self, channels: int, tokens: int, depth: int, heads: int, *, ffn_ratio: float = 4.0,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.tokens = tokens
        self.position = position((1, tokens, channels))  # eq. 1
        self.encoder = TransformerEncoder(channels, depth, heads, ffn_ratio=ffn_ratio, dropout=dropout)
        self.pooling = AttentionPooling(channels)
        self.transpose = ops.Transpose()

    def construct(self, maps: Tensor) -> Tuple[Tensor, Tensor]:
        tokens = maps.reshape((-1, self.channels, self.tokens))  # (N, C, H * W)
        tokens = self.transpose(tokens, (0, 2, 1))  # (N, H * W, C)
        tokens = self.encoder(tokens + self.position)  # (N, H * W, C), eq. 2
        return self.pooling(tokens)  # (N, C), (N, H * W)
