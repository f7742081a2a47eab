# SPDX-License-Identifier: Apache-2.0
"""What several processes do together besides training steps. With one process each function changes nothing."""

from __future__ import annotations

from typing import Iterable, List

import numpy as np
from mindspore import Parameter, Tensor, ops

from mindface_eri.device.context import Context


def sum_over_ranks(values: np.ndarray, context: Context) -> np.ndarray:
    """The elementwise sum of every process's array, float32."""
    if context.world_size == 1:
        return values
    return ops.AllReduce()(Tensor(np.ascontiguousarray(values, np.float32))).asnumpy()  # in no graph: nothing compiles


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
        parameters = list(parameters)
        values = [parameter.asnumpy() for parameter in parameters]
        given = values if context.is_main else [np.zeros_like(value) for value in values]
        _assign(parameters, _sum_bucket(given, context))


def average_over_ranks(parameters: Iterable[Parameter], context: Context) -> None:
    """Gives every process the mean of all processes' values."""
    if context.world_size > 1:
        parameters = list(parameters)
        sums = _sum_bucket([parameter.asnumpy() for parameter in parameters], context)
        _assign(parameters, [value / context.world_size for value in sums])


def mean_over_ranks(value: float, context: Context) -> float:
    """The mean of every process's number."""
    return float(sum_over_ranks(np.array([value]), context)[0]) / context.world_size


def _sum_bucket(values: List[np.ndarray], context: Context) -> List[np.ndarray]:
    """`sum_over_ranks` of many arrays as one: a message instead of one for each."""
    if not values:
        return []
    whole = sum_over_ranks(np.concatenate([value.ravel() for value in values]), context)
    ends = np.cumsum([value.size for value in values])
    return [part.reshape(value.shape) for part, value in zip(np.split(whole, ends[:-1]), values)]


def _assign(parameters: List[Parameter], values: List[np.ndarray]) -> None:
    for parameter, value in zip(parameters, values):
        ops.assign(parameter, Tensor(value.astype(parameter.asnumpy().dtype)))


def wait_for_all(context: Context) -> None:
    """Returns when every process has come here."""
    sum_over_ranks(np.zeros(1, np.float32), context)
