# SPDX-License-Identifier: Apache-2.0
"""What a clip's files were when it was taken apart, and whether they are that still."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Union

from mindface_eri.files import file_hash

Files = Mapping[str, Optional[Union[str, os.PathLike]]]  # `video` and `audio`; None where there is none
Mark = Dict[str, List[Union[int, str]]]  # of each file there is: bytes, time of change in nanoseconds, sha256


def mark(files: Files) -> Mark:
    """What to remember of a clip's files; of one that cannot be read, nothing.

    The hash costs one more reading, mostly out of memory: next to decoding, little.
    """
    marks: Mark = {}
    for name, path in files.items():
        try:
            if path is not None:
                marks[name] = [*stamp(path), file_hash(path)]
        except OSError:
            continue
    return marks


def stamp(path: Union[str, os.PathLike]) -> List[int]:
    """Bytes and time of change."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def same_stamps(marks: Mark, files: Files) -> bool:
    """Whether the files are those of the marks by size and time alone."""
    return all(_stamp_or_none(files[name]) == noted[:2] for name, noted in marks.items())


def changed(marks: Optional[Mapping[str, list]], files: Files, *, verify: bool = False) -> bool:
    """Whether a clip is another than the one that was taken apart.

    A file of the same size and time is taken for the same, one of another time (a copy) is compared by its hash. A file
    that is gone changes nothing: its record stands. A file that has come does.

    Args:
        marks: what `mark` gave; None where an earlier version took no note.
        verify: compare by hash always.
    """
    if marks is None:
        return False
    for name, path in files.items():
        found = None if path is None else _stamp_or_none(path)
        if found is None:
            continue
        noted = marks.get(name)
        if noted is None or found[0] != noted[0]:
            return True
        if (verify or found[1] != noted[1]) and file_hash(Path(path)) != noted[2]:
            return True
    return False


def _stamp_or_none(path: Union[str, os.PathLike]) -> Optional[List[int]]:
    try:
        return stamp(path)
    except OSError:
        return None
