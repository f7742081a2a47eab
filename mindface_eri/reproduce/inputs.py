# SPDX-License-Identifier: Apache-2.0
"""Which of the paper's inputs records can feed, and which of its tables those fill."""

from __future__ import annotations

from typing import Sequence, Tuple

from mindface_eri.datasets.records import Records
from mindface_eri.errors import DataError

BOTH = {2}  # tables that need picture and sound


def branches_of(records: Records) -> Tuple[str, ...]:
    """Of visual and acoustic, those whose input some clip of training and some clip of validation has.

    Raises:
        DataError: neither.
    """
    rows = [row for row in records.table if row["split"] in ("train", "val")]
    found = tuple(stage for stage in ("visual", "acoustic") if {row["split"] for row in rows} == {
        row["split"] for row in rows if row.get(f"present_{stage}") != "0"})
    if not found:
        raise DataError(f"{records.path}: has neither faces nor sound in its training and validation clips")
    return found


def possible_tables(records: Records, tables: Sequence[int]) -> Tuple[int, ...]:
    """Those of the tables that these records can fill."""
    return tuple(number for number in tables if number not in BOTH or len(branches_of(records)) > 1)
