# SPDX-License-Identifier: Apache-2.0
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


def _by_emotion(predictions: np.ndarray, labels: np.ndarray, function: Callable) -> np.ndarray:
    predictions, labels = validate(predictions, labels)
    known = ~np.isnan(labels)
    return np.array([function(predictions[known[:, e], e], labels[known[:, e], e]) for e in range(labels.shape[1])])


def validate(predictions: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Both as float64 (N, E).

    Raises:
        DataError: other or different shapes, or a prediction that is not finite.
    """
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


def is_constant(x: np.ndarray) -> bool:
    """Whether a column (N,) varies by its rounding only."""
    return bool(np.ptp(x) <= _CONSTANT * np.abs(x).max())


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    x, y = _scaled(x), _scaled(y)
    if is_constant(x) or is_constant(y):
        return 0.0
    x, y = _scaled(x - x.mean()), _scaled(y - y.mean())
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _ccc(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2:
        return np.nan
    x, y = _scaled(np.stack([x, y]))
    if is_constant(x) or is_constant(y):
        return float(is_constant(x) and is_constant(y) and np.isclose(x[0], y[0], rtol=0, atol=_CONSTANT))
    gap = x.mean() - y.mean()
    x, y = x - x.mean(), y - y.mean()
    return float(2 * np.mean(x * y) / (np.mean(x * x) + np.mean(y * y) + gap ** 2))
