# SPDX-License-Identifier: Apache-2.0
"""The media of an imported label table: found by name, also where a spreadsheet has changed it, and linked to it."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from mindface_eri.datasets.label_ids import ClipName, joined
from mindface_eri.datasets.label_import import Imported
from mindface_eri.datasets.labels import bare_id
from mindface_eri.datasets.media import MediaIndex, one_name, several_folders
from mindface_eri.datasets.tables import read_table
from mindface_eri.errors import ConfigError, DataError

TABLE = "data_info.csv"  # what the normal form is called
LOGGER = logging.getLogger(__name__)


def match_media(imported: Imported, folder: Path) -> Tuple[Imported, str]:
    """The table with each id spelt as its files are, and how many were found, in words.

    Spreadsheets take zeros off the front of ids, and people write names in another case: where only one file is meant,
    the id becomes its name.

    Raises:
        DataError: there is no such folder, not one clip of the table lies in it, or several files may be a clip's.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of media")
    index = MediaIndex(folder)
    found, respelt, missing = spelt_as_files(imported, index, folder)
    if len(missing) == len(found.ids):
        raise DataError(f"{folder}: not one of {len(missing)} clips lies there; the table names {missing[0]!r}, the "
                        f"folder has {', '.join(sorted(index.names())[:3]) or 'no media'}")
    words = f"{len(found.ids) - len(missing)} of {len(found.ids)} clips found"
    words += f"; {len(respelt)} are spelt otherwise there, such as {respelt[0]}" if respelt else ""
    words += f"; none for {', '.join(missing[:5])}{', ...' * (len(missing) > 5)}" if missing else ""
    return found, words


def spelt_as_files(imported: Imported, index: MediaIndex, folder: Path) -> Tuple[Imported, List[str], List[str]]:
    """The table with ids that find each clip's files below `folder` and no other's; ids that changed; ids without any.

    Raises:
        DataError: several files may be a clip's, or two clips mean one file; the message names the row.
    """
    search = _Search(index, folder)
    ids: Dict[str, None] = {}
    owners: Dict[Path, ClipName] = {}
    respelt, missing = [], []
    for name, split in zip(imported.names, imported.splits):
        where = f"{imported.path}, row {name.row}: "
        paths = search.meant(name, split)
        if several_folders(paths):
            raise DataError(f"{where}{name} may be {search.shown(paths)}; write its folders before it as they are, or "
                            "name a folder of media that has one of them")
        for path in paths:
            other = owners.setdefault(path, name)
            if other is not name:
                raise DataError(f"{where}two clips mean the file {search.shown([path])}, {name} and {other} of row "
                                f"{other.row}; write their ids in full")
        options = [name.id, *search.ids(paths)] if paths else \
            [name.id, *(name.with_folders(count + 1) for count in range(len(name.folders)))]
        chosen = next((one for one in options if one not in ids and index.paths(one, split) == paths), None)
        if chosen is None:
            raise DataError(f"{where}no id is {name} and no other clip; {search.shown(index.paths(options[0], split))} "
                            "would be found; rename the files")
        ids[chosen] = None
        if not paths:
            missing.append(chosen)
        elif chosen != name.id:
            respelt.append(name.id)
    return dataclasses.replace(imported, ids=tuple(ids)), respelt, missing


