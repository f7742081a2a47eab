"""Tables of predictions: `File_ID` in brackets, then one column an emotion (the form of a challenge submission)."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.files import write_text


@dataclass(frozen=True)
class Table:
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
        writer.writerow([f"[{name}]", *(f"{value:.6f}" for value in row)])
    write_text(path, text.getvalue())


def read_predictions(path: os.PathLike, emotions: Sequence[str] = ()) -> Table:
    """Reads predictions, or labels in the same form.

    Args:
        emotions: the columns wanted; without them, all columns in which each cell is a number or blank.

    Raises:
        DataError: the file cannot be read, has no File_ID, misses a column, names a clip twice or holds a non-number.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            header = rows and [key for key in rows[0] if key is not None]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None
    if not rows or "File_ID" not in header:
        raise DataError(f"{path}: needs a header with File_ID and at least one row; found "
                        f"{', '.join(header) if header else 'nothing'}")
    missing = [name for name in emotions if name not in header]
    if missing:
        raise DataError(f"{path}: has no column {', '.join(missing)}; its columns are {', '.join(header)}")
    ids = [(row["File_ID"] or "").strip().strip("[]") for row in rows]
    doubled = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    if doubled:
        raise DataError(f"{path}: names clip {doubled[0]} more than once ({len(doubled)} such clips)")
    columns = tuple(emotions) or tuple(n for n in header if n != "File_ID" and all(_is_number(r[n]) for r in rows))
    if not columns:
        raise DataError(f"{path}: has no column of numbers beside File_ID")
    values = np.array([[_number(row[name], path, line, name) for name in columns]
                       for line, row in enumerate(rows, 2)])
    return Table(tuple(ids), columns, values)


def _is_number(cell: object) -> bool:
    try:
        float(cell or "nan")
    except (TypeError, ValueError):
        return False
    return True


def _number(cell: object, path: Path, line: int, column: str) -> float:
    if not _is_number(cell):
        raise DataError(f"{path}: line {line}, column {column}: {cell!r} is not a number")
    return float(cell or "nan")
