# SPDX-License-Identifier: Apache-2.0
"""Where the media of clips lie, and manifests of folders that have no labels."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

from mindface_eri.constants import SPLIT_ALIASES
from mindface_eri.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".mts",
                  ".3gp", ".ogv", ".m2ts", ".vob", ".asf", ".3g2")
AUDIO_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac", ".wma", ".aif", ".aiff",
                  ".amr", ".caf", ".oga", ".mka", ".weba", ".m4b")
LOGGER = logging.getLogger(__name__)


def one_name(text: str) -> str:
    """A name in Unicode's composed form (NFC): Macs write an accent as a sign of its own, tables mostly do not."""
    return unicodedata.normalize("NFC", text)


def without_suffix(clip_id: str) -> str:
    """An id without the ending of a media file: `00001.mp4` and `00001` are one clip."""
    stem, suffix = os.path.splitext(clip_id)
    return stem if suffix.lower() in VIDEO_SUFFIXES + AUDIO_SUFFIXES else clip_id


def _rank(path: Path) -> Tuple[int, int, str]:
    """Order among several files of one clip: by suffix as listed above, then the shallowest."""
    order = VIDEO_SUFFIXES + AUDIO_SUFFIXES
    return order.index(path.suffix.lower()), len(path.parts), str(path)


def _media_below(folder: Path, visited: Optional[Set[Tuple[int, int]]] = None) -> Iterable[Path]:
    for here, _, names in walk(folder, visited):
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES + AUDIO_SUFFIXES:
                yield path


