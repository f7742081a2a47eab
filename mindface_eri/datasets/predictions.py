# SPDX-License-Identifier: Apache-2.0
"""Tables of predictions: `File_ID` in brackets, then one column an emotion (the form of a challenge submission)."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from mindface_eri.datasets import tables
from mindface_eri.datasets.groups import names_people
from mindface_eri.datasets.labels import bare_id, bracketed
from mindface_eri.datasets.media import without_suffix
from mindface_eri.datasets.tables import read_table
from mindface_eri.errors import DataError
from mindface_eri.files import write_text


@dataclass(frozen=True)
class PredictionTable:
    """Values (N, E) of N clips and E emotions; NaN where a cell is blank."""

    ids: Tuple[str, ...]
    emotions: Tuple[str, ...]
    values: np.ndarray


def write_predictions(path: os.PathLike, ids: Sequence[str], emotions: Sequence[str], values: np.ndarray) -> None:
    """Writes a table atomically.

    Args:
        ids: clip ids without brackets.
        values: (N, E), six decimals are kept.
    """
    path = Path(path)
    values = np.asarray(values)
    if values.shape != (len(ids), len(emotions)):
        raise DataError(f"{path}: {len(ids)} ids and {len(emotions)} emotions do not fit values of {values.shape}")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["File_ID", *emotions])
    for name, row in zip(ids, values):
        writer.writerow([bracketed(name), *(f"{value:.6f}" for value in row)])
    write_text(path, text.getvalue())


def read_predictions(path: os.PathLike, emotions: Sequence[str] = ()) -> PredictionTable:
    """Reads predictions, or labels in the same form.

    Args:
        emotions: the columns wanted; without them, all columns in which each cell is a number or blank, but for `fold`
            and those that name people, in which a number stands for somebody.

    Raises:
        DataError: the file cannot be read, has no File_ID, misses a column, names a clip twice or holds a non-number.
    """
    table = read_table(path)
    if "File_ID" not in table.header:
        raise DataError(f"{path}: needs a column File_ID; its columns are {', '.join(table.header)}")
    missing = [name for name in emotions if name not in table.header]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}; its columns are {', '.join(table.header)}")
    place = {name: number for number, name in enumerate(table.header)}
    ids = [bare_id(row[place["File_ID"]]) for _, row in table.rows]
    doubled = [name for name, count in Counter(map(without_suffix, ids)).items() if count > 1]
    if doubled:
        raise DataError(f"{path}: names clip {doubled[0]} more than once ({len(doubled)} such clips)")
    columns = tuple(emotions) or tuple(name for name in table.header if name not in ("File_ID", "fold")
                                       and not names_people(name)
                                       and all(_is_number(row[place[name]]) for _, row in table.rows))
    if not columns:
        raise DataError(f"{path}: has no column of numbers beside File_ID")
    values = np.array([[_number(row[place[name]], table.where(number, name)) for name in columns]
                       for number, row in table.rows])
    return PredictionTable(tuple(ids), columns, values)


def _is_number(cell: str) -> bool:
    try:
        return not math.isinf(tables.number(cell or "nan"))
    except ValueError:
        return False


def _number(cell: str, where: str) -> float:
    if not _is_number(cell):
        raise DataError(f"{where}: {cell!r} is not a number")
    return tables.number(cell or "nan")
