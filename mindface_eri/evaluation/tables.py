# SPDX-License-Identifier: Apache-2.0
"""Tables as text: aligned in a terminal, and valid Markdown when pasted."""

from __future__ import annotations

from typing import Any, Sequence

from mindface_eri.errors import readable


def format_table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, digits: int = 4) -> str:
    """An aligned Markdown table; floats get `digits` decimals and stand right-aligned, None is left blank."""
    heads = [_cell(header, digits) for header in headers]
    cells = [[_cell(value, digits) for value in row] for row in rows]
    numeric = [bool(rows) and all(isinstance(row[c], (int, float)) or row[c] is None for row in rows)
               for c in range(len(headers))]
    widths = [max([len(header), 3, *(len(row[c]) for row in cells)]) for c, header in enumerate(heads)]

    def line(values: Sequence[str]) -> str:
        padded = (v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric))
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric)) + " |"
    return "\n".join([line(heads), rule, *map(line, cells)])


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return readable(value).replace("|", "\\|").replace("\n", " ")
