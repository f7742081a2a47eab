# SPDX-License-Identifier: Apache-2.0
"""Runs side by side, with the paired bootstrap: the same resampled clips for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import intervals, pearson, resample


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
    values: np.ndarray  # (R, E + 1)
    low: np.ndarray
    high: np.ndarray
    difference_low: np.ndarray
    difference_high: np.ndarray
    p_value: np.ndarray
    confidence: float

    def rows(self) -> List[list]:
        """One row a run, under `headers`: the mean, its interval and its difference from the first run."""
        rows = []
        for r, name in enumerate(self.names):
            row = [name, *map(float, (self.values[r, -1], self.low[r, -1], self.high[r, -1]))]
            if r == 0:
                row += [None, None, None, None]
            else:
                row += list(map(float, (self.values[r, -1] - self.values[0, -1], self.difference_low[r, -1],
                                        self.difference_high[r, -1], self.p_value[r, -1])))
            rows.append(row)
        return rows

    def headers(self) -> List[str]:
        """Of `rows`."""
        return ["run", "mean Pearson", "low", "high", f"minus {self.names[0]}", "low", "high", "p"]

    def emotion_rows(self) -> List[list]:
        """One row an emotion: the value of each run, then p of each run but the first."""
        return [[name, *map(float, self.values[:, e]), *map(float, self.p_value[1:, e])]
                for e, name in enumerate((*self.emotions, "mean"))]

    def emotion_headers(self) -> List[str]:
        """Of `emotion_rows`."""
        return ["emotion", *self.names, *(f"p of {name}" for name in self.names[1:])]


def compare(runs: Sequence[Scored], *, draws: int = 2000, confidence: float = 0.95, seed: int = 0) -> Comparison:
    """Compares runs by Pearson's correlation with the paired bootstrap over clips.

    Each draw resamples the clips with replacement, once for all runs. A difference's two-sided p is twice the smaller
    share of draws on either side of zero, counting the observed sample among them, at most 1.

    Raises:
        DataError: fewer than two runs, different emotions, no common labelled clip, or labels that disagree.
    """
    if len(runs) < 2 or draws < 1:
        raise DataError(f"compare: {len(runs)} runs and {draws} draws; at least two runs and one draw are needed")
    names = _unique([run.name for run in runs])
    ids, left_out, predictions, labels = _common(runs)
    values = np.stack([_scores(p, labels) for p in predictions])  # (R, E + 1)
    sampled = np.stack([resample(p, labels, draws=draws, seed=seed) for p in predictions], 1)  # the same clips for all
    tails = [50 * (1 - confidence), 100 - 50 * (1 - confidence)]
    difference = sampled - sampled[:, :1]
    low, high = intervals(sampled, tails)
    difference_low, difference_high = intervals(difference, tails)
    below, above = ((difference <= 0).sum(0) + 1) / (draws + 1), ((difference >= 0).sum(0) + 1) / (draws + 1)
    return Comparison(tuple(names), runs[0].emotions, len(ids), left_out, values, low, high, difference_low,
                      difference_high, np.minimum(2 * np.minimum(below, above), 1.0), confidence)


def _scores(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    values = pearson(predictions, labels)
    return np.append(values, values.mean())


def _unique(names: Sequence[str]) -> List[str]:
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


def _common(runs: Sequence[Scored]) -> Tuple[List[str], int, List[np.ndarray], np.ndarray]:
    """Clips that every run predicted and that have a label, predictions of each run and labels in their order."""
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
        rows = [row_of[clip] for clip in ids]
        tables.append((run.predictions[rows], run.labels[rows]))
    for run, (_, labels) in zip(runs, tables):
        if not np.allclose(labels, tables[0][1], equal_nan=True, atol=1e-6):
            raise DataError(f"compare: {run.name} and {first.name} disagree on the labels of the same clips; give both "
                            "the same --labels")
    return ids, len(union) - len(shared), [p for p, _ in tables], tables[0][1]
