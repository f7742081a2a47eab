# SPDX-License-Identifier: Apache-2.0
"""The temporal encoder that the paper adopts (section 3.4, eq. 6) from its reference 3: Chen, Jiang and Sahli,
"Transformer encoder with multi-modal multi-head attention for continuous affect recognition" (TEMMA).

What the paper leaves open stands as their published code has it, in our own words; without their attention mask, since
the paper connects all frames.
"""

from __future__ import annotations

import math
from typing import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindface_eri.config import ModelConfig
from mindface_eri.models.layers import Linear
from mindface_eri.models.tcn import CausalConv1d
from mindface_eri.models.transformer import PreNormEncoder, SelfAttention

POSITION_BASE = 1000.0  # of the slowest sinusoid; their code's, a tenth of the usual


class InverseNorms(nn.Cell):
    """One over the Euclidean norm of each output channel's weights: (kernel * out, in) -> (out,)."""

    def __init__(self, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.out_channels, self.kernel = out_channels, kernel
        self.sum = ops.ReduceSum()

    def construct(self, weight: Tensor) -> Tensor:
        taps = weight.reshape((self.kernel, self.out_channels, -1))  # (kernel, out, in)
        return 1 / ops.sqrt(self.sum(taps * taps, (0, 2)))  # (out,)


class WeightNormConv1d(CausalConv1d):
    """A causal convolution with weight normalisation: (B, T, in) -> (B, T, out).

    The weight of output channel c is `magnitude[c]` times its direction, `product.weight` over that channel's norm.
    Being one factor a channel, it multiplies the sum of the taps instead of the weights, which is less work.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation)
        self.magnitude = Parameter(initializer("ones", (out_channels,), ms.float32), name="magnitude")
        self.inverse_norms = InverseNorms(out_channels, kernel)
        self.affine = None

    def scale_columns(self, affine: nn.Cell) -> None:
        """From now on `affine`, a `row_norm.RowAffine`, scales and shifts the columns."""
        self.affine = affine

    def construct(self, x: Tensor) -> Tensor:
        taps = self.split(self.product(x))  # one (B, T, out) a tap, the oldest first, the last without delay
        y = taps[-1].astype(x.dtype)
        for tap, delay in zip(taps[:-1], self.delays):
            y = y + delay(tap)  # (B, T, out)
        scale = self.magnitude * self.inverse_norms(self.product.weight)  # (out,)
        if self.affine is not None:
            return self.affine(y, scale, self.bias)
        return y * scale.astype(x.dtype) + self.bias.astype(x.dtype)


class ResidualLevel(nn.Cell):
    """Two convolutions of one dilation, each with ReLU and dropout, plus the level's input.

    (B, T, in) -> (B, T, width). Where its width is another, the input comes through a linear layer (a 1 x 1
    convolution).
    """

    def __init__(self, in_channels: int, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = WeightNormConv1d(in_channels, width, kernel, dilation)
        self.conv2 = WeightNormConv1d(width, width, kernel, dilation)
        self.shortcut = nn.Identity() if in_channels == width else Linear(in_channels, width)
        self.relu = nn.ReLU()
        self.dropout1 = nn.Dropout(p=dropout)
        self.dropout2 = nn.Dropout(p=dropout)

    def construct(self, x: Tensor) -> Tensor:
        y = self.dropout1(self.relu(self.conv1(x)))  # (B, T, width)
        y = self.dropout2(self.relu(self.conv2(y)))
        return self.relu(y + self.shortcut(x))


class ResidualConvNet(nn.Cell):
    """A level for each dilation: (B, T, in) -> (B, T, width).

    `receptive_field` counts the instants that an output depends on: 1 + 2 * (kernel - 1) * sum(dilations), 125 for the
    default dilations 1, 2, 4, 8, 16.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, dilations: Sequence[int], *,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.receptive_field = 1 + 2 * (kernel - 1) * sum(dilations)
        widths = (in_channels, *(width for _ in dilations))
        self.levels = nn.SequentialCell([ResidualLevel(widths[i], width, kernel, dilation, dropout)
                                         for i, dilation in enumerate(dilations)])

    def construct(self, x: Tensor) -> Tensor:
        return self.levels(x)  # (B, T, width)


class TemmaEncoder(nn.Cell):
    """Feature vectors over time (B, T, in) -> (B, T, width); `in` is 256 for video and 1024 for sound in the paper."""

    def __init__(self, in_channels: int, config: ModelConfig) -> None:
        super().__init__()
        ffn_ratio, dropout = config.temporal_settings
        self.tcn = ResidualConvNet(in_channels, config.width, config.tcn_kernel, config.tcn_dilations, dropout=dropout)
        self.scale = math.sqrt(config.width)
        self.position = Tensor(sinusoids(config.frames, config.width))  # (T, width)
        self.dropout = nn.Dropout(p=dropout)
        self.encoder = PreNormEncoder(config.width, config.temporal_depth, config.temporal_heads, ffn_ratio=ffn_ratio,
                                      dropout=dropout)
        _start_as_published(self)

    def construct(self, x: Tensor) -> Tensor:
        x = self.dropout(self.tcn(x) * self.scale + self.position)  # (B, T, width)
        return self.encoder(x)  # (B, T, width)


def sinusoids(length: int, width: int) -> np.ndarray:
    """Position codes (length, width) float32: sine and cosine by turns, each pair slower than the one before it."""
    angles = np.arange(length)[:, None] / POSITION_BASE ** (np.arange(0, width, 2) / width)  # (length, pairs)
    codes = np.stack([np.sin(angles), np.cos(angles)], axis=2)  # (length, pairs, 2)
    return codes.reshape(length, -1)[:, :width].astype(np.float32)


def _start_as_published(encoder: nn.Cell) -> None:
    """Xavier uniform for all that has two or more dimensions there, the magnitudes (out, 1, 1) among it.

    Biases start as PyTorch's layers have them, those of the attention too, which is made of four plain layers there.
    """
    cells = [cell for _, cell in encoder.cells_and_names()]
    for cell in cells:
        if isinstance(cell, Linear):
            _draw(cell.weight, _xavier(cell.in_channels, cell.out_channels))
    for cell in cells:  # whose layers stand for several matrices of theirs
        if isinstance(cell, WeightNormConv1d):
            outputs, kernel = cell.inverse_norms.out_channels, cell.inverse_norms.kernel
            _draw(cell.product.weight, _xavier(kernel * cell.product.in_channels, kernel * outputs))
            _draw(cell.magnitude, _xavier(1, outputs))
        elif isinstance(cell, SelfAttention):
            width = cell.out.in_channels
            _draw(cell.qkv.weight, _xavier(width, width))
            _draw(cell.qkv.bias, 1 / math.sqrt(width))
            _draw(cell.out.bias, 1 / math.sqrt(width))


def _xavier(inputs: int, outputs: int) -> float:
    return math.sqrt(6 / (inputs + outputs))


def _draw(parameter: Parameter, bound: float) -> None:
    parameter.set_data(initializer(Uniform(bound), parameter.shape, ms.float32).init_data())
