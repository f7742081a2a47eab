# SPDX-License-Identifier: Apache-2.0
"""Which clips belong together: the column of a table that names who is seen in each clip."""

from __future__ import annotations

import re
from typing import List, Mapping, Optional, Sequence

from mindface_eri.errors import DataError

# What a column that names people is called, in any case, with or without a mark such as _id or Number at its end. A
# session comes last: it often holds several people.
PEOPLE = ("subject", "participant", "speaker", "person", "actor", "patient", "session")
INDEPENDENT = "none"  # the value of data.group and --group that says that each clip stands for itself
_ENDINGS = ("", "s", "id", "ids", "no", "nr", "number", "code")


def names_people(column: str) -> Optional[str]:
    """The word out of `PEOPLE` that a column's name is, such as "subject" for `Subject_ID`; None where it is none."""
    plain = re.sub(r"[^a-z0-9]", "", column.lower())
    return next((word for word in PEOPLE if plain in [word + ending for ending in _ENDINGS]), None)


def independent(asked: Optional[str]) -> bool:
    """Whether somebody said that each clip stands for itself."""
    return asked is not None and asked.lower() == INDEPENDENT


def find_group(columns: Mapping[str, Sequence[str]], asked: Optional[str] = None) -> Optional[str]:
    """The column whose cells say which clips belong together, or None where each clip stands for itself.

    Args:
        columns: name -> the cell of each clip.
        asked: a column, `none` for independent clips, or None for the first column that names people, in the order of
            `PEOPLE`, and is not blank throughout.

    Raises:
        DataError: there is no column of the name asked for.
    """
    if independent(asked):
        return None
    if asked is not None:
        if asked not in columns:
            raise DataError(f"no column {asked!r} to group clips by; there are {', '.join(columns) or 'none'}; or say "
                            f"{INDEPENDENT!r} where clips are independent")
        return asked
    found = [(PEOPLE.index(word), name) for name, word in ((name, names_people(name)) for name in columns) if word]
    filled = [(place, name) for place, name in found if any(cell.strip() for cell in columns[name])]
    return min(filled, key=lambda pair: pair[0])[1] if filled else None


def groups_of(ids: Sequence[str], cells: Optional[Sequence[str]]) -> List[str]:
    """The group of each clip; a clip without one, or all of them without `cells`, is a group of its own."""
    if cells is None:
        return [f"clip {clip}" for clip in ids]
    return [f"group {cell.strip()}" if cell.strip() else f"clip {clip}" for clip, cell in zip(ids, cells)]
