# SPDX-License-Identifier: Apache-2.0
"""librosa, imported where nothing of the usual can be written, too.

numba, which compiles parts of librosa, wants to keep what it compiled, and raises where it finds no place: not beside
librosa (a container's read-only root, an administrator's installation), nor in the home (a job of another user).
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, Iterator

from mindface_eri.errors import MissingDependencyError

CURE = "set TMPDIR, or NUMBA_CACHE_DIR, to a folder that can be written to"
_VARIABLE = "NUMBA_CACHE_DIR"


def import_librosa() -> Any:
    """The module; it has a place for what numba compiles, in the folder for temporary files if nowhere else.

    Raises:
        MissingDependencyError: librosa is not installed, or there is no folder at all that can be written to.
    """
    if not any(map(_writable, _places())):
        try:
            os.environ[_VARIABLE] = _own_folder()  # worker processes take it over
        except OSError as error:
            raise MissingDependencyError(f"librosa finds no folder for what it compiles ({error}): {CURE}") from None
    try:
        librosa = importlib.import_module("librosa")
        _ = librosa.power_to_db, librosa.feature.mfcc, librosa.filters.mel  # parts are imported when asked for
    except ImportError:
        raise MissingDependencyError("MFCC needs librosa: pip install librosa") from None
    except RuntimeError as error:
        raise MissingDependencyError(f"librosa cannot be imported ({error}): {CURE}") from None
    return librosa


def _places() -> Iterator[Path]:
    """Where numba looks, in its order."""
    if os.environ.get(_VARIABLE):
        yield Path(os.environ[_VARIABLE])
    try:
        found = importlib.util.find_spec("librosa")
    except ValueError:  # it is marked as not to be imported
        found = None
    if found is not None and found.origin:
        yield Path(found.origin).parent / "util" / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~"), ".cache")) / "numba"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _own_folder() -> str:
    """A folder that nobody else can write to, since what lies there is run: the user's, or else this process's."""
    user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
    folder = Path(tempfile.gettempdir(), f"mindface_eri-numba-{user}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022 or not _writable(folder):
            folder = Path(tempfile.mkdtemp(prefix="mindface_eri-numba-"))  # the other one is somebody else's
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)
