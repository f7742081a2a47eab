# SPDX-License-Identifier: Apache-2.0
"""Ensembles of runs, and the guard that keeps them from being scored on clips that a member has seen."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import List, Optional, Sequence, Set, Tuple

from mindface_eri.config import TrainConfig
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored, read_scored
from mindface_eri.evaluation.submission import write_submission
from mindface_eri.runner.run_folder import find_checkpoint, run_config


def write_ensemble(path: os.PathLike, runs: Sequence[os.PathLike], test_ids: Sequence[str], emotions: Sequence[str], *,
                   missing: str = "fail") -> Tuple[str, ...]:
    """Writes the mean of the runs' predictions of the test split as a submission.

    Args:
        missing: what stands in the row of a test clip that nobody predicted (`submission.POLICIES`).

    Returns:
        ids of the clips that `missing` filled.
    """
    tables = [read_predictions(Path(run) / "predictions_test.csv", emotions) for run in runs]
    return write_submission(path, tables, test_ids, emotions, missing=missing)


def score_ensemble(path: os.PathLike, runs: Sequence[os.PathLike], labels: Optional[os.PathLike] = None) -> Scored:
    """The predictions that `write_ensemble` wrote beside their labels; clips that it had to fill are left out.

    Args:
        labels: CSV of labels; without one, those of the members' records.

    Raises:
        DataError: a member was trained, or its epoch chosen, on one of the clips; or a clip has no row of labels.
    """
    truth = read_scored(runs[0], "test", labels)
    for run in runs:
        seen = set(truth.ids) & clips_seen(run)
        if seen:
            raise DataError(f"{path}: {run} was trained, or its epoch chosen, on {len(seen)} of these "
                            f"{len(truth.ids)} clips, first {min(seen)}; an ensemble is scored only on clips that no "
                            "member has seen")
    table = read_predictions(path, truth.emotions)
    row_of = {clip: row for row, clip in enumerate(table.ids)}
    values = table.values[[row_of[clip] for clip in truth.ids]]
    return Scored("ensemble", truth.ids, truth.emotions, values, truth.labels)


def clips_seen(run: os.PathLike) -> Set[str]:
    """Ids of the clips that a run, or a branch that it builds on, was trained on or chose its epoch by.

    Raises:
        DataError: it does not say which, or its records are not there any more.
    """
    folder = find_checkpoint(run)[1]
    config = run_config(folder.path) if folder else None
    if config is None or config.data.records is None:
        raise DataError(f"{run}: does not say which clips it was trained on; an ensemble needs run folders")
    records = open_records(config.data.records)
    splits = fold_splits(records, config.data)
    seen = {row["id"] for row, split in zip(records.table, splits) if split in ("train", "val")}
    return seen.union(*map(clips_seen, _branches(config.train)))


def _branches(train: TrainConfig) -> List[str]:
    """The runs that a training built on: what its `..._run` and `..._runs` name."""
    named = [getattr(train, key.name) for key in dataclasses.fields(train) if key.name.endswith(("_run", "_runs"))]
    return [run for value in named if value for run in ([value] if isinstance(value, str) else value)]
