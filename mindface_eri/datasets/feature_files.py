# SPDX-License-Identifier: Apache-2.0
"""One CSV file of per-frame features: read strictly, gaps filled, aligned to a clip's instants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.tables import Table, number, read_table
from mindface_eri.errors import DataError


@dataclass(frozen=True)
class Layout:
    """What the CSV files of a feature set have in common, and how they are aligned."""

    columns: Tuple[str, ...]
    time_column: Optional[str]  # None: the rows lie evenly over the clip
    unit: str = "s"
    method: str = "linear"

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Layout:
        """From what `about.json`, a checkpoint's note or an exported file's description says of a feature set."""
        return cls(tuple(about["columns"]), about["time_column"], about["unit"], about["method"])

    def read(self, path: Path, timestamps: np.ndarray) -> np.ndarray:
        """A clip's features at its instants.

        Args:
            timestamps: (T,) seconds from the clip's begin.

        Returns:
            (T, F) float32.

        Raises:
            DataError: a column is missing, a cell is no number, time does not grow, or a column holds no number at all.
        """
        times, values = read_csv(path, self.columns, self.time_column)
        if times is None:
            times = np.linspace(0.0, float(timestamps[-1]), len(values))
        elif self.unit == "ms":
            times = times / 1000
        return align(times, _filled(path, times, values, self.columns), np.asarray(timestamps, np.float64), self.method)


def align(times: np.ndarray, values: np.ndarray, wanted: np.ndarray, method: str = "linear") -> np.ndarray:
    """Rows (n, F) at growing times (n,), seconds, as they are at the wanted times (T,): (T, F) float32.

    Before the first and after the last row the value is that row's.
    """
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    before, after = after - 1, np.minimum(after, len(times) - 1)
    span = np.where(times[after] > times[before], times[after] - times[before], 1.0)
    share = np.clip((wanted - times[before]) / span, 0.0, 1.0)[:, None]  # (T, 1)
    if method == "nearest":
        share = np.round(share)
    return (values[before] * (1 - share) + values[after] * share).astype(np.float32)


def read_csv(path: Path, columns: Sequence[str], time_column: Optional[str]
              ) -> Tuple[Optional[np.ndarray], np.ndarray]:
    """Times (n,), as they stand there, and features (n, F) float64; NaN where a cell is blank, NaN or infinite."""
    table = read_table(path)
    place = {column: i for i, column in enumerate(table.header)}
    lacking = [column for column in (*columns, *filter(None, [time_column])) if column not in place]
    if lacking:
        raise DataError(f"{path}, row 1: no column {', '.join(map(repr, lacking[:3]))}"
                        f"{' ...' if len(lacking) > 3 else ''}, which the others have")
    taken = [place[column] for column in columns]
    try:
        values = np.array([[number(row[i] or "nan") for i in taken] for _, row in table.rows])
        times = None if time_column is None else np.array([number(row[place[time_column]]) for _, row in table.rows])
    except ValueError:
        raise _no_number(table, columns, time_column) from None
    if times is not None:
        wrong = np.flatnonzero(~(np.diff(times) > 0) | ~np.isfinite(times[1:]))
        if len(wrong):
            row = wrong[0] + 1
            raise DataError(f"{table.where(table.rows[row][0], time_column)}: time {times[row]:g} does not come after "
                            f"{times[row - 1]:g}; keep one row an instant, in order")
    values[~np.isfinite(values)] = np.nan
    return times, values


def _no_number(table: Table, columns: Sequence[str], time_column: Optional[str]) -> DataError:
    for line, row in table.rows:
        for column, cell in zip(table.header, row):
            if column in columns or column == time_column:
                try:
                    number(cell or ("" if column == time_column else "nan"))
                except ValueError:
                    return DataError(f"{table.where(line, column)}: {cell!r} is not a number")
    return DataError(f"{table.path}: holds a cell that is not a number")


def _filled(path: Path, times: np.ndarray, values: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """Each column's gaps (NaN), filled from its neighbours in time."""
    known = np.isfinite(values)
    for column in np.flatnonzero(~known.all(axis=0)):
        here = known[:, column]
        if not here.any():
            raise DataError(f"{path}: column {columns[column]!r} holds no number in the whole clip")
        values[:, column] = np.interp(times, times[here], values[here, column])
    return values
