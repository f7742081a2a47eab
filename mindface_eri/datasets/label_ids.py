# SPDX-License-Identifier: Apache-2.0
"""What the clips of a label table are called: by the names of their files, and by their folders where those tell apart.

`P02/take1.mp4` is `take1` where the table has one clip of that name; beside `P03/take1.mp4` it is `P02_take1`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Tuple

from mindface_eri.datasets.labels import normalise_id
from mindface_eri.datasets.media import one_name, plain_name, without_suffix
from mindface_eri.datasets.tables import Table
from mindface_eri.errors import DataError


@dataclass(frozen=True)
class ClipName:
    """A clip as a table names it.

    Attributes:
        id: in the normal form.
        stem: the name of its file.
        folders: those before it, the nearest last.
        row: the first that names it.
        apart: whether only its folders tell it from another of the table.
    """

    id: str
    stem: str
    folders: Tuple[str, ...]
    row: int
    apart: bool = False

    def __str__(self) -> str:
        return "/".join([*self.folders, self.stem])

    def with_folders(self, count: int) -> str:
        """The id with the nearest folders before it."""
        return joined(self.folders[len(self.folders) - count:], self.stem)


def joined(folders: Tuple[str, ...], stem: str) -> str:
    """An id made of folders and a name, as `media.clips_of_paths` makes them and `MediaIndex` finds them."""
    return plain_name("_".join([*folders, stem])) if folders else stem


def name_clips(table: Table, column: str) -> List[ClipName]:
    """The clip of each row; rows of one clip have equal ones.

    Raises:
        DataError: an id is none, or it is not plain whether two ids are of one clip; the message names row and column.
    """
    place = table.header.index(column)
    given = [(number, *_parts(table, number, column, cells[place])) for number, cells in table.rows]
    stems: Dict[str, Dict[Tuple[str, ...], int]] = {}
    for number, folders, stem in given:
        stems.setdefault(stem, {}).setdefault(folders, number)
    names: Dict[Tuple[Tuple[str, ...], str], ClipName] = {}
    ids: Dict[str, ClipName] = {}
    for stem, places in stems.items():
        depth = _depth(table, column, stem, places)
        for folders, number in places.items():
            clip = joined(folders[len(folders) - depth:] if depth else (), stem)
            name = names[folders, stem] = ClipName(clip, stem, folders, number, depth > 0)
            other = ids.setdefault(clip, name)
            if other is not name:
                raise DataError(f"{table.where(number, column)}: {name} and {other} of row {other.row} would both be "
                                f"called {clip!r}; rename one of them")
    return [names[folders, stem] for _, folders, stem in given]


def _depth(table: Table, column: str, stem: str, places: Dict[Tuple[str, ...], int]) -> int:
    """How many folders tell the clips of one name apart; 0 where there is one."""
    if len(places) == 1:
        return 0
    for short, number in places.items():
        longer = next((long for long in places if len(long) > len(short) and long[len(long) - len(short):] == short),
                      None)
        if longer is not None:
            raise DataError(f"{table.where(number, column)}: {'/'.join([*short, stem])} may be "
                            f"{'/'.join([*longer, stem])} of row {places[longer]} or another clip; write the ids of "
                            "both with all their folders, or of one clip alike")
    depth = 1
    while len({folders[-depth:] for folders in places}) < len(places):
        depth += 1
    return depth


def _parts(table: Table, number: int, column: str, text: str) -> Tuple[Tuple[str, ...], str]:
    """Folders and name of an id."""
    text = text.strip()
    text = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    *folders, name = re.split(r"[\\/]", text)
    try:
        stem = without_suffix(normalise_id(name))
    except ValueError as error:
        raise DataError(f"{table.where(number, column)}: {error}") from None
    return tuple(one_name(part.strip()) for part in folders if part.strip() not in ("", ".", "..")), stem
