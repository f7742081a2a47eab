# SPDX-License-Identifier: Apache-2.0
"""Figures of a run: learning curves, quantised confusion, counts by level, scatter and bars (paper figs. 2 to 4).

Each function takes plain arrays and returns a Matplotlib figure; `style.save_figure` writes it.
"""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure

from mindface_eri.errors import DataError
from mindface_eri.metrics import pearson
from mindface_eri.report.clip_figure import prediction_figure
from mindface_eri.report.style import COLOURS, GRID, INK, MUTED, new_figure, small_multiples, styled

__all__ = ["ablation_figure", "confusion_figure", "counts_figure", "learning_curves", "prediction_figure",
           "quantise", "scatter_figure"]


def quantise(values: np.ndarray, levels: int = 10) -> np.ndarray:
    """Intensities in [0, 1] -> levels 0 .. levels - 1, each 1 / levels wide; 1.0 is in the highest.

    NaN gives -1.
    """
    values = np.asarray(values, np.float64)
    known = np.where(np.isnan(values), 0.0, values)
    # The small shift keeps 0.3, stored as 0.2999..., in the level that starts at 0.3.
    level = np.clip(np.floor(known * levels + 1e-9), 0, levels - 1).astype(np.int64)
    return np.where(np.isnan(values), -1, level)


@styled
def learning_curves(history: Sequence[Mapping], title: str = "") -> Figure:
    """Loss, validation Pearson and learning rate against the epoch.

    Args:
        history: the lines of metrics.jsonl: mappings with `epoch` and any of loss, val_loss, val_pearson, lr.
    """
    if not history:
        raise DataError("learning curves: metrics.jsonl has no line yet; they need one finished epoch")
    panels = [(("loss", "val_loss"), "Loss"), (("val_pearson",), "Validation Pearson ρ"), (("lr",), "Learning rate")]
    panels = [(keys, label) for keys, label in panels if any(key in row for row in history for key in keys)]
    figure, axes, _ = small_multiples(max(len(panels), 1), panel=(2.9, 2.4), columns=3)
    for axis, (keys, label) in zip(axes, panels):
        for number, key in enumerate(keys):
            points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
            if not points:
                continue
            x, y = map(np.asarray, zip(*points))
            name = {"loss": "training", "val_loss": "validation"}.get(key, key)
            axis.plot(x, y, color=COLOURS[number], drawstyle="steps-post" if key == "lr" else "default",
                      marker="o" if len(x) == 1 else "", markersize=4, linestyle=("-", "--")[number], label=name)
            if key == "val_pearson" and np.isfinite(y).any():
                _mark_best(axis, x, y)
        axis.set(title=label, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="y")
        if keys == ("lr",):
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:.1e}")
            axis.set_ylim(bottom=0)
        if len(axis.lines) > 1 and keys[0] == "loss":
            axis.legend()
    if title:
        figure.suptitle(title)
    return figure


def _mark_best(axis, x: np.ndarray, y: np.ndarray) -> None:
    best = int(np.nanargmax(y))
    axis.plot(x[best], y[best], "o", color=COLOURS[1], markersize=5)
    right = x[best] > (x[0] + x[-1]) / 2
    axis.annotate(f"{y[best]:.4f}, epoch {x[best]}", (x[best], y[best]), (-4 if right else 4, 5),
                  textcoords="offset points", ha="right" if right else "left", fontsize=7.5)
    axis.margins(y=0.15)


@styled
def confusion_figure(predictions: np.ndarray, labels: np.ndarray, emotions: Sequence[str], *, levels: int = 10,
                     title: str = "") -> Figure:
    """Confusion of quantised intensity, one panel an emotion (paper figs. 2 and 3).

    Each row is a level of the label and sums to one; its number of clips stands at the right. A row without clips
    is blank.

    Args:
        predictions, labels: (N, E); NaN labels are left out.
    """
    predictions, labels = _checked(predictions, labels, emotions)
    figure, axes, bottom = small_multiples(len(emotions), panel=(2.6, 2.75), columns=4)
    shares, largest = [], 0.2
    for e, (axis, emotion) in enumerate(zip(axes, emotions)):
        truth, guess = quantise(labels[:, e], levels), quantise(predictions[:, e], levels)
        table = np.zeros((levels, levels))
        np.add.at(table, (truth[truth >= 0], guess[truth >= 0]), 1)
        total = table.sum(1, keepdims=True)
        share = np.where(total > 0, table / np.maximum(total, 1), np.nan)
        shares.append(axis.imshow(share, cmap="Blues", vmin=0, vmax=1, origin="lower"))
        largest = max(largest, float(np.nanmax(share, initial=0.0)))
        axis.plot([-0.5, levels - 0.5], [-0.5, levels - 0.5], color=MUTED, linewidth=0.7, linestyle=":")
        near = table[np.abs(np.subtract.outer(range(levels), range(levels))) <= 1].sum() / max(table.sum(), 1)
        axis.set_title(f"{emotion}\n", fontsize=9.5)
        axis.text(0, 1.02, f"{near:.0%} within one level", transform=axis.transAxes, fontsize=7.5, color=MUTED)
        for level in range(levels):
            axis.text(levels - 0.3, level, f"{int(total[level, 0])}", va="center", fontsize=6, color=MUTED)
        axis.set(xticks=range(0, levels, 3), yticks=range(0, levels, 3))
        axis.spines[:].set_visible(False)
        axis.set_ylabel("label level" if e % 4 == 0 else "")
    for axis in bottom:
        axis.set_xlabel("predicted level")
    for picture in shares:
        picture.set_clim(0, largest)
    bar = figure.colorbar(shares[0], ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("share of the row")
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title)
    return figure


