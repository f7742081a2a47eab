# SPDX-License-Identifier: Apache-2.0
"""The media of an imported label table: found by name, also where a spreadsheet has changed it, and linked to it."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple

from mindface_eri.datasets.label_import import Imported
from mindface_eri.datasets.media import MediaIndex
from mindface_eri.errors import DataError

LOGGER = logging.getLogger(__name__)


def match_media(imported: Imported, folder: Path) -> Tuple[Imported, str]:
    """The table with each id spelt as its files are, and how many were found, in words.

    Spreadsheets take zeros off the front of ids, and people write names in another case: where only one file is meant,
    the id becomes its name.

    Raises:
        DataError: there is no such folder, or not one clip of the table lies in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of media")
    index = MediaIndex(folder)
    loose: Dict[str, List[str]] = {}
    for name in index.names():
        loose.setdefault(_loose(name), []).append(name)
    ids, respelt, missing = [], [], []
    for clip, split in zip(imported.ids, imported.splits):
        near = loose.get(_loose(clip), [])
        if any(index.find(clip, split)):
            ids.append(clip)
        elif len(near) == 1 and any(index.find(near[0], split)):
            ids.append(near[0])
            respelt.append(clip)
        else:
            ids.append(clip)
            missing.append(clip)
    if len(missing) == len(ids):
        raise DataError(f"{folder}: not one of {len(ids)} clips lies there; the table names {ids[0]!r}, the folder has "
                        f"{', '.join(sorted(index.names())[:3]) or 'no media'}")
    twice = [clip for clip, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{imported.path}: two clips mean the file {twice[0]} of {folder}; write their ids in full")
    words = f"{len(ids) - len(missing)} of {len(ids)} clips found"
    words += f"; {len(respelt)} are spelt otherwise there, such as {respelt[0]}" if respelt else ""
    words += f"; none for {', '.join(missing[:5])}{', ...' * (len(missing) > 5)}" if missing else ""
    return dataclasses.replace(imported, ids=tuple(ids)), words


def link_media(folder: Path, out: Path) -> None:
    """Lets the media be found below the table: a link in `out`, unless they lie there already."""
    source, link = folder.resolve(), out / "media"
    if out.resolve() == source or out.resolve() in source.parents:
        return
    if link.is_symlink() and link.resolve() == source:
        return
    try:
        os.symlink(source, link, target_is_directory=True)
    except OSError as error:
        LOGGER.warning("%s: no link to %s (%s); lay the media below %s", link, source, error.strerror, out)


def _loose(name: str) -> str:
    """What remains of a name when a spreadsheet, or a person, has written it."""
    name = name.casefold()
    return name.lstrip("0") or "0" if name.isdigit() else name
