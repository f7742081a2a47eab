# SPDX-License-Identifier: Apache-2.0
"""The trainings of one fold: one compiled step serves all its seeds, and nothing but predictions is kept.

A fold is what a stopped study takes up again. Its seeds share the step, which costs far more to compile than a small
corpus to learn; folds do not, since dropout's generators cannot be set back: a fold trained after others would come out
otherwise than the same one trained first.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import numpy as np
from mindspore import nn

from mindface_eri.config import Config
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import Context, seed_everything
from mindface_eri.metrics import mean_pearson
from mindface_eri.models.registry import build_network
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.checkpoint import assign_weights
from mindface_eri.runner.epoch import train_epoch
from mindface_eri.runner.inference import predict_split
from mindface_eri.runner.optim import create_schedule, set_lr
from mindface_eri.runner.step import AveragedWeights, TrainStep
from mindface_eri.runner.tasks import Task, prepare_task

_EVERY = 15.0  # seconds between lines about a training


@dataclass(frozen=True)
class Trained:
    """One training, and what it says of the clips held out."""

    ids: Tuple[str, ...]
    predictions: np.ndarray  # (n, E)
    epoch: int  # whose weights these are, from 1
    epochs: int  # trained
    inner: Optional[float]  # mean Pearson over the people who chose the epoch
    seconds: float


class Judge:
    """A network that answers for weights of any training; it is compiled once for a study.

    Args:
        size: clips at a time, always: no more than the smallest split has.
    """

    def __init__(self, config: Config, size: int, context: Context) -> None:
        self.network: nn.Cell = build_network(config.model, read_stem=False).set_train(False)
        self.size, self.context = size, context

    def predict(self, weights: Dict[str, np.ndarray], clips: RecordBatches, split: str) -> np.ndarray:
        """Answers for the clips of a split, (n, E)."""
        assign_weights({p.name: p for p in self.network.get_parameters()}, weights)
        return predict_split(self.network, clips, split, self.size, self.context)


class FoldTrainer:
    """Trains on a view of the records with one seed after another: read, prepared and compiled once."""

    def __init__(self, view: Records, judge: Judge, context: Context, *, keeps_last: bool,
                 notify: Callable[[str], None]) -> None:
        self.view, self.judge, self.context, self.notify = view, judge, context, notify
        self.keeps_last = keeps_last
        self.clips: Optional[RecordBatches] = None  # as the whole network takes them
        self.task: Optional[Task] = None
        self.step: Optional[TrainStep] = None
        self.blank: Dict[str, np.ndarray] = {}  # the step's state before its first update

    def train(self, config: Config) -> Trained:
        """One training with the seed of `config`, which is all that may differ between two calls."""
        start = time.monotonic()
        seed_everything(config.runtime.seed)
        task = self._first(config) if self.task is None else self._next(config)
        best, epoch, epochs, inner = self._epochs(task, config)
        predictions = self.judge.predict(best, self.clips, "test")
        return Trained(tuple(self.clips.ids["test"]), predictions, epoch, epochs, inner,
                       round(time.monotonic() - start, 1))

    def _first(self, config: Config) -> Task:
        self.task = prepare_task(config, self.view, self.context, self.notify,
                                 ("train",) if self.keeps_last else ("train", "val"))
        self.step = TrainStep(self.task.trained_part, config.train, config.runtime, self.context)
        self.blank = {name: p.asnumpy().copy() for name, p in self.step.state().items()}
        self.clips = RecordBatches(self.view, config.model.inputs, config, self.context)
        return self.task

    def _next(self, config: Config) -> Task:
        """Takes the step back to its beginning, with weights and an order of clips that the new seed draws."""
        drawn = {p.name: p.asnumpy() for p in build_network(config.model).trainable_params() if p.name in self.blank}
        averages = {f"ema.{name}": value for name, value in drawn.items() if f"ema.{name}" in self.blank}
        assign_weights(self.step.state(), {**self.blank, **drawn, **averages})
        batches = copy.copy(self.task.batches)
        batches.config = config
        return dataclasses.replace(self.task, batches=batches)

    def _epochs(self, task: Task, config: Config) -> Tuple[Dict[str, np.ndarray], int, int, Optional[float]]:
        """(weights, their epoch, epochs trained, their score on the clips that chose them)."""
        train, schedule, told = config.train, create_schedule(config.train), time.monotonic()
        best: Dict[str, np.ndarray] = {}
        chosen, epoch = 0, 0
        patience = 0 if self.keeps_last else train.early_stop  # a cosine that looks at no clip has no best epoch
        while epoch < train.epochs and not 0 < patience <= schedule.since_best:
            set_lr(self.step.apply_step.optimizer, schedule.lr)
            loss = train_epoch(self.step, task.batches, epoch, self.context)
            epoch += 1
            if self.keeps_last:
                schedule.update(float("nan"))
            elif schedule.update(self._validate()) or not best:
                best, chosen = self._weights(), epoch
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                self.notify(f"    epoch {epoch} of {train.epochs}: loss {loss:.4f}")
        if self.keeps_last:
            return self._weights(), epoch, epoch, None
        return best, chosen, epoch, schedule.best

    def _validate(self) -> float:
        return mean_pearson(self.judge.predict(self._weights(), self.clips, "val"), self.clips.labels("val"))

    def _weights(self) -> Dict[str, np.ndarray]:
        """Of the whole network, averaged where EMA is on."""
        with AveragedWeights(self.step):
            return {p.name: p.asnumpy().copy() for p in self.task.network.get_parameters()}
