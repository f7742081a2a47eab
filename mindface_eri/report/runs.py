"""Reading back what a run left: its predictions beside their labels, and its learning curve. No network is needed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from mindface_eri.config import load_config
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError


@dataclass(frozen=True)
class Scored:
    """Predictions of N clips and their labels."""

    name: str
    ids: Tuple[str, ...]
    emotions: Tuple[str, ...]
    predictions: np.ndarray  # (N, E)
    labels: np.ndarray  # (N, E), NaN where unknown


def read_scored(path: os.PathLike, split: str = "val", labels: Optional[os.PathLike] = None) -> Scored:
    """Predictions and labels of a run folder, or of a table of predictions.

    Args:
        path: run folder (its predictions_<split>.csv is read), or a CSV of predictions.
        labels: CSV of labels; without one, those of the records that the run was trained on.

    Raises:
        DataError: something is missing, or a clip has no row of labels.
    """
    path = Path(path)
    table_path = path / f"predictions_{split}.csv" if path.is_dir() else path
    if path.is_dir() and not table_path.is_file():
        raise DataError(f"{path}: has no predictions_{split}.csv; write it with `mindface-eri evaluate {path} "
                        f"--split {split}`")
    table = read_predictions(table_path)
    if labels is not None:
        truth = read_predictions(labels, table.emotions)
        known, values, source = truth.ids, truth.values, str(labels)
    else:
        known, values, source = _labels_of_run(path, table.emotions)
    row_of = {clip: row for row, clip in enumerate(known)}
    unknown = [clip for clip in table.ids if clip not in row_of]
    if unknown:
        raise DataError(f"{table_path}: clip {unknown[0]} has no labels in {source} ({len(unknown)} such clips)")
    name = path.name if path.is_dir() else path.stem
    return Scored(name, table.ids, table.emotions, table.values, values[[row_of[clip] for clip in table.ids]])


def _labels_of_run(path: Path, emotions: Tuple[str, ...]) -> Tuple[Tuple[str, ...], np.ndarray, str]:
    if not path.is_dir():
        raise DataError(f"{path}: is a table of predictions, not a run folder; name its labels with --labels")
    if not (path / "config.yaml").is_file():
        raise DataError(f"{path}: has no config.yaml to find its records by; name the labels with --labels")
    folder = load_config(path / "config.yaml").data.records
    if folder is None or not Path(folder).is_dir():
        raise DataError(f"{path}: its records ({folder}) are not there; name the labels with --labels")
    records = open_records(folder)
    if tuple(records.emotions) != tuple(emotions):
        raise DataError(f"{path}: predicts {', '.join(emotions)} but its records have {', '.join(records.emotions)}; "
                        "name the labels with --labels")
    return tuple(records.ids()), np.asarray(records.all_labels, np.float64), str(folder)


def read_history(run: os.PathLike) -> List[dict]:
    """The lines of a run's metrics.jsonl; a last line that a kill cut short is left out.

    Raises:
        DataError: there is no such file, or another line is not JSON.
    """
    path = Path(run) / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); is {run} a run folder?") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; train again, or copy the run again") from None
    history = []
    for number, line in enumerate(lines, 1):
        try:
            history.append(json.loads(line))
        except (ValueError, RecursionError):
            if number < len(lines):
                raise DataError(f"{path}: line {number} is not JSON") from None
    return history
