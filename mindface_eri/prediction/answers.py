# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV, JSON or a table: what `predict` and `evaluate` give back. What failed is a row with its reason."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from typing import List, Mapping, Sequence

from mindface_eri.evaluation.tables import format_table

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
    return format_rows(rows, ["File_ID", *timed, *emotions, *(["error"] if failed else [])], form, digits=3)


def format_rows(rows: Sequence[Mapping], headers: Sequence[str], form: str, *, digits: int = 4) -> str:
    """Rows as text, the columns in the order of `headers`; what a row lacks, or where it has NaN, is blank,
    or left out of JSON.

    Args:
        form: table, csv or json.
        digits: decimals in a table; the other two keep six, or all.
    """
    rows = [{key: value for key, value in row.items() if not _is_no_number(value)} for row in rows]
    if form == "json":
        return json.dumps([{key: row[key] for key in headers if row.get(key) not in (None, "")} for row in rows],
                          indent=2, ensure_ascii=False, allow_nan=False)
    cells: List[list] = [[row.get(key) for key in headers] for row in rows]
    if form == "table":
        return format_table(headers, cells, digits=digits)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (headers, *cells):
        writer.writerow([_guard(value) for value in row])
    return text.getvalue().rstrip("\n")


def form_of(path, chosen: str) -> str:
    """The form that a file's ending asks for, else the chosen one."""
    ending = path.suffix[1:].lower() if path is not None else ""
    return ending if ending in FORMATS else chosen


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _guard(value: object) -> object:
    """A spreadsheet must not run the name of a file or an emotion as a formula."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    return "'" + value if isinstance(value, str) and _formula(value) else value


def _formula(text: str) -> bool:
    """Whether a spreadsheet may compute it: behind blanks and signs without width, and in full width, too."""
    seen = next((letter for letter in text if unicodedata.category(letter)[0] not in "ZC"), "")
    return unicodedata.normalize("NFKC", seen)[:1] in ("=", "+", "-", "@") or text[:1] in ("\t", "\r", "\n")
