# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C end the process within three seconds, whatever it is at.

Python tells its main thread of a signal between two steps of its own, and a decoder, a compiler or a pipeline that
waits for its next clip can keep that off for an hour. So a thread beside it is told too, by the bytes that Python's
handler in C writes, and ends the process where the work does not end by itself. Files appear whole or not at all, so
that nothing is lost by that but the work in flight.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Iterator, List, NoReturn, Optional

STATUS = 130
GRACE = 1.5  # seconds for the work to end by itself: rows are written, temporary files and processes go
_STOPS = (signal.SIGINT, signal.SIGTERM)
_received: List[int] = []


@contextlib.contextmanager
def stoppable(whole_process: bool = False) -> Iterator[None]:
    """Within the block either signal raises KeyboardInterrupt, and ends the process if it is still there after `GRACE`.

    After it either does what it did before, or, where the process ends with the block, ends it at once.

    Nothing is raised within MindSpore, which makes errors, messages and files of its own of it: work in which it takes
    the time asks `stop_if_asked`. In other threads than the main one the block is as it was.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in _STOPS}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(reader, ended), daemon=True)
    watcher.start()
    others = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(others)
        for number, handler in before.items():
            signal.signal(number, _end if whole_process else handler)
        os.close(writer)  # the thread ends with it
        watcher.join(1)
        os.close(reader)  # not before: Python writes there at each signal, and people press twice
        _received.clear()


def stopped() -> bool:
    """Whether a signal has come: libraries turn the KeyboardInterrupt into errors of their own."""
    return bool(_received)


def stop_if_asked() -> None:
    """Ends the work here if a signal came while MindSpore was at work."""
    if _received:
        raise KeyboardInterrupt


def end_process() -> NoReturn:
    """Ends it and its children with the status of what was stopped, without what libraries do and say at an end."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or its reader has gone
            stream.flush()
    os._exit(STATUS)


def say_stopped() -> None:
    """The one line."""
    with contextlib.suppress(OSError, ValueError):
        bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())  # in the middle of a line
        new_line = "\n" if sys.stderr.isatty() or len(bars) else ""
        print(f"{new_line}stopped; what is finished is kept", file=sys.stderr, flush=True)


def _stop(number: int, frame: Optional[FrameType]) -> None:
    _received.append(number)
    if len(_received) == 1 and not _within_mindspore(frame):  # a second signal must not stop the clearing up
        raise KeyboardInterrupt


def _end(*_: object) -> None:
    say_stopped()
    end_process()


def _within_mindspore(frame: Optional[FrameType], function: str = "") -> bool:
    """Also while it is imported, when it would abort the process at its end."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "mindspore" and (
                not function or frame.f_code.co_name == function):
            return True
        frame = frame.f_back
    return False


def _watch(reader: int, ended: threading.Event) -> None:
    """Waits in a thread for the first signal that stops, then for the end within the time allowed."""
    while True:
        told = os.read(reader, 1)
        if not told or told[0] in _STOPS:
            break
    if not told:
        return
    # A compiler keeps Python's lock for seconds at a time: they have passed, and the next would pass as well.
    frames = sys._current_frames()  # pylint: disable=protected-access
    compiles = _within_mindspore(frames.get(threading.main_thread().ident), "compile")
    if not compiles and ended.wait(GRACE):
        return
    say_stopped()
    end_process()
