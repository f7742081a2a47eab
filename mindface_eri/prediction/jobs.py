# SPDX-License-Identifier: Apache-2.0
"""What to predict: paths of every kind, pairs of picture and sound, or clips taken apart already."""

from __future__ import annotations

import csv
import glob
import os
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from mindface_eri.datasets.media import clips_of_paths, one_name, walk
from mindface_eri.errors import DataError
from mindface_eri.preprocess.clip import Clip

_PATH_COLUMNS = ("path", "video", "file", "filename", "file_id")


class Job(NamedTuple):
    """A clip to predict: files, of which `audio` is sound in a file of its own, or a clip taken apart already."""

    name: str
    video: Optional[Path] = None
    audio: Optional[Path] = None
    clip: Optional[Clip] = None

    @property
    def source(self) -> Optional[Path]:
        """The file that is taken apart."""
        return self.video or self.audio

    @property
    def separate_sound(self) -> Optional[Path]:
        """The sound file, where there is a picture beside it."""
        return self.audio if self.video else None


_Path = Union[str, os.PathLike]
ClipLike = Union[_Path, Tuple[Optional[_Path], Optional[_Path]], Clip, Job]


def as_jobs(clips: Iterable[ClipLike]) -> List[Job]:
    """Jobs of paths, pairs of a picture and a sound file (None: none), and `Clip`s, which are named by their number.

    Raises:
        DataError: a single clip instead of several; a text would be taken for a list of its letters.
    """
    if isinstance(clips, (str, os.PathLike, Clip, Job)):
        raise DataError(f"{clips if isinstance(clips, (str, os.PathLike)) else type(clips).__name__}: one clip, where "
                        "several are expected; put it into a list")
    jobs = []
    for number, clip in enumerate(clips):
        if isinstance(clip, Job):
            jobs.append(clip)
        elif isinstance(clip, Clip):
            jobs.append(Job(f"clip-{number:05d}", clip=clip))
        else:
            video, audio = clip if isinstance(clip, tuple) else (clip, None)
            names = [None if path is None else Path(path) for path in (video, audio)]
            jobs.append(Job(one_name((names[0] or names[1]).stem), *names))
    return jobs


def find_jobs(paths: Sequence[_Path]) -> List[Job]:
    """Clips behind files, folders, globs and CSV files of paths (relative to the CSV's folder).

    Raises:
        DataError: a path or glob matches nothing, or a CSV has no column of paths.
    """
    files: List[Path] = []
    for path in map(str, paths):
        if not os.path.exists(path) and glob.has_magic(path):
            found = _matching(path)
            if not found:
                raise DataError(f"{path}: matches no file")
            files += map(Path, found)
        elif path.lower().endswith(".csv"):
            files += _paths_in(Path(path))
        else:
            files.append(Path(path))
    return [Job(*clip) for clip in clips_of_paths(files)]


def _matching(pattern: str) -> List[str]:
    """What `glob` finds, in order; below `**` each folder is looked into once, where `glob` follows loops of links."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        return sorted(glob.glob(pattern))
    place = parts.index("**")
    before = os.sep.join(parts[:place]) or (os.sep if pattern.startswith(os.sep) else os.curdir)
    after = os.sep.join(parts[place + 1:])
    visited: Set[Tuple[int, int]] = set()
    folders = [here for top in glob.glob(before) for here, _, _ in walk(Path(top), visited)]
    found = {path for here in folders for path in _matching(os.path.join(glob.escape(here), after or "*"))}
    return sorted(path for path in found if after or not os.path.isdir(path))


def _paths_in(table: Path) -> Iterator[Path]:
    """The clips that a table names in its first column."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as CSV ({error})") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _PATH_COLUMNS if name in header), None)
    for row in rows if column is None else rows[1:]:
        cell = row[column or 0].strip() if len(row) > (column or 0) else ""
        try:
            found = (table.parent / cell).is_file()
        except OSError:  # longer than a name can be
            found = False
        if not found:
            raise DataError(f"{table}: {cell!r} is no file in {table.parent}; the table needs a column `path`, or a "
                            "path first in each line")
        yield table.parent / cell
