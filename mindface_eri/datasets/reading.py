# SPDX-License-Identifier: Apache-2.0
"""Reading records in any order, of any number of files, of which few are open at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Generator, Iterator, List, Sequence, Set, Tuple

import numpy as np

from mindface_eri.errors import DataError

OPEN = 64  # files read at a time: MindSpore opens each in every thread, and holds an index of all of their clips


def read_rows(files: Sequence[str], columns: Sequence[str], rows: Sequence[int], workers: int = 1,
              sizes: Sequence[int] = ()) -> Generator[Dict[str, np.ndarray], None, None]:
    """Records in the order of `rows`, which count through all files; bytes come as flat uint8 arrays.

    Args:
        sizes: of each file, its records. With them at most `OPEN` files are open at a time: an order that stays within
            as many (`pipeline.epoch_order`) is read as fast as few files are.

    Raises:
        DataError: MindSpore cannot read a file.
    """
    if len(files) <= OPEN or len(sizes) == 0:
        yield from _read_rows(files, columns, [int(row) for row in rows], workers)
        return
    ends = np.cumsum(sizes)
    for numbers, some in _runs(np.asarray(rows, np.int64), ends):
        starts = np.cumsum([0, *(sizes[number] for number in numbers)])  # in the files that are opened
        place = np.searchsorted(numbers, np.searchsorted(ends, some, "right"))
        before = np.array([ends[number] - sizes[number] for number in numbers])
        yield from _read_rows([files[number] for number in numbers], columns,
                              (some - before[place] + starts[place]).tolist(), workers)


def _runs(rows: np.ndarray, ends: np.ndarray) -> Iterator[Tuple[List[int], np.ndarray]]:
    """Consecutive rows that lie in at most `OPEN` files, as many as there are, with the files' numbers in order."""
    numbers = np.searchsorted(ends, rows, "right")
    begin = 0
    held: Set[int] = set()
    for at, number in enumerate(numbers.tolist()):
        if number not in held and len(held) == OPEN:
            yield sorted(held), rows[begin:at]
            begin, held = at, set()
        held.add(number)
    if held:
        yield sorted(held), rows[begin:]


def _read_rows(files: Sequence[str], columns: Sequence[str], rows: List[int], workers: int
               ) -> Generator[Dict[str, np.ndarray], None, None]:
    """Clips of files that are open together."""
    import mindspore.dataset as ds

    limit = len(set(rows))  # MindSpore refuses a list longer than the data set, as repeated rows can make it
    try:
        for start in range(0, len(rows), max(limit, 1)):
            dataset = ds.MindDataset(list(files), columns_list=list(columns), num_parallel_workers=workers,
                                     sampler=ds.SubsetSampler(rows[start:start + limit]))
            for values in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
                yield {name: value.view(np.uint8).reshape(-1) if value.dtype.kind == "S" else value
                       for name, value in zip(columns, values)}
    except (RuntimeError, ValueError) as error:  # the latter where a file is gone
        raise DataError(f"{Path(files[0]).parent}: the records cannot be read ({first_line(error)}); copy them again "
                        "or preprocess again") from error


def first_line(error: Exception) -> str:
    """What MindSpore says of an error, without its stack."""
    lines = [line for line in str(error).splitlines() if "[ERROR]" in line] or str(error).splitlines() or ["unknown"]
    return lines[0].strip()
