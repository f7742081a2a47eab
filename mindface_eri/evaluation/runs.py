# SPDX-License-Identifier: Apache-2.0
"""Predictions beside their labels, from tables or a run, and a run's learning curve. Reading needs no network."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import load_config
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.groups import find_group, groups_of, independent
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.datasets.tables import read_table
from mindface_eri.errors import DataError

HELD_OUT = "held_out.csv"  # of a study's folder: every clip predicted by networks that never saw its person


@dataclass(frozen=True)
class Scored:
    """Predictions of N clips and their labels."""

    name: str
    ids: Tuple[str, ...]
    emotions: Tuple[str, ...]
    predictions: np.ndarray  # (N, E)
    labels: np.ndarray  # (N, E), NaN where unknown
    columns: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)  # what else the label table says of each clip
    notes: Tuple[str, ...] = ()  # what was left out, as sentences
    group: Optional[str] = None  # the column whose groups (people) an interval resamples; None: the clips themselves

    @property
    def labelled(self) -> np.ndarray:
        """(N,) which clips have a label."""
        return ~np.isnan(self.labels).all(1)

    @property
    def groups(self) -> List[str]:
        """What an interval leaves out at a time, the same for clips that belong together; one a clip."""
        return groups_of(self.ids, None if self.group is None else self.columns[self.group])

    @property
    def over(self) -> str:
        """What intervals and tests resample, for people: of the labelled clips."""
        labelled = self.take(np.flatnonzero(self.labelled))
        count = len(set(labelled.groups))
        if self.group is None:
            return f"{count} clips, taken as independent"
        blank = sum(not cell.strip() for cell in labelled.columns[self.group])
        alone = f" ({blank} clips without one are each a group)" if blank else ""
        return f"{count} group{'s' * (count != 1)} by {self.group}{alone}"

    def take(self, rows: Sequence[int]) -> Scored:
        """These rows alone, in their order."""
        columns = {key: tuple(cells[row] for row in rows) for key, cells in self.columns.items()}
        return dataclasses.replace(self, ids=tuple(self.ids[row] for row in rows), columns=columns,
                                   predictions=self.predictions[rows], labels=self.labels[rows])

    def grouped(self, asked: Optional[str]) -> Scored:
        """With the groups of a column, of none ("none"), or of the column that names people (None).

        Raises:
            DataError: there is no such column.
        """
        try:
            return dataclasses.replace(self, group=find_group(self.columns, asked))
        except DataError as error:
            raise DataError(f"{self.name}: {error}") from None


@dataclass(frozen=True)
class _Truth:
    """A table of labels."""

    source: str
    ids: Sequence[str]
    labels: np.ndarray  # (N, E)
    columns: Mapping[str, Sequence[str]]  # further columns, N cells each
    group: Optional[str] = None  # what the run's recipe says of groups

    def match(self, name: str, ids: Sequence[str], emotions: Tuple[str, ...], predictions: np.ndarray) -> Scored:
        """Predictions with the labels of their clips; clips without a prediction are left out and counted."""
        row_of = {clip: row for row, clip in enumerate(self.ids)}
        unknown = [clip for clip in ids if clip not in row_of]
        if unknown:
            raise DataError(f"{name}: clip {unknown[0]} has no labels in {self.source} ({len(unknown)} such clips)")
        answered = ~np.isnan(predictions).all(1)
        if not answered.any():
            raise DataError(f"{name}: not one clip has a prediction; the cells are blank or nan (has training "
                            "diverged?)")
        ids = tuple(clip for clip, good in zip(ids, answered) if good)
        rows = [row_of[clip] for clip in ids]
        columns = {key: tuple(cells[row] for row in rows) for key, cells in self.columns.items()}
        labels = self.labels[rows]
        scored = Scored(name, ids, emotions, predictions[answered], labels, columns, self._notes(rows, labels))
        known = self.group in columns or independent(self.group)  # another table of labels need not have it
        return scored.grouped(self.group if known else None)

    def _notes(self, rows: Sequence[int], labels: np.ndarray) -> Tuple[str, ...]:
        splits = next((cells for key, cells in self.columns.items() if key.lower() == "split"), [""] * len(self.ids))
        here, predicted = {splits[row] for row in rows}, set(rows)
        labelled = ~np.isnan(self.labels).all(1)
        lost = sum(labelled[row] and splits[row] in here and row not in predicted for row in range(len(self.ids)))
        blank = int(np.isnan(labels).all(1).sum())
        notes = ((lost, "have a label and no prediction"), (blank, "have no label"))
        return tuple(f"{count} of the clips {what}: left out" for count, what in notes if count)


def read_scored(path: os.PathLike, split: str = "val", labels: Optional[os.PathLike] = None,
                group: Optional[str] = None) -> Scored:
    """Predictions and labels of a run folder, of a study (see `study/`), or of a table of predictions.

    Args:
        path: run folder (its predictions_<split>.csv is read), a study's (its held_out.csv), or a CSV of predictions.
        labels: CSV of labels, or the data set's folder; without it, those of the records that the run was trained on.
        group: column whose groups intervals resample, "none" for clips; without it, the recipe's or one of people.

    Raises:
        DataError: something is missing, or a clip has no row of labels.
    """
    path = Path(path)
    table_path = path
    if path.is_dir():
        table_path = path / HELD_OUT if is_study(path) else path / f"predictions_{split}.csv"
    if path.is_dir() and not table_path.is_file():
        raise DataError(f"{path}: has no predictions_{split}.csv; write it with `mindface-eri evaluate {path} "
                        f"--split {split}`")
    table = read_predictions(table_path)
    truth = _truth_of_table(labels, table.emotions) if labels is not None else _truth_of_run(path, table.emotions)
    scored = truth.match(path.name if path.is_dir() else path.stem, table.ids, table.emotions, table.values)
    return scored if group is None else scored.grouped(group)


def is_study(path: os.PathLike) -> bool:
    """Whether a folder is that of a finished study."""
    return (Path(path) / HELD_OUT).is_file()


def evaluate_run(run: os.PathLike, records: Optional[os.PathLike] = None, split: str = "val", *,
                 labels: Optional[os.PathLike] = None, device: Optional[str] = None,
                 group: Optional[str] = None) -> Scored:
    """Lets a run predict a split, writes predictions_<split>.csv, and puts the labels beside it.

    Args:
        run: run folder or `.ckpt` file; a study's folder, whose predictions are there, is only read.
        records: folder of records; without it, those the run was trained on. Its splits are cut anew where the run's
            were (`data.folds`).
        labels: CSV of labels that takes the place of the records' own.
        group: as of `read_scored`.
    """
    if is_study(run):
        return read_scored(run, labels=labels, group=group)
    from mindface_eri.evaluation.evaluator import evaluate  # brings MindSpore with it

    result = evaluate(run, records, split, device=device)
    truth = _truth_of_table(labels, result.emotions) if labels is not None else \
        _truth_of_records(result.records, result.ids, [split] * len(result.ids), result.group)
    scored = truth.match(str(result.path or run), result.ids, result.emotions,
                         np.asarray(result.predictions, np.float64))
    scored = dataclasses.replace(scored, notes=(*scored.notes, *result.left_out))
    return scored if group is None else scored.grouped(group)


def _truth_of_table(path: os.PathLike, emotions: Tuple[str, ...]) -> _Truth:
    path = Path(path)
    if path.is_dir():  # the data set's folder
        path = next((path / name for name in ("data_info.csv", "labels.csv") if (path / name).is_file()), path)
    values = read_predictions(path, emotions)
    table = read_table(path)
    return _Truth(str(path), values.ids, values.values,
                  {name: [row[i] for _, row in table.rows] for i, name in enumerate(table.header)
                   if name not in ("File_ID", *emotions)})


def _truth_of_records(records: Records, ids: Sequence[str], splits: Sequence[str], group: Optional[str]) -> _Truth:
    columns = {name: records.column(name, ids=ids) for name in records.extra}
    return _Truth(str(records.path), ids, np.asarray(records.labels(ids=ids), np.float64), {"split": splits, **columns},
                  group)


def _truth_of_run(path: Path, emotions: Tuple[str, ...]) -> _Truth:
    """The labels that a run folder's records hold."""
    if not path.is_dir():
        raise DataError(f"{path}: is a table of predictions, not a run folder; name its labels with --labels")
    if not (path / "config.yaml").is_file():
        raise DataError(f"{path}: has no config.yaml to find its records by; name the labels with --labels")
    data = load_config(path / "config.yaml").data
    folder = data.records
    if folder is None or not Path(folder).is_dir():
        raise DataError(f"{path}: its records ({folder}) are not there; name the labels with --labels")
    records = open_records(folder)
    if tuple(records.emotions) != tuple(emotions):
        raise DataError(f"{path}: predicts {', '.join(emotions)} but its records have {', '.join(records.emotions)}; "
                        "name the labels with --labels")
    return _truth_of_records(records, records.ids(), fold_splits(records, data), data.group)


def read_history(run: os.PathLike) -> List[dict]:
    """The lines of a run's metrics.jsonl, NaN for its null; a last line that a kill cut short is left out.

    Raises:
        DataError: there is no such file, or another line is not JSON.
    """
    path = Path(run) / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); is {run} a run folder?") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; train again, or copy the run again") from None
    history = []
    for number, line in enumerate(lines, 1):
        try:
            history.append(_numbers(json.loads(line)))
        except (ValueError, RecursionError):
            if number < len(lines):
                raise DataError(f"{path}: line {number} is not JSON") from None
    return history


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return float("nan") if value is None else value
