# SPDX-License-Identifier: Apache-2.0
"""Attention pooling: a learned weighted mean over a sequence (paper eqs. 3 to 5)."""

from __future__ import annotations

from typing import Tuple

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import Linear, softmax


class AttentionPooling(nn.Cell):
    """Sequence (B, N, D) -> its weighted mean (B, D) and the weights (B, N), which sum to one.

    A fully connected layer scores each element (eq. 3), a softmax over the N scores makes weights (eq. 4) and the
    elements are summed by weight (eq. 5).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.score = Linear(width, 1)
        self.weigh = ops.BatchMatMul()

    def construct(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        scores = self.score(x).reshape((-1, x.shape[1]))  # (B, N)
        weights = softmax(scores).astype(x.dtype)  # (B, N)
        pooled = self.weigh(weights.reshape((-1, 1, x.shape[1])), x)  # (B, 1, D)
        return pooled.reshape((-1, self.width)), weights  # (B, D), (B, N)


class RegressionHead(nn.Cell):
    """Features over time (B, T, D) -> intensities (B, E) in (0, 1) and the temporal weights (B, T)."""

    def __init__(self, width: int, emotions: int) -> None:
        super().__init__()
        self.pooling = AttentionPooling(width)
        self.regression = Linear(width, emotions)
        self.sigmoid = nn.Sigmoid()

    def construct(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        pooled, weights = self.pooling(features)  # (B, D), (B, T)
        # In float32 whatever the precision of the rest: half precision would round intensities near 1 to 1.
        logits = self.regression(pooled).astype("float32")  # (B, E)
        return self.sigmoid(logits), weights  # (B, E), (B, T)