class _Search:
    """Which files a table means by the name of a clip."""

    def __init__(self, index: MediaIndex, folder: Path) -> None:
        self._index, self._folder = index, folder
        self._above = folder.resolve().parts
        self._loose: Dict[str, List[str]] = {}
        for stem in index.names():
            self._loose.setdefault(_loose(stem), []).append(stem)
        self._places = {part.casefold() for path in index.files() for part in index.folders(path)}

    def meant(self, name: ClipName, split: str) -> List[Path]:
        """The files of a clip: of its name, and of the folders that stand before it, as far as they are there."""
        paths, near = self._index.paths(name.stem, split), self._loose.get(_loose(name.stem), [])
        if not paths and len(near) == 1:
            paths = self._index.paths(near[0], split)
        given = [part.casefold() for part in name.folders]
        if not given or not paths:
            return paths
        fit = {path: self._fit(given, path) for path in paths}
        best = max(fit.values())
        if best == 0 and (name.apart or given[-1] in self._places):  # those that are there are another folder's
            return []
        if not several_folders(paths):
            return paths  # also pictures and sound in a folder each
        paths = [path for path in paths if fit[path] == best]
        exact = [path for path in paths if [part.casefold() for part in self._index.folders(path)] == given]
        return exact or paths

    def ids(self, paths: List[Path]) -> List[str]:
        """Ids that may find the files: their name, and with more and more of the folders that all of them are in."""
        stem, folders = one_name(paths[0].stem), [self._index.folders(path) for path in paths]
        common = folders[0]
        while any(other[:len(common)] != common for other in folders):
            common = common[:-1]
        return [stem, *(joined(common[len(common) - count:], stem) for count in range(1, len(common) + 1))]

    def shown(self, paths: List[Path]) -> str:
        """Files, for messages."""
        names = [path.relative_to(self._folder).as_posix() for path in paths]
        return ", ".join(names[:5]) + ", ..." * (len(names) > 5)

    def _fit(self, given: List[str], path: Path) -> int:
        """How many of the given folders, the nearest first, a file lies in."""
        parts = [part.casefold() for part in (*self._above, *self._index.folders(path))]
        count = 0
        for part in reversed(given):
            if part not in parts:
                break
            parts = parts[:len(parts) - 1 - parts[::-1].index(part)]
            count += 1
        return count


def older_table(imported: Imported, out: Path, media: Optional[Path]) -> List[Tuple[str, str]]:
    """What writing the table to `out` would replace there, in words.

    Raises:
        ConfigError: it is the table itself, or one of other clips, or something that is no link lies where the link to
            the media would.
    """
    target, link, words = out / TABLE, out / "media", []
    if target.exists() and target.samefile(imported.path):
        raise ConfigError(f"--out {out}: {target} is the table itself and would be overwritten; name another folder")
    if media is not None and not _lies_above(out, media) and os.path.lexists(link) and not link.is_symlink():
        raise ConfigError(f"--out {out}: {link} is no link and stays; name another folder")
    if target.exists():
        try:
            old = read_table(target)
            before = {_loose(bare_id(cells[old.header.index("File_ID")])) for _, cells in old.rows}
        except (DataError, ValueError):
            before = set()
        if before.isdisjoint(_loose(clip) for clip in imported.ids):
            raise ConfigError(f"--out {out}: {target} is a table of other clips; name another folder, or take it away")
        new = imported.table()
        if (old.header, [cells for _, cells in old.rows]) != (new.header, [cells for _, cells in new.rows]):
            words.append(f"the {TABLE} of {len(old.rows)} clips that was there")
    if media is not None and link.is_symlink() and link.resolve() != media.resolve() and not _lies_above(out, media):
        words.append(f"the link to {os.readlink(link)}")
    return [("replaced", " and ".join(words))] if words else []


def link_media(folder: Path, out: Path) -> None:
    """Lets the media be found below the table: a link in `out`, unless they lie there already.

    A link to another folder, of before, goes.
    """
    source, link = folder.resolve(), out / "media"
    if _lies_above(out, folder):
        return
    if link.is_symlink() and link.resolve() == source:
        return
    try:
        if link.is_symlink():
            link.unlink()
        os.symlink(source, link, target_is_directory=True)
    except OSError as error:
        LOGGER.warning("%s: no link to %s (%s); lay the media below %s", link, source, error.strerror, out)


def _lies_above(out: Path, media: Path) -> bool:
    return out.resolve() in (media.resolve(), *media.resolve().parents)


def _loose(name: str) -> str:
    """What remains of a name when a spreadsheet, or a person, has written it."""
    name = name.casefold()
    return name.lstrip("0") or "0" if name.isdigit() else name