@styled
def counts_figure(predictions: np.ndarray, labels: np.ndarray, emotions: Sequence[str], *, levels: int = 10,
                  title: str = "") -> Figure:
    """Clips by level of intensity, labels beside predictions, one panel an emotion (paper fig. 4).

    Args:
        predictions, labels: (N, E); NaN labels are left out of both.
    """
    predictions, labels = _checked(predictions, labels, emotions)
    figure, axes, bottom = small_multiples(len(emotions), panel=(2.3, 1.9), columns=4, sharey=True)
    ticks = np.arange(levels)
    for e, (axis, emotion) in enumerate(zip(axes, emotions)):
        truth, guess = quantise(labels[:, e], levels), quantise(predictions[:, e], levels)
        for shift, values, name, look in ((-0.21, truth, "labels", {"color": COLOURS[0], "edgecolor": COLOURS[0]}),
                                          (0.21, guess, "predictions", {"color": "white", "edgecolor": COLOURS[1]})):
            counts = np.bincount(values[truth >= 0], minlength=levels)
            axis.bar(ticks + shift, counts, 0.42, label=name, linewidth=0.9, **look)
        axis.set_title(emotion)
        axis.set_xticks(ticks[::3], [f"{t / levels:.1f}" for t in ticks[::3]])
        axis.grid(axis="y")
        axis.set_ylabel("clips" if e % 4 == 0 else "")
    for axis in bottom:
        axis.set_xlabel("intensity, from")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    if title:
        figure.suptitle(title)
    return figure


@styled
def scatter_figure(predictions: np.ndarray, labels: np.ndarray, emotions: Sequence[str], *,
                   title: str = "") -> Figure:
    """Predictions against labels with Pearson's ρ, one panel an emotion; the dotted line is agreement.

    Args:
        predictions, labels: (N, E); NaN labels are left out.
    """
    predictions, labels = _checked(predictions, labels, emotions)
    figure, axes, bottom = small_multiples(len(emotions), panel=(2.2, 2.3), columns=4, sharex=True, sharey=True)
    rho = pearson(predictions, labels)
    for e, (axis, emotion) in enumerate(zip(axes, emotions)):
        known = ~np.isnan(labels[:, e])
        x, y = labels[known, e], predictions[known, e]
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        axis.plot(x, y, "o", color=COLOURS[0], markersize=3, markeredgewidth=0, rasterized=len(x) > 2000,
                  alpha=float(np.clip(150 / max(len(x), 1), 0.08, 0.7)))
        if len(x) > 1 and np.ptp(x) > 0:
            slope, offset = np.polyfit(x, y, 1)
            axis.plot([0, 1], [offset, slope + offset], color=COLOURS[1], linewidth=1.4)
        axis.set(title=emotion, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=(0, 0.5, 1),
                 yticks=(0, 0.5, 1))
        axis.text(0.04, 0.96, f"ρ = {rho[e]:.3f}", transform=axis.transAxes, va="top", weight="bold",
                  bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5})
        axis.set_ylabel("prediction" if e % 4 == 0 else "")
    for axis in bottom:
        axis.set_xlabel("label")
        axis.tick_params(labelbottom=True)
    figure.suptitle(title or f"mean ρ = {np.mean(rho):.4f} over {len(labels)} clips")
    return figure


@styled
def ablation_figure(values: Mapping[str, Tuple[float, Optional[float], Optional[float]]], *,
                    reference: Optional[Mapping[str, float]] = None, reference_name: str = "published",
                    label: str = "mean Pearson ρ", title: str = "") -> Figure:
    """Horizontal bars with intervals: ablations, modalities, folds, or the emotions of one run.

    Args:
        values: name -> (value, low, high); the interval may be (None, None).
        reference: values of somebody else, drawn as diamonds and named `reference_name`.
    """
    if not values:
        raise DataError("bars: nothing to draw")
    reference = reference or {}
    figure = new_figure(5.6, 0.75 + 0.34 * len(values) + (0.3 if reference else 0) + (0.3 if title else 0))
    axis = figure.subplots()
    rows = np.arange(len(values))[::-1]
    edge = max([0.0, *(v for entry in values.values() for v in entry if v is not None), *reference.values()])
    for row, (name, (value, low, high)) in zip(rows, values.items()):
        axis.barh(row, value, 0.62, color=COLOURS[0])
        if low is not None and high is not None:
            axis.plot([low, high], [row, row], color=INK, linewidth=1.3, marker="|", markersize=6,
                      path_effects=[patheffects.withStroke(linewidth=3, foreground="white")])  # seen on bars in grey
        if name in reference:
            axis.plot(reference[name], row, "D", color=COLOURS[1], markersize=5, markeredgecolor="white")
        axis.annotate(f"{value:.4f}", (edge, row), (8, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(rows, list(values))
    axis.axvline(0, color=MUTED, linewidth=0.8)
    axis.grid(axis="x", color=GRID)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(label)
    if reference:
        axis.plot([], [], "D", color=COLOURS[1], markersize=5, label=reference_name)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower right")
    if title:
        figure.suptitle(title)
    return figure


def _checked(predictions: np.ndarray, labels: np.ndarray, emotions: Sequence[str]) -> Tuple[np.ndarray, np.ndarray]:
    predictions, labels = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    wanted = (len(predictions), len(emotions))
    if predictions.shape != wanted or labels.shape != wanted or len(labels) == 0:
        raise DataError(f"figure: predictions {predictions.shape} and labels {labels.shape} must both be (clips, "
                        f"{len(emotions)}), with at least one clip")
    return predictions, labels
