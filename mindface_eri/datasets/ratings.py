# SPDX-License-Identifier: Apache-2.0
"""Ratings of clips by several people: their scale, their mean, and how far they agree."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

# Ends of scales that are in use, by whether they begin at 0 or at 1; a guess takes the first that holds all ratings.
_FROM_0 = (1, 3, 4, 5, 6, 8, 10, 100)
_FROM_1 = (3, 4, 5, 6, 7, 9, 10)


def guess_scale(values: np.ndarray) -> Optional[Tuple[float, float]]:
    """The scale (low, high) of ratings, NaN among them; None where none in use holds them.

    Ratings from 0 to 1 are on that scale; those that never fall below 1 are taken to begin there.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0 or known.min() < 0:
        return (0.0, 1.0) if len(known) == 0 else None
    low, ends = (1.0, _FROM_1) if known.min() >= 1 and 1 < known.max() <= _FROM_1[-1] else (0.0, _FROM_0)
    return next(((low, float(high)) for high in ends if known.max() <= high), None)


def agreement(ratings: np.ndarray) -> float:
    """Krippendorff's alpha for interval data of one emotion: 1 is agreement, 0 what chance gives.

    Args:
        ratings: (clips, raters), NaN where a rater said nothing.

    Returns:
        NaN where no clip has two ratings, or all ratings are alike (Krippendorff 2011, "Computing Krippendorff's
        Alpha-Reliability").
    """
    rows = [row[np.isfinite(row)] for row in ratings]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        return float("nan")
    pooled = np.concatenate(rows)
    # Half the sum of squared differences of all pairs of n values is n times their sum of squares about the mean.
    within = sum(2 * len(row) * ((row - row.mean()) ** 2).sum() / (len(row) - 1) for row in rows) / len(pooled)
    every = 2 * ((pooled - pooled.mean()) ** 2).sum() / (len(pooled) - 1)
    return float(1 - within / every) if every > 0 else float("nan")
