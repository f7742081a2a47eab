# SPDX-License-Identifier: Apache-2.0
"""The figure of a cross-validation: how far its folds, and the seeds within each, lie apart."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from matplotlib.figure import Figure

from mindface_eri.errors import DataError
from mindface_eri.report.style import COLOURS, GRID, INK, MUTED, new_figure, styled


@styled
def folds_figure(grid: np.ndarray, counts: Sequence[str], pooled: float, *, low: Optional[float] = None,
                 high: Optional[float] = None, title: str = "") -> Figure:
    """A point for each training, folds side by side, with the pooled score of all as a line in its interval.

    Args:
        grid: (folds, seeds) mean Pearson on the clips held out; NaN is left out.
        counts: what each fold holds, such as "20 clips", for its tick.
        pooled, low, high: mean Pearson over all clips held out, and its interval.
    """
    grid = np.asarray(grid, np.float64)
    if grid.ndim != 2 or not grid.size or len(counts) != len(grid):
        raise DataError(f"folds: scores {grid.shape} and {len(counts)} names; need (folds, seeds) and a name a fold")
    folds, seeds = grid.shape
    figure = new_figure(max(3.6, 1.4 + 0.95 * folds), 2.9)
    axis = figure.subplots()
    if low is not None and high is not None:
        axis.axhspan(low, high, color=GRID, alpha=0.6, linewidth=0)
    axis.axhline(pooled, color=INK, linewidth=1.1)
    for seed in range(seeds):
        shift = (seed - (seeds - 1) / 2) * min(0.16, 0.6 / seeds)
        axis.plot(np.arange(folds) + shift, grid[:, seed], "o", color=COLOURS[seed % len(COLOURS)], markersize=5,
                  markeredgecolor="white", markeredgewidth=0.6, label=f"seed {seed}")
    axis.axhline(0, color=MUTED, linewidth=0.7, linestyle=":")
    axis.set_xticks(range(folds), [f"fold {fold + 1}\n{count}" for fold, count in enumerate(counts)])
    axis.set(xlim=(-0.6, folds - 0.4), ylabel="mean Pearson ρ, held out")
    axis.grid(axis="y")
    axis.tick_params(axis="x", length=0)
    if seeds > 1:
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower right", ncols=min(seeds, 5))
    if title:
        figure.suptitle(title)
    return figure
