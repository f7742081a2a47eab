# SPDX-License-Identifier: Apache-2.0
"""The temporal convolutional network: causal dilated convolutions (paper section 3.4, eq. 6)."""

from __future__ import annotations

import math
from typing import Sequence

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindface_eri.models.layers import Linear


class Delay(nn.Cell):
    """A sequence (B, T, C) `steps` instants later, with zeros before it; same length out.

    Joining zeros on is many times as fast on the CPU as `nn.Pad`.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.concat = ops.Concat(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        if self.steps >= x.shape[1]:  # nothing but the zeros before the sequence
            return ops.zeros_like(x)
        before = ops.zeros_like(x[:, :self.steps])  # (B, steps, C)
        return self.concat((before, x[:, :x.shape[1] - self.steps]))  # (B, T, C)


class CausalConv1d(nn.Cell):
    """Output t is a linear map of inputs t, t - dilation, ..., t - (kernel - 1) * dilation (eq. 6).

    (B, T, in) -> (B, T, out). One matrix product applies all taps to each instant; then each tap's result is delayed
    and all are summed. Delaying results instead of inputs moves the narrow side of the layer (the first layer takes
    1024 channels and gives 128), and neither a convolution kernel nor a transpose is needed. The weight is
    (kernel * out, in), the oldest tap first, which is PyTorch's (out, in, kernel) with its last axis put first.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        fan_in = kernel * in_channels
        self.dilation = dilation
        self.product = Linear(in_channels, kernel * out_channels, fan_in=fan_in, bias=False)
        self.bias = Parameter(initializer(Uniform(1 / math.sqrt(fan_in)), (out_channels,), ms.float32), name="bias")
        self.split = ops.Split(axis=2, output_num=kernel)
        self.delays = nn.CellList([Delay((kernel - 1 - tap) * dilation) for tap in range(kernel - 1)])

    def construct(self, x: Tensor) -> Tensor:
        taps = self.split(self.product(x))  # one (B, T, out) a tap, the oldest first, the last without delay
        y = taps[-1] + self.bias.astype(x.dtype)
        for tap, delay in zip(taps[:-1], self.delays):
            y = y + delay(tap)  # (B, T, out)
        return y


class TemporalConvNet(nn.Cell):
    """One causal convolution for each dilation, each with ReLU and dropout after it: (B, T, in) -> (B, T, width).

    `receptive_field` counts the instants that an output depends on: 1 + (kernel - 1) * sum(dilations), 63 for the
    default dilations 1, 2, 4, 8, 16, which covers the paper's 32 frames.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, dilations: Sequence[int], *,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.receptive_field = 1 + (kernel - 1) * sum(dilations)
        widths = (in_channels, *(width for _ in dilations))
        self.convolutions = nn.CellList([CausalConv1d(widths[i], width, kernel, dilation)
                                         for i, dilation in enumerate(dilations)])
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=dropout)

    def construct(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = self.dropout(self.relu(convolution(x)))  # (B, T, width)
        return x
