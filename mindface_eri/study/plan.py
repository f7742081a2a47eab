# SPDX-License-Identifier: Apache-2.0
"""Which clips are held out when, and which of the others choose the epoch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import Config, load_config
from mindface_eri.datasets.by_person import with_person_statistics
from mindface_eri.datasets.folds import LEFT_OUT, fold_splits, people_column, split_view
from mindface_eri.datasets.groups import INDEPENDENT, independent
from mindface_eri.datasets.presence import usable
from mindface_eri.datasets.records import Records
from mindface_eri.errors import ConfigError, DataError

FOLDS = 5
BY_PERSON, BY_CLIP = "person", "clip"  # of `by`, beside the names of columns


@dataclass(frozen=True)
class Study:
    """A recipe on records, and how they are cut.

    Attributes:
        out: the study's folder.
        records: without the clips that the network cannot use.
        config: the recipe on these records, with the cut in `data`.
        column: whose values never straddle two folds; None where clips are taken as independent.
        seeds: trainings of each fold.
        part: (N,) the fold that holds each clip out, from 0; -1 where none does.
        notes: which clips are left out, as sentences.
    """

    out: Path
    records: Records
    config: Config
    column: Optional[str]
    seeds: int
    part: np.ndarray
    notes: Tuple[str, ...] = ()

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self.config.data.folds

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights are taken, so that no clip has to choose an epoch: a cosine never looks at any."""
        return self.config.train.schedule == "cosine"

    @property
    def people(self) -> Sequence[str]:
        """Who is in each clip, (N,); blank where clips are taken as independent."""
        return self.records.column(self.column) if self.column else [""] * len(self.records)

    def people_in(self, rows: np.ndarray) -> int:
        """How many people, or independent clips, these rows hold."""
        return len({self.people[row] or row for row in rows})

    def splits(self, fold: int) -> List[str]:
        """The split of each clip in a fold's trainings: its part is "test"; "val" are those that choose an epoch."""
        if self.keeps_last:
            return [LEFT_OUT if part < 0 else "test" if part == fold else "train" for part in self.part]
        return fold_splits(self.records, dataclasses.replace(self.config.data, fold=fold))

    def view(self, fold: int) -> Records:
        """The records with a fold's splits."""
        view = split_view(self.records, self.splits(fold), ["study", self.config.data, fold])
        return with_person_statistics(view, self.config.model, self.column)

    def seeded(self, seed: int) -> Config:
        """The recipe of one training."""
        return dataclasses.replace(self.config, runtime=dataclasses.replace(self.config.runtime, seed=seed))


def plan_study(records: Records, recipe: Optional[Path], out: Path, *, overrides: Sequence[str] = (),
               folds: Optional[int] = None, by: str = BY_PERSON, seeds: int = 3,
               device: Optional[str] = None) -> Study:
    """Reads the recipe and cuts the folds, without reading a clip.

    Args:
        recipe: YAML file; None takes the paper's values. Emotions are those of the records.
        overrides: `key=value`, on top of the recipe.
        folds: None takes the recipe's `data.folds`, or 5.
        by: "person" (the column that names people), another column, or "clip", where clips are independent.
        seeds: trainings of each fold, with seeds from 0.

    Raises:
        ConfigError: a number that cannot be, or a recipe that would look at people who are held out.
        DataError: there are no labels, no such column, or too few people.
    """
    if seeds < 1:
        raise ConfigError("--seeds must be at least 1")
    config = load_config(recipe, overrides, _fixed(records, device))
    folds = folds or config.data.folds or FOLDS
    group = _group(records, by, config.data.group)
    config = dataclasses.replace(config, data=dataclasses.replace(
        config.data, folds=folds, fold=0, fold_as="test", group=group))
    config = _repeatable(config)
    _check_branches(config)
    view, notes = usable(records, config.model.inputs, config.data.fold_of)
    column = None if independent(group) else group
    study = Study(out, view, config, column, seeds, _pooled(view, config) - 1, (*notes, *_kept_out(view, config)))
    _check_people(study)
    study = dataclasses.replace(study, part=_cut(view, config))
    for fold in range(folds):  # a cut that cannot be made is told before any training
        study.splits(fold)
    return study


