# SPDX-License-Identifier: Apache-2.0
"""CSV tables read strictly: what is wrong is said with file, row and column."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Sequence, Tuple

from mindface_eri.errors import DataError
from mindface_eri.files import replacing


@dataclass(frozen=True)
class Table:
    """Header and rows of a CSV file; each row with its line number, as an editor shows it."""

    path: Path
    header: List[str]
    rows: List[Tuple[int, List[str]]]

    def where(self, row: int, column: str) -> str:
        """A place in the file, for messages."""
        return f"{self.path}, row {row}, column {column!r}"


def read_table(path: Path) -> Table:
    """Reads a comma-separated table with a header; a byte-order mark and blank lines are passed over.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or not separated by commas, a column is named twice, or a row
            has too few or too many fields.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from None
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes; save it as CSV in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = []
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                rows.append((reader.line_num, fields))
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: is not CSV ({error})") from None
    if not rows:
        raise DataError(f"{path}: the table is empty; expected a header such as File_ID,Split,Adoration,...")
    header = [name.strip() for name in rows[0][1]]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise DataError(f"{path}, row 1: columns are separated by {';' if ';' in header[0] else 'tabs'}; "
                        "save the table with commas (and points in numbers)")
    for position, name in enumerate(header):
        if not name or name in header[:position]:
            fault = f"the name {name!r}, which another has too" if name else "no name"
            raise DataError(f"{path}, row 1: column {position + 1} has {fault}; each column needs its own")
    for row, fields in rows[1:]:
        if len(fields) != len(header):
            raise DataError(f"{path}, row {row}: {len(fields)} fields, the header has {len(header)}")
    if len(rows) == 1:
        raise DataError(f"{path}: the table has a header but no rows")
    return Table(Path(path), header, rows[1:])


def number(text: str) -> float:
    """A decimal number as tables write it, or nan.

    Raises:
        ValueError: it is none; `0_1` and digits of other scripts, which Python reads too, are slips of the pen here.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file whole or not at all, its rows as they come."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="replace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
