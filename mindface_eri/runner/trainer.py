# SPDX-License-Identifier: Apache-2.0
"""Training: epochs, validation, checkpoints and resuming (paper section 4.2)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Union

import numpy as np

from mindface_eri.config import Config, RuntimeConfig, named_temporal, save_config, to_dict
from mindface_eri.datasets.folds import check_groups
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.device.context import Context, seed_everything, setup
from mindface_eri.device.distribute import average_over_ranks, share_from_main, wait_for_all
from mindface_eri.errors import CheckpointError, ConfigError, ERIError
from mindface_eri.files import write_json
from mindface_eri.metrics import pearson
from mindface_eri.models.dropout import active_dropout
from mindface_eri.runner.callbacks import Progress, metrics_row, write_metrics
from mindface_eri.runner.checkpoint import (
    assign_weights,
    check_weights,
    checkpoint_hash,
    read_checkpoint,
    save_checkpoint,
)
from mindface_eri.runner.epoch import train_epoch
from mindface_eri.runner.inference import predict_split, resolve_records
from mindface_eri.runner.optim import create_schedule, set_lr
from mindface_eri.runner.profile import pipeline_rate
from mindface_eri.runner.reduction import settle, shared_within
from mindface_eri.runner.run_folder import RunFolder, config_of, describe_environment, differences, note_of
from mindface_eri.runner.step import AveragedWeights, TrainStep
from mindface_eri.runner.tasks import Task, complete, frozen_names, prepare_task

_PREDICTIONS = "validation.predictions"  # where those of the state's epoch lie in the state


@dataclass(frozen=True)
class TrainResult:
    """What a training came to."""

    run: RunFolder
    best_metric: float  # mean Pearson over the validation split
    best_epoch: int
    epochs: int  # epochs done, early stopping included
    history: List[Dict]  # the lines of metrics.jsonl
    is_main: bool = True  # whether this process is the one that writes and prints
    pipeline_rate: Optional[float] = None  # clips a second that the data alone gave, where that was asked for

    def __fspath__(self) -> str:
        """The run folder, so that `evaluate(result)` and `load_predictor(result)` work."""
        return os.fspath(self.run)


def train(config: Union[Config, str, os.PathLike], out: Union[str, os.PathLike], *, resume: bool = False,
          progress: bool = True, notify: Callable[[str], None] = print, profile_data: bool = False) -> TrainResult:
    """Trains what `config.model.name` says and fills the run folder `out`.

    `eri_visual`, `eri_acoustic`, `eri_features` and registered networks train alone. `eri_dual_branch` trains its
    fusion head on cached features of the frozen branches `train.visual_run` and `train.acoustic_run`, or everything
    with `train.end_to_end`; its checkpoints hold the whole network either way. `eri_multi_branch` does so with
    `train.features_runs` too.

    Args:
        config: a configuration, or the path of a recipe or of a run folder, whose recipe is used.
        resume: go on from the last finished epoch, if there is one.
        progress: show a bar (or lines, without a terminal).
        notify: receives messages for people.
        profile_data: measure first how fast the data alone come (`runner.profile`).

    Raises:
        ConfigError: the recipe cannot be used, or `out` holds a run already and `resume` is not set.
        DataError: the records do not fit.
        CheckpointError: a branch, or the state to resume from, does not fit.
        BusyError: another process trains into `out`.
    """
    config = config_of(config)
    context = setup(config.runtime)
    run = RunFolder(Path(out))
    with run.lock() if context.is_main else contextlib.nullcontext():
        loop = _prepare(config, run, context, resume, progress, notify if context.is_main else _silent)
        rate = pipeline_rate(loop.task.batches, context) if profile_data else None
        return dataclasses.replace(loop.run_all(), pipeline_rate=rate)


def _prepare(config: Config, run: RunFolder, context: Context, resume: bool, progress: bool,
             say: Callable[[str], None]) -> Loop:
    """The training, at its start or where an earlier process left it."""
    if run.state.is_file() and not resume:
        raise ConfigError(f"{run.path} holds a run already; go on with it (--resume) or name another folder")
    records = resolve_records(None, config)
    check_groups(records, config.data)
    recipe, config = config, complete(config, records)
    other = differences(to_dict(recipe.preprocess), to_dict(config.preprocess), "preprocess.")
    other = [what for what in other if not what.startswith("preprocess.augment.")]  # which changes no clip
    if other:
        say(f"{records.path} were made with other settings than the recipe's, which the run takes over: "
            + "; ".join(other))
    begun = resume and run.state.is_file()
    saved, state = read_checkpoint(run.state) if begun else ({}, {})
    _check_temporal(state, config, run)
    epoch = int(state.get("epoch", 0))
    # Dropout's generators cannot be set to a state: a resumed run draws masks that no earlier epoch drew.
    seed_everything(config.runtime.seed + context.rank + 1_000_003 * epoch)
    task = prepare_task(config, records, context, say)
    share_from_main(task.network.get_parameters(), context)
    runtime = settle(config.runtime, context, shared_within(task.trained_part, config.train.loss), say)
    wait_for_all(context)  # all have looked for a state before anybody writes one
    if context.is_main:
        run.make()
        save_config(config, run.config)
        write_json(run.environment, describe_environment(
            device=context.device, mode=context.mode, processes=context.world_size, seed=config.runtime.seed,
            records=str(config.data.records), parameters=sum(p.size for p in task.network.get_parameters())))
    loop = Loop(config, task, run, context, say, progress, runtime)
    if begun:
        loop.restore(saved, state)
        say(f"resuming {run.path} after epoch {epoch} of {config.train.epochs}")
        changed = differences(state.get("config", {}), to_dict(config))
        if changed:
            say("the recipe has changed since: " + "; ".join(changed))
    return loop


def _check_temporal(state: Mapping, config: Config, run: RunFolder) -> None:
    """Before anything is written: a run of version 0.1 taken up with a recipe of today would lose its own."""
    model = state.get("config", {}).get("model")
    was = config.model.temporal if model is None else named_temporal(model)["temporal"]
    if was != config.model.temporal:
        raise CheckpointError(f"{run.path}: was begun with model.temporal {was}, the recipe has "
                              f"{config.model.temporal}; set model.temporal={was} to go on, or name another folder")


class Loop:
    """The epochs of one training."""

    def __init__(self, config: Config, task: Task, run: RunFolder, context: Context,
                 notify: Callable[[str], None], progress: bool, runtime: Optional[RuntimeConfig] = None) -> None:
        """`runtime` is the recipe's as it can be had here (`settle`), the recipe's own where None."""
        self.config, self.task, self.run, self.context, self.notify = config, task, run, context, notify
        self.progress = progress and context.is_main
        settings = config.train
        self.plan = task.batches.plan()
        if settings.accumulate > self.plan.steps:
            raise ConfigError(f"train.accumulate is {settings.accumulate} but an epoch has {self.plan.steps} batches; "
                              "lower it, or train.batch_size")
        self.step = TrainStep(task.trained_part, settings, runtime or config.runtime, context)
        self.schedule = create_schedule(settings)
        set_lr(self.step.apply_step.optimizer, self.schedule.lr)
        self.epoch, self.best_epoch = 0, 0
        self.history: List[Dict] = []

    def run_all(self) -> TrainResult:
        """Trains until the last epoch or until early stopping."""
        settings, clips = self.config.train, self.plan.total(self.context)
        if not self._finished() and self.config.runtime.mode == "graph":
            self.notify(f"training {self.config.model.name} on {self.context.device}, {clips} clips an epoch; "
                        f"compiling the graph comes first and can take a minute or more{self._unlike_before()}")
        bar = Progress(settings.epochs, clips, first=self.epoch, show=self.progress, notify=self.notify)
        try:
            while not self._finished():
                self._run_epoch(bar, clips)
        finally:
            bar.close()
        wait_for_all(self.context)  # what follows in any process may read what rank 0 wrote
        return TrainResult(self.run, self.schedule.best, self.best_epoch, self.epoch, self.history,
                           self.context.is_main)

    def _unlike_before(self) -> str:
        """What another training with this seed would not repeat."""
        draws = self.context.device == "CPU" and active_dropout(self.task.trained_part)
        return ("; on CPU, MindSpore's dropout masks differ from training to training even with the same seed, unless "
                "runtime.deterministic is set" if draws and not self.config.runtime.deterministic else "")

    def _finished(self) -> bool:
        stopped = 0 < self.config.train.early_stop <= self.schedule.since_best
        return self.epoch >= self.config.train.epochs or stopped

    def _run_epoch(self, bar: Progress, clips: int) -> None:
        """Trains on each batch once."""
        start = time.perf_counter()
        loss = train_epoch(self.step, self.task.batches, self.epoch, self.context,
                           lambda loss: bar.step(self.plan.size * self.context.world_size, loss))
        average_over_ranks(self.step.sums, self.context)  # what accumulation left: rank 0's state is that of all
        seconds = time.perf_counter() - start
        self.epoch += 1
        with AveragedWeights(self.step):
            predictions = self._validate()
            correlations = pearson(predictions, self.task.batches.labels("val"))
            row = metrics_row(self.epoch, loss, correlations, self.config.model.emotions, lr=self.schedule.lr,
                              seconds=seconds, clips=clips)
            self.history.append(row)
            best = self.schedule.update(row["val_pearson"])
            if best or not self.best_epoch:
                self.best_epoch = self.epoch
            weights = {p.name: p.asnumpy().copy() for p in self.task.network.get_parameters()}
        set_lr(self.step.apply_step.optimizer, self.schedule.lr)
        if self.context.is_main:
            self._save(weights, predictions)
        bar.epoch(row)

    def _validate(self) -> np.ndarray:
        return predict_split(self.task.trained_part, self.task.batches, "val", self.config.train.batch_size,
                             self.context)

    def _save(self, weights: Dict[str, np.ndarray], predictions: np.ndarray) -> None:
        """State first: whatever a kill leaves undone after it, `restore` does again from the state."""
        if not self.run.config.is_file():
            raise ERIError(f"{self.run.path}: was removed, or emptied, while the training ran; train anew")
        state = {name: p.asnumpy() for name, p in self.step.state().items()}
        lent = {f"saved.{name}": value for name, value in weights.items()
                if name in state and not np.array_equal(value, state[name])}  # averaged weights, where EMA is on
        save_checkpoint(self.run.state, {**state, **lent, _PREDICTIONS: predictions}, {
            "epoch": self.epoch, "best_epoch": self.best_epoch, "schedule": self.schedule.state(),
            "history": self.history, "config": to_dict(self.config), "frozen": self._frozen_hash()})
        self._publish(weights, predictions)

    def _publish(self, weights: Dict[str, np.ndarray], predictions: Optional[np.ndarray]) -> None:
        row = self.history[-1]
        note = note_of(self.config.model, epoch=self.epoch, val_pearson=row["val_pearson"],
                       preprocess=to_dict(self.config.preprocess), **self.task.note)
        save_checkpoint(self.run.checkpoint("last"), weights, note)
        if self.best_epoch == self.epoch:
            save_checkpoint(self.run.checkpoint("best"), weights, note)
        write_metrics(self.run, self.history)
        if self.best_epoch == self.epoch and predictions is not None:
            write_predictions(self.run.predictions("val"), self.task.batches.ids["val"], self.config.model.emotions,
                              predictions)

    def restore(self, saved: Dict[str, np.ndarray], state: dict) -> None:
        """Takes up a state that `_save` wrote, and repeats what a kill may have left undone after it."""
        lent = {name[len("saved."):]: value for name, value in saved.items() if name.startswith("saved.")}
        values = {name: value for name, value in saved.items()
                  if name != _PREDICTIONS and not name.startswith("saved.")}
        parameters = self.step.state()
        check_weights({name: p.shape for name, p in parameters.items()}, values, str(self.run.state),
                      of=state.get("config", {}).get("model", {}).get("name", ""))
        if state.get("frozen") != self._frozen_hash():
            raise CheckpointError(f"{self.run.state}: the frozen branches are not those that this run began with; "
                                  "restore them, or train fusion anew in another folder")
        assign_weights(parameters, values)
        self.epoch, self.best_epoch = int(state["epoch"]), int(state["best_epoch"])
        self.schedule.restore(state["schedule"])
        set_lr(self.step.apply_step.optimizer, self.schedule.lr)
        self.history = state["history"]
        if self.context.is_main:
            whole = {p.name: p.asnumpy() for p in self.task.network.get_parameters()}
            self._publish({**whole, **lent}, saved.get(_PREDICTIONS))  # None: a state of before they lay in it

    def _frozen_hash(self) -> str:
        names = frozen_names(self.task)
        return checkpoint_hash({p.name: p.asnumpy() for p in self.task.network.get_parameters() if p.name in names})


def _silent(_: str) -> None:
    """Other ranks say nothing."""
