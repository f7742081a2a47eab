# SPDX-License-Identifier: Apache-2.0
"""One pass over the training clips."""

from __future__ import annotations

import math
from typing import Callable, Optional

from mindspore import Tensor

from mindface_eri.device.context import Context
from mindface_eri.device.distribute import mean_over_ranks
from mindface_eri.errors import ERIError
from mindface_eri.runner.callbacks import LossMeter
from mindface_eri.runner.step import TrainStep
from mindface_eri.signals import stop_if_asked


def train_epoch(step: TrainStep, batches, epoch: int, context: Context,
                notify: Callable[[Optional[float]], None] = lambda _: None) -> float:
    """Trains on this process's batches of an epoch, counted from 0; the mean loss over all processes.

    Args:
        notify: called after each step, with its loss where that was looked at.

    Raises:
        ERIError: the loss is no number.
    """
    meter = LossMeter()
    step.set_train(True)
    for batch in batches.train(epoch):
        notify(meter.add(step(*(Tensor(x) for x in batch))))
        stop_if_asked()
    loss = mean_over_ranks(meter.mean(), context)  # as many clips in each; none goes on where one has diverged
    if not math.isfinite(loss):
        raise ERIError(f"the loss of epoch {epoch + 1} is {loss}; lower train.lr, set train.clip_norm, or, with "
                       "float16, runtime.loss_scale: dynamic")
    return loss
