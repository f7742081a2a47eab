# SPDX-License-Identifier: Apache-2.0
"""Agreement between predicted and labelled intensities, computed once over a whole split, in float64.

All functions take predictions and labels of shape (N, E) and give one value per emotion, shape (E,). Rows whose label
is missing (NaN) in an emotion are left out of that emotion. Correlations are never averaged over batches or shards:
that is another quantity.
"""

from __future__ import annotations

import warnings
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError

# A column counts as constant when its deviation is below this share of its magnitude: rounding, not signal.
_CONSTANT = 1e-12
_SAFE = 1e-6  # a draw's variance over the whole sample's below which its moments are not trusted
_CHUNK = 1 << 21  # rows drawn at a time, over all draws: 32 MiB of them and their counts


def pearson(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation (paper eq. 11), (N, E), (N, E) -> (E,).

    A constant column, of predictions or of labels, carries no information about the other: its answer is 0.0.
    Fewer than two labelled rows give NaN.
    """
    return _by_emotion(predictions, labels, _pearson)


def ccc(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Concordance correlation coefficient (Lin 1989), (N, E), (N, E) -> (E,).

    Two equal constant columns agree wholly and give 1.0; any other constant column gives 0.0.
    """
    return _by_emotion(predictions, labels, _ccc)


def mse(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean squared error (paper eq. 9), (N, E), (N, E) -> (E,)."""
    return _by_emotion(predictions, labels, lambda x, y: float(np.mean((x - y) ** 2)) if len(x) else np.nan)


def mae(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean absolute error, (N, E), (N, E) -> (E,)."""
    return _by_emotion(predictions, labels, lambda x, y: float(np.mean(np.abs(x - y))) if len(x) else np.nan)


METRICS: Dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pearson": pearson, "ccc": ccc, "mse": mse, "mae": mae}


def mean_pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The challenge's metric: the mean over emotions of Pearson's correlation (paper eq. 10)."""
    return float(np.mean(pearson(predictions, labels)))


def bootstrap(predictions: np.ndarray, labels: np.ndarray, metric: Callable = pearson, *, draws: int = 1000,
              confidence: float = 0.95, seed: int = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval over clips.

    Args:
        predictions, labels: (N, E).
        metric: a function of this module.
        draws: resamplings of the N clips with replacement.

    Returns:
        (low, high), each (E + 1,): one interval an emotion and, last, one of the mean over emotions. NaN where no draw
        has a value.
    """
    if not 0 < confidence < 1:
        raise DataError(f"bootstrap: confidence is {confidence}; it must lie within (0, 1)")
    tail = 50 * (1 - confidence)
    return intervals(resample(predictions, labels, metric, draws=draws, seed=seed), [tail, 100 - tail])


def intervals(values: np.ndarray, percentiles: Sequence[float]) -> np.ndarray:
    """Percentiles over the first axis, (len(percentiles), ...); NaN draws are left out, and without any it is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns of NaN
        return np.nanpercentile(values, percentiles, axis=0)


def resample(predictions: np.ndarray, labels: np.ndarray, metric: Callable = pearson, *, draws: int = 1000,
             seed: int = 0) -> np.ndarray:
    """The metric of bootstrap samples, (draws, E + 1), the last column its mean over emotions.

    Draw d takes the same clips whatever the predictions, so that two runs with one seed are paired.
    """
    predictions, labels = _validate(predictions, labels)
    clips = len(predictions)
    if draws < 1 or not clips:
        raise DataError(f"bootstrap: {draws} draws of {clips} clips; need at least one of each")
    random = np.random.default_rng(seed)
    chunk = max(1, min(draws, _CHUNK // clips))
    values = []
    for first in range(0, draws, chunk):
        rows = random.integers(0, clips, (min(chunk, draws - first), clips))
        values.append(_of_draws(predictions, labels, metric, rows))
    values = np.concatenate(values)
    return np.column_stack([values, values.mean(1)])


def _of_draws(predictions: np.ndarray, labels: np.ndarray, metric: Callable, rows: np.ndarray) -> np.ndarray:
    """The metric of each draw's rows (D, N) -> (D, E).

    Correlations come from weighted moments, one matrix product for all draws. A draw in which that would lose digits,
    as where nearly all its rows are alike, is computed from its rows.
    """
    if metric in (pearson, ccc):
        values, safe = _from_moments(predictions, labels, metric, rows)
    else:
        values, safe = np.empty((len(rows), labels.shape[1])), np.zeros(len(rows), bool)
    for draw in np.flatnonzero(~safe):
        values[draw] = metric(predictions[rows[draw]], labels[rows[draw]])
    return values


def _from_moments(predictions: np.ndarray, labels: np.ndarray, metric: Callable, rows: np.ndarray) -> tuple:
    """(D, E) values, and (D,) whether they can be trusted."""
    clips, emotions = labels.shape
    times = np.stack([np.bincount(row, minlength=clips) for row in rows]).astype(np.float64)  # (D, N)
    known = ~np.isnan(labels)
    count = np.maximum(known.sum(0), 1)
    middle = [np.where(known, z, 0.0).sum(0) / count for z in (predictions, labels)]
    with np.errstate(all="ignore"):  # what overflows is not safe
        x, y = (np.where(known, z - m, 0.0) for z, m in zip((predictions, labels), middle))
        spread = [np.sqrt((z * z).sum(0) / count) for z in (x, y)]
        moments = times @ np.concatenate([known, x, y, x * x, y * y, x * y], axis=1)  # (D, 6E)
        n, x, y, xx, yy, xy = np.moveaxis(moments.reshape(len(rows), 6, emotions), 1, 0)
        x, y, xx, yy, xy = (z / n for z in (x, y, xx, yy, xy))
        xx, yy, xy = xx - x * x, yy - y * y, xy - x * y
        safe = (n >= 2) & (xx > _SAFE * spread[0] ** 2) & (yy > _SAFE * spread[1] ** 2)
        for s, m in zip(spread, middle):  # an offset that dwarfs the spread has cost digits
            safe &= s > _SAFE * np.abs(m)
        if metric is pearson:
            values = np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)
        else:
            values = 2 * xy / (xx + yy + (x + middle[0] - y - middle[1]) ** 2)
    return values, (safe & np.isfinite(values)).all(1)


def _by_emotion(predictions: np.ndarray, labels: np.ndarray, function: Callable) -> np.ndarray:
    predictions, labels = _validate(predictions, labels)
    known = ~np.isnan(labels)
    return np.array([function(predictions[known[:, e], e], labels[known[:, e], e]) for e in range(labels.shape[1])])


def _validate(predictions: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    predictions, labels = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    if predictions.shape != labels.shape or predictions.ndim != 2:
        raise DataError(f"predictions {predictions.shape} and labels {labels.shape}: both must be (clips, emotions) "
                        "and alike")
    if not np.isfinite(predictions).all():
        row, column = np.argwhere(~np.isfinite(predictions))[0]
        raise DataError(f"predictions: row {row}, column {column} is {predictions[row, column]}; a prediction must be "
                        "finite (has training diverged?)")
    return predictions, labels


def _scaled(x: np.ndarray) -> np.ndarray:
    """Divided by its largest magnitude, so that no square overflows or vanishes."""
    largest = np.abs(x).max()
    return x / largest if largest > 0 else x


def _constant(x: np.ndarray) -> bool:
    return bool(np.ptp(x) <= _CONSTANT * np.abs(x).max())


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    x, y = _scaled(x), _scaled(y)
    if _constant(x) or _constant(y):
        return 0.0
    x, y = _scaled(x - x.mean()), _scaled(y - y.mean())
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _ccc(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    x, y = _scaled(np.stack([x, y]))
    if _constant(x) or _constant(y):
        return float(_constant(x) and _constant(y) and np.isclose(x[0], y[0], rtol=0, atol=_CONSTANT))
    gap = x.mean() - y.mean()
    x, y = x - x.mean(), y - y.mean()
    return float(2 * np.mean(x * y) / (np.mean(x * x) + np.mean(y * y) + gap ** 2))
