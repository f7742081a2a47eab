# SPDX-License-Identifier: Apache-2.0
"""A study, fold by fold; one that was stopped goes on at the fold in which it was.

    <out>/study.json                         which records, recipe and cut this study is of
    <out>/config.yaml                        the recipe
    <out>/fold-1/predictions_seed-0.csv      the clips held out, by the training with seed 0
    <out>/fold-1/done.json                   written last: epoch, score and seconds of each training
    <out>/held_out.csv, scores.json, index.html, figures/   (`results`, `page`)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence

from mindface_eri.config import save_config, to_dict
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.folds import LEFT_OUT
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.device.context import Context, launched, setup
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.files import folder_lock, remove_leftovers, write_json
from mindface_eri.metrics import mean_pearson
from mindface_eri.runner.run_folder import describe_environment, trained_otherwise
from mindface_eri.runner.tasks import complete
from mindface_eri.study.plan import Study
from mindface_eri.study.training import FoldTrainer, Judge, Trained


def fold_folder(study: Study, fold: int) -> Path:
    """Where a fold, counted from 0, leaves its predictions; people count from 1."""
    return study.out / f"fold-{fold + 1}"


def predictions_path(study: Study, fold: int, seed: int) -> Path:
    """The table of one training's predictions of the clips held out."""
    return fold_folder(study, fold) / f"predictions_seed-{seed}.csv"


def read_done(study: Study, fold: int) -> List[dict]:
    """What a finished fold says of its trainings, one a seed; empty while it is not finished."""
    try:
        done = json.loads((fold_folder(study, fold) / "done.json").read_text(encoding="utf-8"))["trainings"]
        whole = [training["seed"] for training in done] == list(range(study.seeds))
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return done if whole and all(predictions_path(study, fold, seed).is_file() for seed in range(study.seeds)) else []


def run_study(study: Study, *, notify: Callable[[str], None] = print) -> None:
    """Trains every fold that is not done yet.

    Raises:
        ConfigError: `study.out` holds another study, or a launcher started several processes.
        DataError: it holds something else.
        BusyError: another process works on it.
    """
    if launched()[1] > 1:
        raise ConfigError("cross-validate works in one process; start it without msrun")
    study = dataclasses.replace(study, config=complete(study.config, study.records))
    context = setup(study.config.runtime)
    with folder_lock(study.out / ".lock", "another `cross-validate`"):
        _claim(study, context)
        work = _Work(study, context, notify)
        for fold in range(study.folds):
            work.fold(fold)


def _claim(study: Study, context: Context) -> None:
    """Makes the folder this study's own."""
    path, told = study.out / "study.json", _identity(study)
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            changed = trained_otherwise(found, told)
        except (ValueError, TypeError, AttributeError):
            raise DataError(f"{path}: is not what `cross-validate` wrote; choose another folder") from None
        if changed:
            raise ConfigError(f"{study.out}: holds another study ({'; '.join(changed)}); set that back, or choose "
                              "another folder")
        return
    ours = {".lock", "records"}  # the latter where a data set was given
    if study.out.is_dir() and any(item.name not in ours for item in study.out.iterdir()):
        raise ConfigError(f"{study.out}: holds something else than a study; choose another folder")
    study.out.mkdir(parents=True, exist_ok=True)
    save_config(study.config, study.out / "config.yaml")
    write_json(study.out / "environment.json", describe_environment(device=context.device, mode=context.mode))
    write_json(path, told)


def _identity(study: Study) -> Dict[str, object]:
    """All that decides what comes out; sections of the recipe as `trained_otherwise` knows them."""
    sets = {name: open_feature_set(study.records, name).hash for name in study.config.model.features}
    recipe = json.loads(json.dumps(to_dict(study.config)))
    del recipe["preprocess"]  # the records' own, which their hash tells
    ids = [row["id"] for row in study.records.table]
    people = study.records.column(study.column) if study.column else ids  # the records' hash does not know them
    cut = hashlib.sha256(json.dumps([ids, list(people), study.part.tolist()]).encode()).hexdigest()
    return {"format": 1, "records": study.records.hash, "features": sets, "seeds": study.seeds, **recipe, "cut": cut}


class _Work:
    """What the folds share."""

    def __init__(self, study: Study, context: Context, notify: Callable[[str], None]) -> None:
        self.study, self.context, self.notify = study, context, notify
        self.start = time.monotonic()
        counts = [count for fold in range(study.folds) for count in _counts(study.splits(fold)).values()]
        self.judge = Judge(study.config, min(study.config.train.batch_size, *counts), context)
        for note in study.notes:
            notify(note)

    def fold(self, fold: int) -> None:
        """Trains with each seed, unless that is done."""
        study, folder = self.study, fold_folder(self.study, fold)
        if read_done(study, fold):
            self.notify(f"fold {fold + 1} of {study.folds} is there")
            return
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        (folder / "done.json").unlink(missing_ok=True)
        trainer = FoldTrainer(study.view(fold), self.judge, self.context, keeps_last=study.keeps_last,
                              notify=self.notify)
        trainings = [self._train(trainer, fold, seed) for seed in range(study.seeds)]
        write_json(folder / "done.json", {"trainings": trainings})

    def _train(self, trainer: FoldTrainer, fold: int, seed: int) -> Mapping[str, object]:
        """One training of a fold: keeps its predictions, says its score, and returns what done.json tells of it."""
        study = self.study
        trained = trainer.train(study.seeded(seed))
        write_predictions(predictions_path(study, fold, seed), trained.ids, study.records.emotions,
                          trained.predictions)
        score = mean_pearson(trained.predictions, study.records.labels(ids=trained.ids))
        chosen = "the last weights" if trained.inner is None else \
            f"epoch {trained.epoch} (Pearson {trained.inner:.3f} on people who chose it)"
        self.notify(f"[{time.monotonic() - self.start:4.0f} s] fold {fold + 1} of {study.folds}, seed {seed + 1} of "
                    f"{study.seeds}: {len(trained.ids)} clips held out, Pearson {score:.3f}, {chosen}, "
                    f"{trained.seconds:.1f} s")
        return _told(trained, seed)


def _told(trained: Trained, seed: int) -> Mapping[str, object]:
    return {"seed": seed, "epoch": trained.epoch, "epochs": trained.epochs, "inner_pearson": trained.inner,
            "seconds": trained.seconds}


def _counts(splits: Sequence[str]) -> Dict[str, int]:
    """Clips of a fold's splits for inference."""
    return {name: splits.count(name) for name in set(splits) - {"train", LEFT_OUT}}
