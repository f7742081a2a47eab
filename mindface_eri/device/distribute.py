# SPDX-License-Identifier: Apache-2.0
"""What several processes do together besides averaging gradients. With one process each function changes nothing."""

from __future__ import annotations

from typing import Iterable

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.device.context import Context


class _Sum(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.reduce = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        return self.reduce(x)


def sum_over_ranks(values: np.ndarray, context: Context) -> np.ndarray:
    """The elementwise sum of every process's array, float32."""
    if context.world_size == 1:
        return values
    return _Sum()(Tensor(np.ascontiguousarray(values, np.float32))).asnumpy()


def gather_rows(positions: np.ndarray, rows: np.ndarray, count: int, context: Context) -> np.ndarray:
    """Puts each process's rows (b, E) at their positions of a whole split: (count, E), the same for all.

    No row is repeated on the way: each process adds its rows to zeros, and adding zeros is exact.
    """
    whole = np.zeros((count, rows.shape[1]), np.float32)
    whole[positions] = rows
    return sum_over_ranks(whole, context)


def share_from_main(parameters: Iterable[Parameter], context: Context) -> None:
    """Gives every process the values of rank 0."""
    if context.world_size > 1:
        for parameter in parameters:
            value = parameter.asnumpy()
            shared = sum_over_ranks(value if context.is_main else np.zeros_like(value), context)
            ops.assign(parameter, Tensor(shared.astype(value.dtype).reshape(value.shape)))


def average_over_ranks(parameters: Iterable[Parameter], context: Context) -> None:
    """Averages values that gradients do not keep alike, such as the running statistics of batch normalisation."""
    if context.world_size > 1:
        for parameter in parameters:
            value = parameter.asnumpy()
            mean = sum_over_ranks(value, context) / context.world_size
            ops.assign(parameter, Tensor(mean.astype(value.dtype).reshape(value.shape)))


def wait_for_all(context: Context) -> None:
    """Returns when every process has come here."""
    sum_over_ranks(np.zeros(1, np.float32), context)
