# SPDX-License-Identifier: Apache-2.0
"""The optimizer, and the learning rate of each epoch."""

from __future__ import annotations

import math
from typing import Dict, Iterable

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.config import TrainConfig
from mindface_eri.errors import ConfigError

_decay = ops.MultitypeFuncGraph("decay")


@_decay.register("Tensor", "Tensor", "Bool")
def _decay_one(factor, parameter, applies):
    if applies:
        ops.assign(parameter, parameter * factor)
    return True


class DecoupledAdam(nn.Adam):
    """Adam whose weight decay, if any, is decoupled from the gradient (Loshchilov and Hutter 2019).

    Decay applies to matrices and kernels, not to biases, norms and other vectors. Without decay it is plain Adam,
    as the paper trains (section 4.2).
    """

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, learning_rate=learning_rate, beta1=0.9, beta2=0.999, eps=1e-8)
        self.decoupled_decay = weight_decay
        self.decays = tuple(p.ndim > 1 for p in self.parameters)
        self.each = ops.HyperMap()

    def construct(self, gradients):
        if self.decoupled_decay > 0:
            factor = 1.0 - self.get_lr() * self.decoupled_decay
            gradients = ops.depend(gradients, self.each(ops.partial(_decay, factor), self._parameters, self.decays))
        return super().construct(gradients)


def create_optimizer(parameters: Iterable[Parameter], name: str = "adam", *, lr: float = TrainConfig.lr,
                     weight_decay: float = TrainConfig.weight_decay) -> nn.Optimizer:
    """An optimizer over `parameters`, usable with `mindspore.train.Model` and in hand-written loops.

    The learning rate is a Parameter: `set_lr` changes it without compiling anew.

    Args:
        name: adam, the paper's, whose weight decay is decoupled (the paper has none).

    Raises:
        ConfigError: the name is unknown, or there is nothing to train.
    """
    parameters = list(parameters)
    if not parameters:
        raise ConfigError("create_optimizer: no trainable parameters; is everything frozen?")
    if name != "adam":
        raise ConfigError(f"create_optimizer: {name!r} is unknown; known: adam")
    return DecoupledAdam(parameters, lr, weight_decay)


def set_lr(optimizer: nn.Optimizer, lr: float) -> None:
    """Changes the learning rate on the device; a graph that is compiled already sees it."""
    # Not set_data: a compiled graph that branches keeps reading the old value after it.
    ops.assign(optimizer.learning_rate, Tensor(lr, ms.float32))


class Schedule:
    """The learning rate of the coming epoch, `lr`, and the best validation metric so far.

    "Better" is strictly greater than the best so far, which starts at minus infinity; a NaN is never better.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.best = float("-inf")
        self.epoch = 0  # epochs done
        self.since_best = 0  # epochs since the best; early stopping looks at it

    def update(self, metric: float) -> bool:
        """Takes an epoch's metric; returns whether it is the best so far."""
        better = metric > self.best
        self.best, self.since_best = (metric, 0) if better else (self.best, self.since_best + 1)
        self.epoch += 1
        self._advance()
        return better

    def _advance(self) -> None:
        """Sets `lr` for the coming epoch."""
        raise NotImplementedError

    def state(self) -> Dict[str, float]:
        """All that changes, for the training state."""
        return {"lr": self.lr, "best": self.best, "epoch": self.epoch, "since_best": self.since_best}

    def restore(self, state: Dict[str, float]) -> None:
        """Takes up a `state()`."""
        self.lr, self.best = float(state["lr"]), float(state["best"])
        self.epoch, self.since_best = int(state["epoch"]), int(state["since_best"])


class PlateauSchedule(Schedule):
    """Multiplies the learning rate by `factor` after `patience` epochs without a better metric (paper section 4.2)."""

    def __init__(self, lr: float, factor: float = 0.5, patience: int = 10) -> None:
        super().__init__(lr)
        self.factor, self.patience = factor, patience

    def _advance(self) -> None:
        if self.since_best and self.since_best % self.patience == 0:
            self.lr *= self.factor


class CosineSchedule(Schedule):
    """Rises to `peak` over `warmup` epochs, then falls to nothing along half a cosine (Loshchilov and Hutter 2017).

    It never looks at the metric, so the last weights depend on no validation clip.
    """

    def __init__(self, peak: float, epochs: int, warmup: int = 0) -> None:
        super().__init__(peak)
        self.peak, self.epochs, self.warmup = peak, epochs, min(warmup, epochs - 1)
        self._advance()

    def _advance(self) -> None:
        if self.epoch < self.warmup:
            self.lr = self.peak * (self.epoch + 1) / (self.warmup + 1)
        else:
            done = (self.epoch - self.warmup) / (self.epochs - self.warmup)
            self.lr = self.peak * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def create_schedule(train: TrainConfig) -> Schedule:
    """What `train.schedule` names."""
    if train.schedule == "cosine":
        return CosineSchedule(train.lr, train.epochs, train.warmup)
    return PlateauSchedule(train.lr, train.lr_factor, train.lr_patience)
