# SPDX-License-Identifier: Apache-2.0
"""Layers whose defaults are PyTorch's, the framework of the paper's reference weights.

MindSpore differs in bias, padding, epsilon and initialisation; every other file of this folder builds on these so
that the differences are settled once.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import HeNormal, Normal, Uniform, XavierUniform, initializer

NORM_EPSILON = 1e-5


class Linear(nn.Dense):
    """`x @ weight.T + bias` over the last axis, for any number of leading axes.

    The first axis is never named in a reshape, so that graphs export with a dynamic batch. Weights start as in
    PyTorch: uniform within 1 / sqrt(fan_in), where `fan_in` is `in_features` unless said otherwise, or Xavier uniform
    with zero bias where `xavier` (which PyTorch's attention uses for its joint query, key and value product).
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, fan_in: Optional[int] = None,
                 xavier: bool = False, zero_bias: bool = False) -> None:
        start = Uniform(1 / math.sqrt(fan_in or in_features))
        super().__init__(in_features, out_features, weight_init=XavierUniform() if xavier else start,
                         bias_init="zeros" if xavier or zero_bias else start, has_bias=bias)
        self.adder: Optional[nn.Cell] = None

    def add_bias_by(self, adder: nn.Cell) -> None:
        """From now on `adder`, a `row_norm.AddBias`, adds the bias."""
        self.adder = adder

    def construct(self, x: Tensor) -> Tensor:
        inner = x.shape[1:-1]  # known sizes; only the first axis may be dynamic
        x = self.matmul(x.reshape((-1, self.in_channels)), self.weight)  # (rows, out)
        if self.has_bias:
            x = x + self.bias if self.adder is None else self.adder(x, self.bias)
        return x.reshape((-1, *inner, self.out_channels))  # (..., out)


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that pads by (kernel - 1) / 2, initialised as torchvision's ResNet."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, pad_mode="pad", padding=(kernel - 1) // 2,
                     has_bias=False, weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))


def batch_norm(channels: int, *, frozen: bool = False) -> nn.BatchNorm2d:
    """Batch normalisation; MindSpore's momentum 0.9 is PyTorch's 0.1. Frozen: stored statistics even in training."""
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=0.9, use_batch_statistics=False if frozen else None)


def layer_norm(width: int) -> nn.LayerNorm:
    """Normalisation over the last axis, with PyTorch's epsilon instead of MindSpore's 1e-7."""
    return nn.LayerNorm((width,), epsilon=NORM_EPSILON)


def position(shape: Tuple[int, ...]) -> Parameter:
    """A learnable position code (eq. 1), drawn from a normal distribution of deviation 0.02."""
    return Parameter(initializer(Normal(0.02), shape, ms.float32), name="position")


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis, computed in float32 and given back in the precision of `scores`."""
    return ops.softmax(scores.astype(ms.float32), axis=-1).astype(scores.dtype)
