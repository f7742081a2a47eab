# SPDX-License-Identifier: Apache-2.0
"""The transformer encoder that both the spatial and the temporal part use (paper sections 3.2 and 3.4).

The paper does not say where it normalises. `TransformerEncoder` does after each residual sum, as the original
transformer and PyTorch by default; `PreNormEncoder` before each part, as the paper's reference 3.
"""

from __future__ import annotations

import math

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import Linear, layer_norm, softmax


class SelfAttention(nn.Cell):
    """Multi-head attention of a sequence (B, N, D) over itself; query, key and value come from one matrix product."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.scale = 1 / math.sqrt(self.head_width)
        self.qkv = Linear(width, 3 * width, xavier=True)
        self.out = Linear(width, width, zero_bias=True)
        self.dropout = nn.Dropout(p=dropout)
        self.split = ops.Split(axis=2, output_num=3)
        self.transpose = ops.Transpose()
        self.similarity = ops.BatchMatMul(transpose_b=True)
        self.weigh = ops.BatchMatMul()

    def construct(self, x: Tensor) -> Tensor:
        return self.attend(self.qkv(x))  # (B, N, D)

    def attend(self, qkv: Tensor) -> Tensor:
        """Query, key and value side by side (B, N, 3 * D) -> (B, N, D)."""
        tokens = qkv.shape[1]
        query, key, value = self.split(qkv)  # each (B, N, D)
        query, key, value = self._heads(query * self.scale), self._heads(key), self._heads(value)  # each (B, h, N, D/h)
        weights = self.dropout(softmax(self.similarity(query, key)))  # (B, h, N, N)
        x = self.transpose(self.weigh(weights, value), (0, 2, 1, 3))  # (B, N, h, D/h)
        return self.out(x.reshape((-1, tokens, self.heads * self.head_width)))  # (B, N, D)

    def _heads(self, x: Tensor) -> Tensor:
        x = x.reshape((-1, x.shape[1], self.heads, self.head_width))  # (B, N, h, D/h)
        return self.transpose(x, (0, 2, 1, 3))  # (B, h, N, D/h)


class EncoderBlock(nn.Cell):
    """Self-attention and a feed-forward network, each with dropout, residual sum and normalisation after it."""

    def __init__(self, width: int, heads: int, ffn_width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, dropout)
        self.norm1 = layer_norm(width)
        self.linear1 = Linear(width, ffn_width)
        self.linear2 = Linear(ffn_width, width)
        self.norm2 = layer_norm(width)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=dropout)
        self.dropout1 = nn.Dropout(p=dropout)
        self.dropout2 = nn.Dropout(p=dropout)

    def construct(self, x: Tensor) -> Tensor:
        precision = x.dtype
        x = self.norm1(x + self.dropout1(self.attention(x))).astype(precision)  # (B, N, D)
        hidden = self.dropout(self.relu(self.linear1(x)))  # (B, N, ffn)
        return self.norm2(x + self.dropout2(self.linear2(hidden))).astype(precision)  # (B, N, D)


class PreNormBlock(EncoderBlock):
    """The same parts, each with normalisation before it: x + dropout(part(norm(x)))."""

    def __init__(self, width: int, heads: int, ffn_width: int, dropout: float = 0.0) -> None:
        super().__init__(width, heads, ffn_width, dropout)
        self.normed = None

    def fold_norms(self, normed: nn.Cell) -> None:
        """From now on `normed`, a `row_norm.NormedProjection`, stands for each norm and the projection behind it."""
        self.normed = normed

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.dropout1(self._attention(x))  # (B, N, D)
        hidden = self.dropout(self.relu(self._linear1(x)))  # (B, N, ffn)
        return x + self.dropout2(self.linear2(hidden))  # (B, N, D)

    def _attention(self, x: Tensor) -> Tensor:
        if self.normed is None:
            return self.attention(self.norm1(x).astype(x.dtype))  # (B, N, D)
        qkv, _, _ = self.normed(x, self.norm1.gamma, self.norm1.beta, self.attention.qkv.weight,
                                self.attention.qkv.bias)  # (B, N, 3 * D)
        return self.attention.attend(qkv)

    def _linear1(self, x: Tensor) -> Tensor:
        if self.normed is None:
            return self.linear1(self.norm2(x).astype(x.dtype))  # (B, N, ffn)
        y, _, _ = self.normed(x, self.norm2.gamma, self.norm2.beta, self.linear1.weight, self.linear1.bias)
        return y


class TransformerEncoder(nn.Cell):
    """`depth` blocks over a sequence (B, N, D), same shape out. Every token sees every other; order comes from
    position codes added by the caller."""

    block = EncoderBlock

    def __init__(self, width: int, depth: int, heads: int, *, ffn_ratio: float = 4.0, dropout: float = 0.0) -> None:
        super().__init__()
        ffn_width = max(1, round(width * ffn_ratio))
        self.blocks = nn.SequentialCell([self.block(width, heads, ffn_width, dropout) for _ in range(depth)])

    def construct(self, x: Tensor) -> Tensor:
        return self.blocks(x)  # (B, N, D)


class PreNormEncoder(TransformerEncoder):
    """Blocks that normalise before each part, and a last normalisation of what they sum up."""

    block = PreNormBlock

    def __init__(self, width: int, depth: int, heads: int, *, ffn_ratio: float = 4.0, dropout: float = 0.0) -> None:
        super().__init__(width, depth, heads, ffn_ratio=ffn_ratio, dropout=dropout)
        self.norm = layer_norm(width)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(x)).astype(x.dtype)  # (B, N, D)
