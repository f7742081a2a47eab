# SPDX-License-Identifier: Apache-2.0
"""Dropout whose masks repeat with the seed on the CPU, where MindSpore's own do not.

Why its kernel's masks do not repeat is inferred: threads share a mask, and their number is picked by their speed.
Its kernel of the normal distribution draws one number after the other: slower, but the same for the same seed.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import List

import mindspore as ms
from mindspore import nn, ops


class SeededDropout(nn.Cell):
    """What `ops.Dropout` gives, x of any shape -> (x / keep where kept and else zero, mask).

    A value is kept where a normal draw is below the quantile `keep`. `seed` and `number` (from 1) set the draws.
    """

    def __init__(self, drop: float, seed: int, number: int) -> None:
        super().__init__(auto_prefix=False)
        self.quantile, self.scale = NormalDist().inv_cdf(1.0 - drop), 1.0 / (1.0 - drop)
        self.draw = ops.StandardNormal(seed, number)

    def construct(self, x):
        mask = (self.draw(x.shape) < self.quantile).astype(x.dtype)
        return x * mask * ops.cast(self.scale, x.dtype), ops.cast(mask, ms.bool_)


def active_dropout(network: nn.Cell) -> List[nn.Dropout]:
    """Every `nn.Dropout` of `network` that drops something in training."""
    return [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.Dropout) and cell.p]


def seed_dropout(network: nn.Cell, seed: int) -> nn.Cell:
    """Lets every `nn.Dropout` of `network` draw what `seed` says, in place; at inference they do nothing, as ever.

    Returns:
        The same network.
    """
    for number, cell in enumerate(active_dropout(network), start=1):
        cell.dropout = SeededDropout(cell.p, seed, number)  # what its `construct` calls in training
    return network
