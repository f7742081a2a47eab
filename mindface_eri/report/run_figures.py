# SPDX-License-Identifier: Apache-2.0
"""All figures of a run, written into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored, read_history, read_scored
from mindface_eri.evaluation.scores import score_rows
from mindface_eri.report.figures import (
    ablation_figure,
    confusion_figure,
    counts_figure,
    learning_curves,
    scatter_figure,
)
from mindface_eri.report.style import save_figure


def draw_learning_curves(run: os.PathLike) -> Path:
    """Draws a run's learning curves into its folder and returns the picture's path.

    Raises:
        DataError: the run has no finished epoch.
    """
    return save_figure(learning_curves(read_history(run)), Path(run) / "learning_curves", ("png",))[0]


def write_run_figures(run: os.PathLike, out: Optional[os.PathLike] = None, *, split: str = "val",
                      labels: Optional[os.PathLike] = None,
                      formats: Sequence[str] = ("png", "svg")) -> Tuple[List[Path], List[str]]:
    """Learning curves, and, where predictions of `split` have labels: bars, scatter, confusion, counts by level.

    Args:
        run: run folder, or a CSV of predictions.
        out: folder to write; `<run>/figures`, or `figures` beside the CSV, by default.
        labels: CSV of labels; by default those of the run's records.

    Returns:
        (files written, reasons for what was left out).
    """
    run = Path(run)
    if not run.exists():
        raise DataError(f"{run}: no such run folder or table")
    out = Path(out) if out is not None else (run if run.is_dir() else run.parent) / "figures"
    written: List[Path] = []
    left_out: List[str] = []
    if run.is_dir():
        try:
            written += save_figure(learning_curves(read_history(run)), out / "learning_curves", formats)
        except DataError as error:
            left_out.append(str(error))
    try:
        scored = read_scored(run, split, labels)
        written += _of_predictions(scored, split, out, formats)
    except DataError as error:
        left_out.append(str(error))
    return written, left_out


def _of_predictions(scored: Scored, split: str, out: Path, formats: Sequence[str]) -> List[Path]:
    """The figures of a split's predictions."""
    labelled = scored.labelled
    if not labelled.any():
        raise DataError(f"{scored.name}: no clip of split {split} has a label")
    scored = scored.take(np.flatnonzero(labelled))
    predictions, labels, emotions = scored.predictions, scored.labels, scored.emotions
    rows = score_rows(scored)  # the numbers that `evaluate` prints
    bars = {row["emotion"]: (row["Pearson"], row["low"], row["high"]) for row in rows if row["Pearson"] is not None}
    title = f"{scored.name}, {split}: {len(labels)} clips"
    mean = f", mean ρ = {bars['mean'][0]:.4f}" if "mean" in bars else ""
    figures = {"scatter": scatter_figure(predictions, labels, emotions, title=f"{title}{mean}"),
               "confusion": confusion_figure(predictions, labels, emotions, title=title),
               "counts": counts_figure(predictions, labels, emotions, title=title)}
    if bars:
        figures["pearson"] = ablation_figure(bars, label=f"Pearson ρ, 95% interval over {scored.over}", title=title)
    written = []
    for name, figure in figures.items():
        written += save_figure(figure, out / f"{name}_{split}", formats)
    return written