def _fixed(records: Records, device: Optional[str]) -> Mapping[str, object]:
    return {"model.emotions": records.emotions, "data.records": str(records.path),
            **({"runtime.device": device} if device else {})}


def _group(records: Records, by: str, recipe: Optional[str]) -> str:
    """`data.group` for `by`."""
    names = records.table[0] if records.table else {}
    if by in names:
        return by
    if by == BY_CLIP or independent(by):
        return INDEPENDENT
    found = recipe or people_column(records) if by == BY_PERSON else people_column(records, by)
    if found is None:
        raise DataError(f"{records.path}: no column names people, by whom folds are to be cut; its columns are "
                        f"{', '.join(records.extra) or 'none'}: name one with --by COLUMN, or say --by clip where each "
                        "clip shows somebody else")
    return found


def _repeatable(config: Config) -> Config:
    """Seeded dropout, so that a fold trained again comes out alike; and one thread where the recipe names no number and
    no picture is taken: small networks are no slower for it, convolutions are.
    """
    threads = config.runtime.threads or int("frames" not in config.model.inputs)
    return dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, threads=threads, deterministic=True))


def _check_branches(config: Config) -> None:
    train = config.train
    if train.visual_run or train.acoustic_run or train.features_runs:
        raise ConfigError("train.visual_run, train.acoustic_run and train.features_runs name branches that may have "
                          "seen the people held out; leave them out (with train.end_to_end=true branches and fusion "
                          "are trained together), or use `mindface-eri reproduce --tables 3`, which trains both in "
                          "each fold")
    if config.model.name in ("eri_dual_branch", "eri_multi_branch") and not train.end_to_end:
        raise ConfigError(f"{config.model.name} trains its fusion on branches that are trained before it; set "
                          "train.end_to_end=true, or use `mindface-eri reproduce --tables 3`, which trains both in "
                          "each fold")


def _pooled(records: Records, config: Config) -> np.ndarray:
    """Which clips are cut into folds, (N,) of 0 and 1."""
    pooled = np.array([row["split"] in config.data.fold_of for row in records.table], bool)
    pooled &= ~np.isnan(records.all_labels).all(axis=1)
    if not pooled.any():
        raise DataError(f"{records.path}: no clip in {', '.join(config.data.fold_of)} has labels, and a score needs "
                        "some; write them into the label table and preprocess again")
    return pooled.astype(np.int64)


def _cut(records: Records, config: Config) -> np.ndarray:
    """The part of each clip, (N,)."""
    part, pooled = np.full(len(records), -1), _pooled(records, config) > 0
    for fold in range(config.data.folds):
        splits = np.array(fold_splits(records, dataclasses.replace(config.data, fold=fold, fold_as="val")))
        part[pooled & (splits == "val")] = fold
    return part


def _kept_out(records: Records, config: Config) -> List[str]:
    """Splits that the folds leave alone."""
    others = {split: count for split, count in records.splits.items() if split not in config.data.fold_of}
    return [f"{count} clips of split {split} are neither trained on nor held out (data.fold_of)"
            for split, count in others.items()]


def _check_people(study: Study) -> None:
    rows = np.flatnonzero(study.part >= 0)
    people, least = study.people_in(rows), 2 if study.keeps_last else 3  # held out, trained on, and to choose by
    if people >= max(least, study.folds):
        return
    who = f"{people} {'person' if people == 1 else 'people'} ({study.column})" if study.column else "none alike"
    cure = f"give --folds {people} or fewer" if people >= least else \
        f"people never seen need {least} of them at least; label clips of more people"
    raise DataError(f"{study.records.path}: {len(rows)} labelled clips of {who} do not fill {study.folds} folds; "
                    f"{cure}")
