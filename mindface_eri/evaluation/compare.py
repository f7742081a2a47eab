# SPDX-License-Identifier: Apache-2.0
"""Runs side by side on the same clips: the jackknife leaves out the same people for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import Jackknife


@dataclass(frozen=True)
class Comparison:
    """Pearson of R runs on the clips that all of them predicted; the last of E + 1 columns is the mean over emotions.

    `low`, `high` bound each value, `difference_low`, `difference_high` its difference from the first run, at
    `confidence`; `p_value` is two-sided, of no difference from the first run.
    """

    names: Tuple[str, ...]
    emotions: Tuple[str, ...]
    clips: int
    left_out: int  # clips that some run did not predict
    over: str  # what was resampled, for people
    values: np.ndarray  # (R, E + 1)
    low: np.ndarray
    high: np.ndarray
    difference_low: np.ndarray
    difference_high: np.ndarray
    p_value: np.ndarray
    confidence: float

    def rows(self) -> List[list]:
        """One row a run, under `headers`: the mean, interval and difference from the first run; None: no value."""
        rows = []
        for r, name in enumerate(self.names):
            row = [name, *map(_known, (self.values[r, -1], self.low[r, -1], self.high[r, -1]))]
            if r == 0:
                row += [None, None, None, None]
            else:
                row += list(map(_known, (self.values[r, -1] - self.values[0, -1], self.difference_low[r, -1],
                                         self.difference_high[r, -1], self.p_value[r, -1])))
            rows.append(row)
        return rows

    def headers(self) -> List[str]:
        """Of `rows`."""
        return ["run", "mean Pearson", "low", "high", f"minus {self.names[0]}", "low", "high", "p"]

    def emotion_rows(self) -> List[list]:
        """One row an emotion: the value of each run, then p of each run but the first."""
        return [[name, *map(_known, self.values[:, e]), *map(_known, self.p_value[1:, e])]
                for e, name in enumerate((*self.emotions, "mean"))]

    def emotion_headers(self) -> List[str]:
        """Of `emotion_rows`."""
        return ["emotion", *self.names, *(f"p of {name}" for name in self.names[1:])]


def compare(runs: Sequence[Scored], *, confidence: float = 0.95) -> Comparison:
    """Compares runs by Pearson's correlation, with intervals and two-sided p by the jackknife.

    The groups (people) of the first run that knows them are left out one at a time, the same for all runs, so that
    what runs have in common does not count as chance.

    Raises:
        DataError: fewer than two runs, different emotions, no common labelled clip, or labels that disagree.
    """
    if len(runs) < 2:
        raise DataError(f"compare: {len(runs)} runs; at least two are needed")
    left_out, shared = _common(runs)
    known = next((run for run in shared if run.group is not None), shared[0])
    each = [Jackknife(run.predictions, shared[0].labels, known.groups) for run in shared]
    low, high = np.stack([one.interval(confidence) for one in each], 1)
    difference_low, difference_high, p_value = np.stack([one.difference(each[0], confidence) for one in each], 1)
    return Comparison(tuple(_unique([run.name for run in runs])), runs[0].emotions, len(known.ids), left_out,
                      known.over, np.stack([one.values for one in each]), low, high, difference_low, difference_high,
                      p_value, confidence)


def _known(value: float) -> Optional[float]:
    return None if np.isnan(value) else float(value)


def _unique(names: Sequence[str]) -> List[str]:
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


def _common(runs: Sequence[Scored]) -> Tuple[int, List[Scored]]:
    """How many clips some run did not predict, and the runs on those that all did and that have a label."""
    first = runs[0]
    for run in runs[1:]:
        if run.emotions != first.emotions:
            raise DataError(f"compare: {run.name} predicts {', '.join(run.emotions)} but {first.name} "
                            f"{', '.join(first.emotions)}")
    shared = set(first.ids).intersection(*(run.ids for run in runs[1:]))
    union = set(first.ids).union(*(run.ids for run in runs[1:]))
    labelled = {clip for clip, known in zip(first.ids, first.labelled) if known}
    ids = [clip for clip in first.ids if clip in shared and clip in labelled]
    if not ids:
        raise DataError(f"compare: {', '.join(run.name for run in runs)} have no labelled clip in common; "
                        "do they come from the same split?")
    tables = []
    for run in runs:
        row_of = {clip: row for row, clip in enumerate(run.ids)}
        tables.append(run.take([row_of[clip] for clip in ids]))
    for run, table in zip(runs, tables):
        if not np.allclose(table.labels, tables[0].labels, equal_nan=True, atol=1e-6):
            raise DataError(f"compare: {run.name} and {first.name} disagree on the labels of the same clips; give both "
                            "the same --labels")
    return len(union) - len(shared), tables
