# SPDX-License-Identifier: Apache-2.0
"""The stem's pooling out of operators that every device has in float32 and float16.

Which types MaxPool and its gradient take differs by Ascend generation and by the interface to CANN.
"""

from __future__ import annotations

from typing import Tuple

from mindspore import Tensor, nn, ops


class RowPairMaximum(nn.Cell):
    """The largest of each even row and its two neighbours: non-negative (N, H, W), H even -> (N, H/2, W).

    Rows lie in pairs, so that nothing is gathered. Above the first row are zeros. The gradient goes to the first of
    equal values, as that of MaxPool does on the CPU; written out, since that of `maximum` is many times as slow there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.halves = ops.Split(axis=2, output_num=2)
        self.beside = ops.Concat(axis=2)
        self.below = ops.Concat(axis=1)
        self.zeros = ops.ZerosLike()  # in a gradient, MindSpore cannot compile the function of that name

    def construct(self, x: Tensor) -> Tensor:
        above, even, odd = self._rows(x)
        return ops.maximum(ops.maximum(above, even), odd)

    def bprop(self, x: Tensor, out: Tensor, gradient: Tensor) -> Tuple[Tensor]:
        """What each value of `x` adds to the loss; each value of `out` hands its gradient to one of three."""
        above, even, _ = self._rows(x)
        to_above = gradient * (above >= out).astype(gradient.dtype)  # (N, H/2, W)
        left = gradient - to_above
        to_even = left * (even >= out).astype(gradient.dtype)
        to_odd = left - to_even + self.below((to_above[:, 1:], self.zeros(to_above[:, :1])))
        return (self.beside((to_even, to_odd)).reshape(x.shape),)

    def _rows(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """For each even row the odd one above it, itself and the odd one below, (N, H/2, W) each."""
        height, width = x.shape[1], x.shape[2]
        even, odd = self.halves(x.reshape((-1, height // 2, 2 * width)))
        return self.below((self.zeros(odd[:, :1]), odd[:, :-1])), even, odd


class StemPooling(nn.Cell):
    """Maximum over 3 x 3 cells, stride 2, padding 1: non-negative (N, C, H, W) -> (N, C, H/2, W/2), rounded up.

    The numbers and, up to the order of sums, the gradients of `nn.MaxPool2d` behind a ReLU, where zeros around the maps
    never win over them; of equal values in a window the first, row by row, takes the gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.columns, self.rows = RowPairMaximum(), RowPairMaximum()
        self.turn = ops.Transpose()
        self.beside, self.below = ops.Concat(axis=3), ops.Concat(axis=2)

    def construct(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2:
            x = self.below((x, ops.zeros_like(x[:, :, :1])))
        if x.shape[3] % 2:
            x = self.beside((x, ops.zeros_like(x[:, :, :, :1])))
        channels, height, width = x.shape[1:]  # both even
        x = self.turn(x.reshape((-1, height, width)), (0, 2, 1))  # (N*C, W, H)
        x = self.turn(self.columns(x), (0, 2, 1))  # (N*C, H, W/2)
        return self.rows(x).reshape((-1, channels, height // 2, width // 2))
