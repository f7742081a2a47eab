# SPDX-License-Identifier: Apache-2.0
"""Files written whole or not at all, into folders in which one process is at work."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import math
import os
import re
import secrets
from pathlib import Path
from typing import Any, Iterator, Mapping

from mindface_eri.errors import BusyError

LOGGER = logging.getLogger(__name__)
_LEFTOVER = re.compile(r"\..*\.\d+\.\d+\.tmp(\.\w+)?")
# From anywhere on: two machines may write to one folder, and in containers all processes have the same few numbers.
_COUNT = itertools.count(secrets.randbits(48))


# Read once, while there is one thread: the only way to ask for it is to change it.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def usual_mode(path: os.PathLike) -> None:
    """Gives a file the rights of any new one, 0666 less the umask, where a library was more, or less, careful."""
    os.chmod(path, 0o666 & ~_UMASK)


def tell_of_link(path: os.PathLike) -> None:
    """Says so where something is about to be written through a link, out of the folder that it seems to lie in."""
    if os.path.islink(path):
        target = os.path.realpath(path)
        if os.path.dirname(target) != os.path.realpath(os.path.dirname(os.path.abspath(path))):
            LOGGER.warning("%s is a link: what is written there lies in %s", path, target)


@contextlib.contextmanager
def replacing(path: os.PathLike, *, durable: bool = False) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`, with its ending; what the block writes there takes the name of
    `path` when the block ends well, and is removed otherwise.

    A reader, or a kill at any moment, sees the old file or the new one. A folder that is missing is made; a link keeps
    pointing where it did, and is told of where that is elsewhere; a device, such as /dev/stdout, is written to
    directly.

    Args:
        durable: survive a power cut too.

    Raises:
        OSError: the file cannot be written; `filename` is `path`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    tell_of_link(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Cut short: a name may have 255 bytes, and the target's may have them already.
    temporary = target.with_name(f".{target.stem[:40]}.{os.getpid()}.{next(_COUNT)}.tmp{target.suffix[:20]}")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is not None and error.filename in (None, "", str(temporary)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: os.PathLike, content: bytes) -> Path:
    """Writes a file whole or not at all; returns its path."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: os.PathLike, text: str) -> Path:
    """Writes UTF-8 text, its line ends as they are, whole or not at all; returns its path.

    Half characters, as names of files in another encoding hold them, become question marks.
    """
    return write_bytes(path, text.encode("utf-8", "replace"))


def json_text(value: Any, **options: Any) -> str:
    """`value` as JSON, which knows no NaN and no infinity: null stands for them."""
    return json.dumps(_without_nan(value), allow_nan=False, **options)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: os.PathLike, value: Any) -> Path:
    """Writes JSON (see `json_text`) whole or not at all; returns the path."""
    return write_text(path, json_text(value, indent=2) + "\n")


def file_hash(path: os.PathLike) -> str:
    """sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def remove_leftovers(folder: os.PathLike) -> None:
    """Removes temporary files that killed processes left in a folder; only for one who holds its lock."""
    for path in Path(folder).glob(".*.tmp*"):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_lock(path: os.PathLike, what: str) -> Iterator[None]:
    """Keeps a second process out of a folder; the lock dies with its process, however that ends.

    Args:
        path: the lock's file, in that folder.
        what: who else may be at work, for the message.

    Raises:
        BusyError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = Path(path)
    made = not path.parent.exists()
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise BusyError(f"{path.parent}: another process ({what}) is at work there; wait for it, or choose "
                                "another folder") from None
            except OSError:
                pass  # a file system without locks
            if not _is_at(stream.fileno(), path):  # its last holder has just removed it
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
                    if made:
                        path.parent.rmdir()  # fails where something was written
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
