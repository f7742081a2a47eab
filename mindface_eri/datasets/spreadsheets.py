# SPDX-License-Identifier: Apache-2.0
"""Tables as spreadsheets and statistics programs write them: any separator, encoding and decimal mark, and .xlsx.

`tables.read_table` is for tables of our own form and strict; here what was found is told, so that somebody can object.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple

from mindface_eri.datasets.tables import Table, number
from mindface_eri.errors import DataError, MissingDependencyError

WORKBOOKS = (".xlsx", ".xlsm")
# Cells without a value.
MISSING = ("", "nan", "na", "n/a", "n.a.", "null", "none", "missing", "-", "--", ".", "?", "#n/a", "k.a.")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}
_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)

Rows = List[Tuple[int, List[str]]]  # number of the row, as the program shows it, and its cells


@dataclass(frozen=True)
class Sheet:
    """A table and how it was read, in words."""

    table: Table
    how: str


def read_sheet(path: Path, sheet: Optional[str] = None) -> Sheet:
    """Reads a table. Its names are in the first row with two filled cells; blank rows and columns are passed over.

    Args:
        sheet: of a workbook; without it, the first one that holds a table.

    Raises:
        DataError: it cannot be read, or is no table with rows; a column has no name, or another's; a row is too long.
        MissingDependencyError: a workbook without openpyxl.
    """
    path = Path(path)
    if path.suffix.lower() in WORKBOOKS:
        rows, how = _workbook(path, sheet)
    elif path.suffix.lower() == ".xls":
        raise DataError(f"{path}: is of an old kind of workbook; save it as .xlsx or as CSV")
    else:
        rows, how = _text(path)
    rows = [(place, cells) for place, cells in rows if any(cells)]
    start = next((at for at, (_, cells) in enumerate(rows) if sum(map(bool, cells)) > 1), None)
    if start is None or len(rows) < start + 2:
        raise DataError(f"{path}: is no table: it needs a row of names and rows below it")
    if start:
        how += f"; {start} row{'s' * (start > 1)} above the names passed over"
    return Sheet(_table(path, rows[start:]), how)


def value_of(text: str) -> float:
    """A number as people write it: `3`, `0.5`, `0,5`, `50%`; NaN where a cell has no value.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if text.lower() in MISSING:
        return float("nan")
    text = text[:-1].strip() if text.endswith("%") else text
    return number(text.replace(",", ".") if _COMMA.fullmatch(text) else text)


def _table(path: Path, rows: Rows) -> Table:
    """Header and rows of one width; columns without a single cell are left out."""
    place, header = rows[0]
    wide = max(len(cells) for _, cells in rows)
    book = path.suffix.lower() in WORKBOOKS  # which leave empty cells out at the end of a row
    for found, cells in rows:
        if any(cells[len(header):]) or (len(cells) < len(header) and not book):
            raise DataError(f"{path}, row {found}: {len(cells)} fields, the header has {len(header)}")
    even = [cells + [""] * (wide - len(cells)) for _, cells in rows]
    kept = [column for column in range(len(header)) if any(cells[column] for cells in even)]
    for column in kept:
        name = header[column]
        if not name or name in header[:column]:
            fault = f"the name {name!r}, which another has too" if name else "no name"
            raise DataError(f"{path}, row {place}: column {column + 1} has {fault}; each column needs its own")
    return Table(path, [header[column] for column in kept],
                 [(found, [cells[column] for column in kept]) for (found, _), cells in zip(rows[1:], even[1:])])


def _text(path: Path) -> Tuple[Rows, str]:
    """Rows of a file of text, and how it was read: in which encoding, cut by which separator."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "Windows-1252 (guessed)"
        text = content.decode("cp1252", "replace")
    if "\0" in text or "\ufffd" in text:
        raise DataError(f"{path}: is no text in UTF-8, UTF-16 or Windows-1252; save it as CSV in UTF-8, or as .xlsx")
    separator = max(_SEPARATORS, key=lambda mark: _columns(text, mark))
    rows = [(place, [cell.strip() for cell in cells]) for place, cells in _fields(path, text, separator)]
    decimal = ", decimal commas" if separator != "," and _has_commas(rows) else ""
    shown = encoding.replace("-sig", "").replace("utf", "UTF")
    return rows, f"text in {shown}, separated by {_SEPARATORS[separator]}{decimal}"


def _columns(text: str, separator: str) -> Tuple[int, int]:
    """How well a separator cuts the text: rows of the most frequent width above one, then that width."""
    lines = [line for line in text.splitlines()[:200] if line.strip()]
    widths = [len(cells) for cells in csv.reader(lines, delimiter=separator)]
    usual = max(set(widths), key=lambda width: (width > 1, widths.count(width)), default=0)
    return (widths.count(usual), usual) if usual > 1 else (0, 0)


def _fields(path: Path, text: str, separator: str) -> Iterator[Tuple[int, List[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: is not CSV ({error})") from None


def _has_commas(rows: Rows) -> bool:
    return any(_COMMA.fullmatch(cell) for _, cells in rows for cell in cells)


def _workbook(path: Path, name: Optional[str]) -> Tuple[Rows, str]:
    """Rows of a workbook's sheet, the named one or the first that holds a table, and how it was read."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingDependencyError(f"{path}: workbooks need openpyxl: pip install 'mindface_eri[xlsx]'") from None
    try:
        book = load_workbook(path, data_only=True)  # read_only knows of no merged cells
        sheets = {sheet.title: [[_cell(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
                  for sheet in book.worksheets}
        merged = {sheet.title: _fill_down(sheets[sheet.title], sheet.merged_cells.ranges) for sheet in book.worksheets}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # whatever a broken archive makes of openpyxl
        raise DataError(f"{path}: is no workbook ({type(error).__name__}: {error}); save it anew, or as CSV") from None
    tables = [title for title, rows in sheets.items() if any(sum(map(bool, row)) > 1 for row in rows)]
    if name is not None and name not in sheets:
        raise DataError(f"{path}: has no sheet {name!r}; it has {', '.join(sheets)}")
    if not tables:
        raise DataError(f"{path}: no sheet holds a table")
    title = tables[0] if name is None else name
    others = [other for other in tables if other != title]
    passed = f" (not read: {', '.join(others)}; --sheet names one)" if others else ""
    merges = f"; {merged[title]} merged cells count for each of their rows" if merged[title] else ""
    return list(enumerate(sheets[title], 1)), f"workbook, sheet {title!r}{passed}{merges}"


def _fill_down(rows: List[List[str]], ranges: Iterable[Any]) -> int:
    """Gives each row the value of the merged cell that it is a part of; how many such cells there are."""
    count = 0
    for cells in ranges:
        column, top = cells.min_col - 1, cells.min_row - 1
        if cells.max_row > cells.min_row and rows[top][column]:
            count += 1
            for row in rows[top + 1:cells.max_row]:
                row[column] = rows[top][column]
    return count


def _cell(value: Any) -> str:
    """A cell's value as text: whole numbers without a point, as the program shows them."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def filled(table: Table, column: str) -> Sequence[Tuple[int, str]]:
    """(row, cell) of the cells of a column that have a value."""
    place = table.header.index(column)
    return [(row, cells[place]) for row, cells in table.rows if cells[place].lower() not in MISSING]