def walk(folder: Path, visited: Optional[Set[Tuple[int, int]]] = None) -> Iterator[Tuple[str, List[str], List[str]]]:
    """`os.walk` through links too, in order, past hidden folders, and into each folder once: loops of links end.

    Args:
        visited: device and number of the folders that are not to be looked into again; those found are added.
    """
    visited = set() if visited is None else visited
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_tell):
        found = os.stat(here)
        if (found.st_dev, found.st_ino) in visited:
            folders[:] = []
            continue
        visited.add((found.st_dev, found.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield here, folders, names


def _tell(error: OSError) -> None:
    LOGGER.warning("%s: cannot be looked into (%s); what lies there is left out", error.filename, error.strerror)


class MediaIndex:
    """All media files below a folder, found by clip id; the folder is walked once."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._files: Dict[str, List[Path]] = {}
        self._splits: Dict[str, Optional[str]] = {}  # that the folders are named after
        for path in _media_below(self._folder):
            self._files.setdefault(one_name(path.stem), []).append(path)

    def names(self) -> Tuple[str, ...]:
        """What the files are called, without their endings."""
        return tuple(self._files)

    def files(self) -> Iterator[Path]:
        """All of them."""
        return (path for paths in self._files.values() for path in paths)

    def find(self, clip_id: str, split: str) -> Tuple[Optional[Path], Optional[Path]]:
        """Picture and sound file of a clip, each None where there is none.

        Files may lie anywhere below the folder. Those in a folder named after the clip's split win, those in a folder
        of another split do not count; an id may carry its file's suffix. Where no file is called so, an id may begin
        with its folders: `P02_take1` is `P02/take1.mp4`, as `clips_of_paths` calls it.
        """
        return first_files(self.paths(clip_id, split))

    def paths(self, clip_id: str, split: str) -> List[Path]:
        """All files that `find` chooses among, the best first."""
        clip_id = one_name(clip_id)
        stem = without_suffix(clip_id)
        paths = self._files.get(clip_id) or self._files.get(stem) or self._below_folders(stem)
        named = {path: self._split_of(path) for path in paths}
        paths = [p for p in paths if named[p] == split] or [p for p in paths if named[p] is None]
        # An id with an ending means that file.
        return sorted(paths, key=lambda path: (one_name(path.name) != clip_id, _rank(path)))

    def several(self, clip_id: str, split: str) -> List[Path]:
        """The files of a clip where those of one kind lie in several folders: they may be of several clips."""
        return several_folders(self.paths(clip_id, split))

    def folders(self, path: Path) -> Tuple[str, ...]:
        """Those between the folder of all media and a file."""
        return tuple(one_name(part) for part in path.relative_to(self._folder).parts[:-1])

    def _below_folders(self, clip_id: str) -> List[Path]:
        """Files of an id with folders in front, `P02_take1`: below them, directly where there are such."""
        direct, deeper = [], []
        for at in (i for i, sign in enumerate(clip_id) if sign == "_"):
            for path in self._files.get(clip_id[at + 1:], []):
                parts = self.folders(path)
                ends = {end for end in range(1, len(parts) + 1) for start in range(end)
                        if plain_name("_".join(parts[start:end])) == clip_id[:at]}
                if ends:
                    (direct if len(parts) in ends else deeper).append(path)
        return direct or deeper

    def _split_of(self, path: Path) -> Optional[str]:
        folder = os.path.dirname(path)
        if folder not in self._splits:  # of thousands of files
            parts = (part.lower() for part in reversed(Path(folder).relative_to(self._folder).parts))
            self._splits[folder] = next((SPLIT_ALIASES[part] for part in parts if part in SPLIT_ALIASES), None)
        return self._splits[folder]


def first_files(paths: Iterable[Path]) -> Tuple[Optional[Path], Optional[Path]]:
    """The first picture and the first sound file, each None where there is none."""
    first: Dict[bool, Path] = {}
    for path in paths:
        first.setdefault(path.suffix.lower() in AUDIO_SUFFIXES, path)
    return first.get(False), first.get(True)


def several_folders(paths: Iterable[Path]) -> List[Path]:
    """The files, where those of one kind lie in several folders, else none."""
    paths = list(paths)
    places = {(path.suffix.lower() in AUDIO_SUFFIXES, path.parent) for path in paths}
    return paths if len(places) > len({audio for audio, _ in places}) else []


def clips_of_paths(paths: Iterable[Path]) -> List[Tuple[str, Optional[Path], Optional[Path]]]:
    """(id, picture file, sound file) of each clip among files and folders.

    A folder gives every media file below it; a file that is named counts whatever its suffix. A sound file beside a
    picture file of the same stem belongs to it. Ids are stems, with their folders' names in front where stems collide.

    Raises:
        DataError: a path does not exist, or there is no media file at all.
    """
    pairs: Dict[Tuple[Path, str], Dict[str, List[Path]]] = {}
    paths = [Path(path) for path in paths]
    visited: Set[Tuple[int, int]] = set()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        for file in _media_below(path, visited) if path.is_dir() else [path]:
            kind = "audio" if file.suffix.lower() in AUDIO_SUFFIXES else "video"
            files = pairs.setdefault((file.parent, one_name(file.stem)), {"video": [], "audio": []})[kind]
            if file not in files:
                files.append(file)
    if not pairs:
        raise DataError(f"{', '.join(map(str, paths))}: no media file there; known suffixes: "
                        f"{' '.join(VIDEO_SUFFIXES + AUDIO_SUFFIXES)}")
    found = []
    for (folder, stem), kinds in pairs.items():
        videos, audios = kinds["video"], kinds["audio"]
        if len(videos) <= 1 and len(audios) <= 1:
            found.append((folder, stem, videos[0] if videos else None, audios[0] if audios else None))
        else:  # several files of one stem are several clips, told apart by their suffixes
            found += [(folder, file.name, file if file in videos else None, file if file in audios else None)
                      for file in videos + audios]
    return [(clip_id, video, audio) for clip_id, (_, _, video, audio) in zip(_unique_ids(found), found)]


def _unique_ids(found: List[tuple]) -> List[str]:
    """Names without their endings, with as many folders before them as tell them apart."""
    ids = [plain_name(name) for _, name, _, _ in found]
    depth = 1
    while len(set(ids)) < len(ids) and depth < 16:
        double = {i for i, count in Counter(ids).items() if count > 1}
        ids = [plain_name("_".join([*folder.resolve().parts[-depth:], name])) if old in double else old
               for old, (folder, name, _, _) in zip(ids, found)]
        depth += 1
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(f"two clips would both be called {twice!r}; rename one of the files")
    return ids


def plain_name(name: str) -> str:
    """A name that an id may be: without the signs that neither tables nor records take."""
    # Surrogates stand for bytes of a name that is not UTF-8; neither tables nor records can hold them.
    return re.sub(r"[\\/:\[\]\x00-\x1f\ud800-\udfff]", "_", one_name(name))
