"""Scores of predictions against labels, as rows that a table, a CSV or a figure can show."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.labels import bare_id
from mindface_eri.datasets.predictions import Table, read_predictions
from mindface_eri.errors import DataError
from mindface_eri.metrics import METRICS, bootstrap, pearson


def score_files(predictions: os.PathLike, labels: os.PathLike, *, draws: int = 1000,
                by: Optional[str] = None) -> Tuple[Table, np.ndarray, Dict[str, List[list]]]:
    """Scores a predictions file against a label file; no model is needed.

    Args:
        predictions: CSV with File_ID and a column an emotion.
        labels: CSV with at least those columns; clips that `predictions` lacks are an error, further ones too.
        draws: bootstrap resamplings; 0 leaves the intervals out.
        by: a column of `labels` (Country, Subject): scores of each of its groups follow.

    Returns:
        (predictions, labels in the same order (N, E), {"all": rows, group: rows...}) with the rows of `score_rows`.
    """
    table = read_predictions(predictions)
    truth = read_predictions(labels, table.emotions)
    row_of = {name: row for row, name in enumerate(truth.ids)}
    labelled = {name for name, row in row_of.items() if not np.isnan(truth.values[row]).all()}
    unknown = [name for name in table.ids if name not in row_of]
    if unknown:
        raise DataError(f"{predictions}: clip {unknown[0]} is not in {labels} ({len(unknown)} such clips)")
    rows = [row_of[name] for name in table.ids]
    if not labelled & set(table.ids):
        raise DataError(f"{labels}: none of the {len(rows)} predicted clips has a label")
    truth_values = truth.values[rows]
    result = {"all": score_rows(table.values, truth_values, table.emotions, draws=draws)}
    if by is not None:
        groups = _column(labels, by)
        of_clip = np.array([groups[name] for name in table.ids])
        for group in sorted(set(of_clip)):
            member = of_clip == group
            result[f"{by} = {group} ({member.sum()} clips)"] = score_rows(
                table.values[member], truth_values[member], table.emotions, draws=0)
    return table, truth_values, result


HEADERS = ("emotion", "Pearson", "low", "high", "CCC", "MSE", "MAE", "clips", "note")


def score_rows(predictions: np.ndarray, labels: np.ndarray, emotions: Sequence[str], *, draws: int = 1000,
               seed: int = 0) -> List[list]:
    """One row an emotion and one of their mean, under `HEADERS`.

    Args:
        predictions, labels: (N, E); NaN labels are left out of their emotion.
        draws: resamplings for the 95% bootstrap interval of Pearson; 0 leaves it blank.
    """
    values = {name: metric(predictions, labels) for name, metric in METRICS.items()}
    low = high = [None] * (len(emotions) + 1)
    if draws:
        low, high = (list(map(float, side)) for side in bootstrap(predictions, labels, pearson, draws=draws, seed=seed))
    rows = []
    for e, emotion in enumerate(emotions):
        known = ~np.isnan(labels[:, e])
        note = "constant predictions" if known.sum() > 1 and np.ptp(predictions[known, e]) < 1e-12 else ""
        if known.sum() > 1 and np.ptp(labels[known, e]) < 1e-12:
            note = "constant labels"
        rows.append([emotion, *_cells(values, e, low, high), int(known.sum()), note])
    mean = {name: np.append(column, column.mean()) for name, column in values.items()}
    rows.append(["mean", *_cells(mean, -1, low, high), len(labels), ""])
    return rows


def _cells(values: Dict[str, np.ndarray], e: int, low: list, high: list) -> list:
    return [float(values["pearson"][e]), low[e], high[e], float(values["ccc"][e]), float(values["mse"][e]),
            float(values["mae"][e])]


def _column(path: os.PathLike, name: str) -> Dict[str, str]:
    with open(Path(path), newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if name not in rows[0]:
        raise DataError(f"{path}: has no column {name} to group by; its columns are {', '.join(rows[0])}")
    return {bare_id(row["File_ID"]): row[name] or "(blank)" for row in rows}
