# SPDX-License-Identifier: Apache-2.0
"""The paper's mean squared error and two losses that follow the metric."""

from __future__ import annotations

from typing import Tuple

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindface_eri.plugins import Registry

LOSSES = Registry("loss")
register_loss = LOSSES.register  # a decorator: the class's Cell is called as those below
_EPSILON = 1e-6  # added to variances: a batch of equal labels gives a finite gradient


@register_loss("mse")
class MSELoss(nn.Cell):
    """Mean squared error over clips and emotions (paper eq. 9)."""

    mean_over_clips = True

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32."""
        difference = ops.cast(predictions, ms.float32) - ops.cast(labels, ms.float32)
        return ops.reduce_mean(difference * difference)


@register_loss("pearson")
class PearsonLoss(nn.Cell):
    """One minus the mean over emotions of Pearson's correlation within the batch; not in the paper.

    It is a surrogate: the metric itself is computed over a whole split. Batches below about 16 clips make it noisy.
    """

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32 in [0, 2]."""
        x, y = _centred(predictions), _centred(labels)
        covariance = ops.reduce_mean(x * y, 0)  # (E,)
        scale = ops.sqrt((ops.reduce_mean(x * x, 0) + _EPSILON) * (ops.reduce_mean(y * y, 0) + _EPSILON))
        return 1.0 - ops.reduce_mean(covariance / scale)


@register_loss("ccc")
class CCCLoss(nn.Cell):
    """One minus the mean over emotions of Lin's concordance correlation within the batch; not in the paper.

    Unlike `PearsonLoss` it also holds the mean and the spread of the predictions to those of the labels.
    """

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32 in [0, 2]."""
        x, y = _centred(predictions), _centred(labels)
        gap = ops.reduce_mean(ops.cast(predictions, ms.float32) - ops.cast(labels, ms.float32), 0)  # (E,)
        spread = ops.reduce_mean(x * x, 0) + ops.reduce_mean(y * y, 0) + gap * gap + _EPSILON
        return 1.0 - ops.reduce_mean(2.0 * ops.reduce_mean(x * y, 0) / spread)


def list_losses() -> Tuple[str, ...]:
    """Names that `create_loss` takes."""
    return LOSSES.names()


def create_loss(name: str = "mse") -> nn.Cell:
    """A loss Cell by name; also usable as `mindspore.train.Model(loss_fn=...)`.

    Raises:
        ConfigError: no loss has this name.
    """
    return LOSSES.find(name)()


def check_loss(name: str) -> None:
    """Refuses an unknown name with a ConfigError."""
    LOSSES.find(name)


def is_mean_over_clips(loss: nn.Cell) -> bool:
    """Whether a batch's loss is the mean of its clips' losses, which a Cell says by `mean_over_clips = True`.

    Processes that share a batch then need not see each other's clips; otherwise each gets the predictions of all.
    """
    return getattr(loss, "mean_over_clips", False) is True


def _centred(values: Tensor) -> Tensor:
    values = ops.cast(values, ms.float32)
    return values - ops.reduce_mean(values, 0)  # (B, E)
