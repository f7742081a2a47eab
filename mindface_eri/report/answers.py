"""What `predict` gives back, as CSV, JSON or a table; a clip that failed is a row with its reason."""

from __future__ import annotations

import csv
import io
import json
from typing import List, Mapping, Sequence

from mindface_eri.report.tables import format_table

FORMATS = ("table", "csv", "json")


def format_answers(rows: Sequence[Mapping], emotions: Sequence[str], form: str) -> str:
    """Rows of a predictor as text.

    Args:
        rows: mappings with File_ID and either a value for each emotion or `error`; those of a timeline also have
            `start` and `end`, in seconds.
        form: table, csv or json.
    """
    failed = any(row.get("error") for row in rows)
    timed = [key for key in ("start", "end") if any(key in row for row in rows)]
    headers = ["File_ID", *timed, *emotions, *(["error"] if failed else [])]
    if form == "json":
        return json.dumps([{key: row[key] for key in headers if row.get(key) not in (None, "")} for row in rows],
                          indent=2, ensure_ascii=False)
    cells: List[list] = [[row.get(key) for key in headers] for row in rows]
    if form == "table":
        return format_table(headers, cells, digits=3)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (headers, *cells):
        writer.writerow([_guard(value) for value in row])
    return text.getvalue().rstrip("\n")


def _guard(value: object) -> object:
    """A spreadsheet must not run the name of a file or an emotion as a formula."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    return "'" + value if isinstance(value, str) and value[:1] in "=+-@\t\r" else value
