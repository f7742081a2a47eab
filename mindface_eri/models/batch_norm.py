# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation over the batch of all processes, for training on several devices."""

from __future__ import annotations

from typing import List

import mindspore as ms
from mindspore import nn, ops

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)  # nn.BatchNorm3d holds one of them


class GlobalBatchNorm(nn.Cell):
    """What `ops.BatchNorm` computes in training, with the statistics of all processes' batches, which may differ in
    size.

    (x (N, C, ...), gamma, beta, moving mean, moving variance, each (C,)) -> (y (N, C, ...),). The variance is the mean
    of squared differences from the mean, which costs a second sum over the processes, but no digits where the mean is
    far from zero. Everything is float32 but x and y.
    """

    def __init__(self, epsilon: float, momentum: float) -> None:
        """`momentum` is the share of the new in the running statistics."""
        super().__init__(auto_prefix=False)
        self.epsilon, self.momentum = epsilon, momentum
        self.all_reduce = ops.AllReduce()  # its gradient is the sum of all processes' gradients
        self.sum = ops.ReduceSum()
        self.concat = ops.Concat()

    def construct(self, x, gamma, beta, moving_mean, moving_variance):
        """Also moves the running statistics towards those of this batch."""
        precision, shape, values = x.dtype, x.shape, x.size // x.shape[1]
        x = x.astype(ms.float32).reshape((x.shape[0], x.shape[1], -1))  # (N, C, positions)
        sums = self._sum(x)  # (C,)
        sums = self.all_reduce(self.concat((sums, ops.ones_like(sums[:1]) * values)))  # (C + 1,)
        count, mean = sums[-1:], sums[:-1] / sums[-1:]  # (1,), (C,)
        centred = x - mean.reshape((1, -1, 1))  # (N, C, positions)
        variance = self.all_reduce(self._sum(centred * centred)) / count  # (C,)
        y = centred * (gamma / ops.sqrt(variance + self.epsilon)).reshape((1, -1, 1)) + beta.reshape((1, -1, 1))
        y = ops.depend(y, self._remember(moving_mean, ops.stop_gradient(mean)))
        unbiased = ops.stop_gradient(variance * count / ops.maximum(count - 1.0, 1.0))
        y = ops.depend(y, self._remember(moving_variance, unbiased))
        return (y.reshape(shape).astype(precision),)

    def _sum(self, x):
        """(N, C, positions) -> (C,), first each channel's own, which keeps more digits than one long sum."""
        return self.sum(self.sum(x, 2), 0)

    def _remember(self, running, new):
        return ops.assign(running, running * (1.0 - self.momentum) + new * self.momentum)


def has_batch_statistics(network: nn.Cell) -> bool:
    """Whether a Cell of `network` normalises by the statistics of a batch in training."""
    return bool(norms_of(network))


def share_batch_statistics(network: nn.Cell) -> nn.Cell:
    """Lets every `nn.BatchNorm` of `network` take the statistics of all processes' batches in training, in place.

    Parameters, their names and inference stay as they are. A frozen one, which uses its stored statistics, does too.

    Returns:
        The same network.
    """
    for norm in norms_of(network):
        norm.bn_train = GlobalBatchNorm(norm.eps, norm.momentum)  # what its `construct` calls in training
    return network


def norms_of(network: nn.Cell) -> List[nn.Cell]:
    """Every batch normalisation of `network` that normalises by the statistics of a batch in training."""
    return [cell for _, cell in network.cells_and_names()
            if isinstance(cell, _NORMS) and cell.use_batch_statistics is not False]
