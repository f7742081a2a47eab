# SPDX-License-Identifier: Apache-2.0
"""Challenge submissions: writing `predictions.csv` so that every test clip stands there once, and checking one."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.labels import bare_id
from mindface_eri.datasets.predictions import PredictionTable, write_predictions
from mindface_eri.datasets.tables import number
from mindface_eri.errors import DataError

# What stands in the row of a test clip that nobody predicted.
POLICIES = {"fail": "refuse to write", "mean": "the mean of the predicted clips", "zero": "zeros"}


def write_submission(path: os.PathLike, tables: Sequence[PredictionTable], test_ids: Sequence[str],
                     emotions: Sequence[str], *, missing: str = "fail",
                     weights: Optional[Sequence[float]] = None) -> Tuple[str, ...]:
    """Writes a submission: one row a test clip, in the order of `test_ids`.

    Args:
        tables: predictions; several are averaged clip by clip, over those that have the clip.
        emotions: the columns, in the order wanted.
        missing: a policy out of `POLICIES` for clips that no table has.
        weights: one number a table for the mean; equal by default.

    Returns:
        ids of the clips that the policy filled.

    Raises:
        DataError: the policy is "fail" and a clip is missing, a column is missing, or what was written does not pass
            `check_submission`.
    """
    if missing not in POLICIES:
        raise DataError(f"submission: policy {missing!r} is not one of {', '.join(POLICIES)}")
    values, absent = _average(tables, test_ids, emotions, weights)
    if absent.any():
        ids = [clip for clip, gone in zip(test_ids, absent) if gone]
        if missing == "fail":
            raise DataError(f"submission: {len(ids)} of {len(test_ids)} test clips have no prediction, first {ids[0]}; "
                            "predict them, or choose what stands in their rows with --missing mean or zero")
        if absent.all():
            raise DataError("submission: not one test clip has a prediction; are these the ids of the test split?")
        values[absent] = values[~absent].mean(0) if missing == "mean" else 0.0
    clipped = np.clip(values, 0.0, 1.0)  # an average of values in range is in range but for rounding
    if np.abs(clipped - values).max() > 1e-6:
        row, column = np.argwhere(clipped != values)[0]
        raise DataError(f"submission: clip {test_ids[row]}, {emotions[column]}: {values[row, column]} is outside "
                        "[0, 1]")
    write_predictions(path, test_ids, emotions, clipped)
    problems = check_submission(path, test_ids, emotions)
    if problems:
        raise DataError(f"{path}: " + "; ".join(problems[:5]))
    return tuple(clip for clip, gone in zip(test_ids, absent) if gone)


def _average(tables: Sequence[PredictionTable], test_ids: Sequence[str], emotions: Sequence[str],
             weights: Optional[Sequence[float]]) -> Tuple[np.ndarray, np.ndarray]:
    """Mean values (N, E) and which clips (N,) no table has."""
    if not tables or not test_ids:
        raise DataError(f"submission: {len(tables)} tables of predictions for {len(test_ids)} test clips; need at "
                        "least one of each")
    weights = [1.0] * len(tables) if weights is None else list(weights)
    if len(weights) != len(tables) or min(weights) <= 0:
        raise DataError(f"submission: weights {weights} for {len(tables)} tables; need a positive one each")
    total, mass = np.zeros((len(test_ids), len(emotions))), np.zeros((len(test_ids), 1))
    for table, weight in zip(tables, weights):
        gone = [name for name in emotions if name not in table.emotions]
        if gone:
            raise DataError(f"submission: a table lacks {', '.join(gone)}; it has {', '.join(table.emotions)}")
        columns = [table.emotions.index(name) for name in emotions]
        row_of: Mapping[str, int] = {clip: row for row, clip in enumerate(table.ids)}
        for place, clip in enumerate(test_ids):
            if clip in row_of:
                row = table.values[row_of[clip], columns]
                if not np.isfinite(row).all():
                    raise DataError(f"submission: clip {clip}: {row} is not finite")
                total[place] += weight * row
                mass[place] += weight
    return total / np.where(mass > 0, mass, 1), mass[:, 0] == 0


def check_submission(path: os.PathLike, test_ids: Sequence[str], emotions: Sequence[str]) -> List[str]:
    """What is wrong with a submission, as sentences; an empty list when nothing is.

    Checked: the header `File_ID,<emotions>` in this order, bracketed ids, every test clip once and no other, and
    values that are finite and within [0, 1]. That all rows are alike is reported too: it scores 0.
    """
    try:
        with open(Path(path), newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [f"cannot be read as CSV ({error})"]
    expected = ["File_ID", *emotions]
    if not rows:
        return ["the file is empty"]
    problems = []
    if rows[0] != expected:
        problems.append(f"the header is {','.join(rows[0])}; expected {','.join(expected)}")
    seen: dict = {}
    values: List[List[float]] = []
    for line, row in enumerate(rows[1:], 2):
        problems += _check_row(line, row, len(expected), seen, values)
    wanted = set(test_ids)
    problems += _list("test clip without a row", [clip for clip in test_ids if clip not in seen])
    problems += _list("row of a clip that is not in the test split", [clip for clip in seen if clip not in wanted])
    if len(values) > 1 and not problems and np.ptp(np.asarray(values), axis=0).max() == 0:
        problems.append("all rows are alike: every correlation will be 0")
    return problems


def _check_row(line: int, row: List[str], width: int, seen: dict, values: List[List[float]]) -> List[str]:
    """What is wrong with a row; its values are added to `values`."""
    if len(row) != width:
        return [f"line {line}: {len(row)} cells; expected {width}"]
    name, problems = row[0], []
    if not (name.startswith("[") and name.endswith("]") and len(name) > 2):
        problems.append(f"line {line}: id {name!r} is not in brackets")
    clip = bare_id(name)
    if clip in seen:
        problems.append(f"line {line}: clip {clip} stands in line {seen[clip]} already")
    seen.setdefault(clip, line)
    numbers = []
    for cell in row[1:]:
        try:
            value = number(cell)
        except ValueError:
            return [*problems, f"line {line}: {cell!r} is not a number"]
        if not np.isfinite(value) or not 0.0 <= value <= 1.0:
            return [*problems, f"line {line}: {cell} is not a finite number in [0, 1]"]
        numbers.append(value)
    values.append(numbers)
    return problems


def _list(what: str, clips: List[str]) -> List[str]:
    return [f"{len(clips)} times: {what}, first {clips[0]}"] if clips else []
