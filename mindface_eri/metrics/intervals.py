# SPDX-License-Identifier: Apache-2.0
"""How far a correlation can be trusted: the jackknife over groups (people), with Student's t.

Clips of one person are alike, so that a person, not a clip, is what another sample would draw anew. Each group in turn
is left out, and the spread of what the others give is the standard error (Tukey 1958; with few groups it bounds better
than the percentile bootstrap, MacKinnon, Nielsen and Webb 2023). Nothing is drawn by chance.
"""

from __future__ import annotations

import warnings
from typing import Optional, Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.metrics.correlation import is_constant, pearson, validate

# A variance below this share of the whole sample's has lost digits to the subtraction: it is computed from its rows.
_SAFE = 1e-6
_LARGEST = 1 - 1e-15  # a correlation of 1 has no finite Fisher z


class Jackknife:
    """Pearson's correlation of each emotion and, last, their mean, with and without each group.

    Args:
        predictions, labels: (N, E); NaN labels are left out of their emotion.
        groups: which group each of the N clips belongs to; None takes each clip as one of its own.

    Attributes:
        values: (E + 1,)
        without: (G, E + 1), each group left out.
        informed: (G, E + 1) bool, whether the group has a label there at all.
        counts: (E + 1,) groups that have one; for the mean, as few as the emotion with the fewest has.
    """

    def __init__(self, predictions: np.ndarray, labels: np.ndarray, groups: Optional[Sequence[str]] = None) -> None:
        predictions, labels = validate(predictions, labels)
        if groups is not None and len(groups) != len(labels):
            raise DataError(f"{len(groups)} groups for {len(labels)} clips; give one each")
        group_of = np.arange(len(labels)) if groups is None else np.unique(list(groups), return_inverse=True)[1]
        informed, without = _leave_out(predictions, labels, group_of)
        self.values = _with_mean(pearson(predictions, labels)[None])[0]
        self.without = _with_mean(without)
        self.informed = np.column_stack([informed, informed.any(1)])
        self.counts = np.append(informed.sum(0), informed.sum(0).min(initial=len(informed)))

    def interval(self, confidence: float = 0.95) -> Tuple[np.ndarray, np.ndarray]:
        """(low, high), each (E + 1,): on the scale of Fisher's z, so that they stay within -1 and 1.

        NaN where fewer than two groups speak, or leaving one out leaves fewer than two labels.
        """
        reach = _quantile(confidence, self.counts) * self._error(_fisher(self.without))
        z = _fisher(self.values)
        return np.tanh(z - reach), np.tanh(z + reach)

    def difference(self, other: Jackknife, confidence: float = 0.95) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(low, high, p) of these values minus another's on the same clips, each (E + 1,); p is two-sided."""
        from scipy.stats import t  # takes a while to import, and only scoring needs it

        gap = self.values - other.values
        error = self._error(self.without - other.without)
        reach = _quantile(confidence, self.counts) * error
        with np.errstate(invalid="ignore", divide="ignore"):  # two runs that always agree: 0 / 0
            p_value = 2 * t.sf(np.abs(gap) / error, self.counts - 1)
        return gap - reach, gap + reach, np.where((gap == 0) & (error == 0), 1.0, p_value)

    def _error(self, without: np.ndarray) -> np.ndarray:
        """The standard error of each column of (G, E + 1), by the groups that have something to say there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self.informed, without, 0.0).sum(0) / self.informed.sum(0)
            squares = np.where(self.informed, (without - mean) ** 2, 0.0).sum(0)
            return np.sqrt((self.counts - 1) / self.counts * squares)


def _leave_out(predictions: np.ndarray, labels: np.ndarray, group_of: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Which groups have a label, (G, E), and the correlation without each, (G, E)."""
    known = ~np.isnan(labels)
    sums, spreads = _moments(predictions, labels, known, group_of)
    with np.errstate(all="ignore"):  # what overflows is not safe
        n, x, y, xx, yy, xy = np.moveaxis(sums.sum(0) - sums, 1, 0)
        x, y, xx, yy, xy = (z / n for z in (x, y, xx, yy, xy))
        xx, yy, xy = xx - x * x, yy - y * y, xy - x * y
        without = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
        safe = (n >= 2) & (xx > _SAFE * spreads[0]) & (yy > _SAFE * spreads[1]) & np.isfinite(without)
    for e in range(labels.shape[1]):
        columns = predictions[known[:, e], e], labels[known[:, e], e]
        if len(columns[0]) and any(map(is_constant, columns)) and len(sums) > 1:
            without[:, e] = 0.0  # as `pearson` has it, whatever is left out
            continue
        for group in np.flatnonzero(~safe[:, e]):
            rest = known[:, e] & (group_of != group)
            without[group, e] = pearson(predictions[rest, e:e + 1], labels[rest, e:e + 1])[0]
    return sums[:, 0] > 0, without


def _moments(predictions: np.ndarray, labels: np.ndarray, known: np.ndarray,
             group_of: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Sums of 1, x, y, xx, yy, xy over each group, (G, 6, E), about the whole sample's means, and (2, E) variances.

    A variance is infinite, so that nothing is safe, where an offset dwarfs the spread: the moments have lost digits.
    """
    count = np.maximum(known.sum(0), 1)
    x, y = (np.where(known, z, 0.0) for z in (predictions, labels))
    middles = np.stack([z.sum(0) / count for z in (x, y)])
    with np.errstate(all="ignore"):
        x, y = (np.where(known, z - m, 0.0) for z, m in zip((x, y), middles))
        order = np.argsort(group_of, kind="stable")
        starts = np.flatnonzero(np.diff(group_of[order], prepend=-1))
        sums = np.add.reduceat(np.stack([known, x, y, x * x, y * y, x * y], axis=1)[order], starts)
        variances = sums.sum(0)[3:5] / count
    return sums, np.where(np.sqrt(variances) > _SAFE * np.abs(middles), variances, np.inf)


def _quantile(confidence: float, counts: np.ndarray) -> np.ndarray:
    from scipy.stats import t

    if not 0 < confidence < 1:
        raise DataError(f"confidence is {confidence}; it must lie within (0, 1)")
    return t.ppf(0.5 + confidence / 2, np.where(counts > 1, counts - 1, np.nan))


def _fisher(values: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(values, -_LARGEST, _LARGEST))


def _with_mean(values: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.column_stack([values, values.mean(1)])
