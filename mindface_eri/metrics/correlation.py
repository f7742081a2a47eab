"""Agreement between predicted and labelled intensities, computed once over a whole split, in float64.

All functions take predictions and labels of shape (N, E) and give one value per emotion, shape (E,). Rows whose label
is missing (NaN) in an emotion are left out of that emotion. Correlations are never averaged over batches or shards:
that is another quantity.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

from mindface_eri.errors import DataError

# A column counts as constant when its deviation is below this share of its magnitude: rounding, not signal.
_CONSTANT = 1e-12


def pearson(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation (paper eq. 10), (N, E), (N, E) -> (E,).

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
    """The challenge's metric: the mean over emotions of Pearson's correlation (paper eq. 11)."""
    return float(np.mean(pearson(predictions, labels)))


def bootstrap(predictions: np.ndarray, labels: np.ndarray, metric: Callable = pearson, *, draws: int = 1000,
              confidence: float = 0.95, seed: int = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval over clips.

    Args:
        predictions, labels: (N, E).
        metric: a function of this module.
        draws: resamplings of the N clips with replacement.

    Returns:
        (low, high), each (E + 1,): one interval an emotion and, last, one of the mean over emotions.
    """
    predictions, labels = _validate(predictions, labels)
    if draws < 1 or not 0 < confidence < 1:
        raise DataError(f"bootstrap: draws is {draws} and confidence {confidence}; need at least 1 and within (0, 1)")
    random = np.random.default_rng(seed)
    values = np.empty((draws, predictions.shape[1] + 1))
    for draw in range(draws):
        rows = random.integers(0, len(predictions), len(predictions))
        values[draw, :-1] = metric(predictions[rows], labels[rows])
        values[draw, -1] = values[draw, :-1].mean()
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(values, [tail, 100 - tail], axis=0)
    return low, high


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


def _constant(x: np.ndarray) -> bool:
    return bool(np.ptp(x) <= _CONSTANT * max(1.0, np.abs(x).max()))


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    if _constant(x) or _constant(y):
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _ccc(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    if _constant(x) or _constant(y):
        return float(_constant(x) and _constant(y) and np.isclose(x[0], y[0], rtol=0, atol=_CONSTANT))
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    return float(2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))
