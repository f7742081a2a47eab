# SPDX-License-Identifier: Apache-2.0
"""The paper's mean squared error and two losses that follow the metric.

A label that is not known is NaN and counts for nothing, neither in the value nor in the gradient; where all are known
every formula is the textbook's. Each process of a data-parallel run does so with its own part of the batch.
"""

from __future__ import annotations

from typing import Tuple

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindface_eri.plugins import Registry

LOSSES = Registry("loss")
register_loss = LOSSES.register  # a decorator: the class's Cell is called as those below, with NaN for unknown labels
_EPSILON = 1e-6  # added to variances: a batch of equal labels gives a finite gradient
_NOTHING = 1e-6  # less than the share of one known label in any batch


@register_loss("mse")
class MSELoss(nn.Cell):
    """Mean squared error over clips and emotions (paper eq. 9)."""

    mean_over_clips = True

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32."""
        predictions, labels, known = _float32(predictions, labels)
        difference = (predictions - labels) * known
        return ops.reduce_mean(difference * difference) / ops.maximum(ops.reduce_mean(known), _NOTHING)


@register_loss("pearson")
class PearsonLoss(nn.Cell):
    """One minus the mean over emotions of Pearson's correlation within the batch; not in the paper.

    It is a surrogate: the metric itself is computed over a whole split. Batches below about 16 clips make it noisy.
    """

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32 in [0, 2]."""
        predictions, labels, known = _float32(predictions, labels)
        share = _share(known)  # (E,)
        x, y = _centred(predictions, known, share), _centred(labels, known, share)
        covariance = ops.reduce_mean(x * y, 0) / share  # (E,)
        variance, of_labels = ops.reduce_mean(x * x, 0) / share, ops.reduce_mean(y * y, 0) / share
        scale = ops.sqrt((variance + _EPSILON) * (of_labels + _EPSILON))
        return 1.0 - ops.reduce_mean(covariance / scale)


@register_loss("ccc")
class CCCLoss(nn.Cell):
    """One minus the mean over emotions of Lin's concordance correlation within the batch; not in the paper.

    Unlike `PearsonLoss` it also holds the mean and the spread of the predictions to those of the labels.
    """

    def construct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """(B, E), (B, E) -> scalar float32 in [0, 2]."""
        predictions, labels, known = _float32(predictions, labels)
        share = _share(known)  # (E,)
        x, y = _centred(predictions, known, share), _centred(labels, known, share)
        gap = ops.reduce_mean((predictions - labels) * known, 0) / share  # (E,)
        spread = (ops.reduce_mean(x * x, 0) + ops.reduce_mean(y * y, 0)) / share + gap * gap + _EPSILON
        return 1.0 - ops.reduce_mean(2.0 * ops.reduce_mean(x * y, 0) / share / spread)


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


def _float32(predictions: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Predictions, labels with 0 for what is not known, and 1 where they are known, each (B, E)."""
    labels = ops.cast(labels, ms.float32)
    known = ops.isfinite(labels)
    labels = ops.select(known, labels, ops.zeros_like(labels))
    return ops.cast(predictions, ms.float32), labels, ops.cast(known, ms.float32)


def _share(known: Tensor) -> Tensor:
    """The share of each emotion's labels in the batch that are known, (E,); 1 where none is: it divides zeros then."""
    share = ops.reduce_mean(known, 0)
    return ops.select(share > 0, share, ops.ones_like(share))


def _centred(values: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """(B, E) less the mean of what is known; 0 where it is not."""
    return (values - ops.reduce_mean(values * known, 0) / share) * known
