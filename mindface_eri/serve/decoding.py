# SPDX-License-Identifier: Apache-2.0
"""What a worker process does: a clip taken apart, within its limits of memory, length and pixels."""

from __future__ import annotations

import ctypes
import gc
import importlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Optional

from mindface_eri.config import PreprocessConfig
from mindface_eri.datasets.build.workers import Reply
from mindface_eri.errors import ERIError, MediaError
from mindface_eri.prediction.extraction import Taken, take_apart
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Grid, Windows
from mindface_eri.preprocess.container import open_media
from mindface_eri.preprocess.detectors import Landmarks, create_detector

STAGE = "stage"  # file in the clip's folder that says how far its worker is
_MOST_CROPS = 4000  # of a timeline: 150 MB of 112 x 112, which travel to the server


class Bounds(NamedTuple):
    """What a worker may spend on a clip."""

    seconds: float
    megapixels: float
    gigabytes: float


class Settings(NamedTuple):
    """The same for all clips."""

    preprocess: PreprocessConfig
    bounds: Bounds


class Task(NamedTuple):
    """One clip; its files lie in `folder`."""

    job: Job
    windows: Windows
    folder: Path
    person: Optional[str] = None


def run_task(settings: Settings, task: Optional[Task]) -> Reply:
    """("done", "", Taken), or ("failed", code of the problem, reason). None makes the process ready."""
    hold_memory(settings.bounds.gigabytes)
    if task is None:
        make_ready()
        return "done", "", None
    config = settings.preprocess
    if task.person is not None:
        config = replace(config, face=replace(config.face, follow=task.person))
    watch = _Watch(task.windows, task.folder, settings.bounds)
    give_back()  # what the clip before took; its reply has gone
    reason = watch.look(task.job)
    taken = Taken(None, error=reason) if reason else take_apart(config, watch, task.job)  # type: ignore[arg-type]
    return ("failed", watch.refused or "unusable", taken.error) if taken.error else ("done", "", taken)


def make_ready() -> None:
    """Loads what takes seconds to load; what is missing, the first clip's answer says."""
    with suppress(ERIError):
        create_detector("dlib")
        Landmarks()
    with suppress(ImportError):
        importlib.import_module("cv2")
    gc.collect()
    gc.freeze()  # what is there now stays: `give_back` need not look at it


def hold_memory(gigabytes: float) -> None:
    """This process gets no more, where the system knows such limits."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        most = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def give_back() -> None:
    """Hands memory back to the system: pictures in cycles of references, and what the allocator (glibc) would keep."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Watch:
    """In the place of `Windows`: asked once the file has been read and its length is known, before faces are sought."""

    def __init__(self, windows: Windows, folder: Path, bounds: Bounds) -> None:
        self._windows, self._bounds = windows, bounds
        self._stage = folder / STAGE
        self.refused = ""  # code of the problem

    def look(self, job: Job) -> str:
        """Why the picture that the file announces is too large, else ""."""
        self._tell("reading")
        with suppress(ERIError), open_media(job.source) as container:
            for stream in container.streams.video:
                if stream.width * stream.height > self._bounds.megapixels * 1e6:
                    self.refused = "too-many-pixels"
                    return (f"{job.source}: a picture of {stream.width} x {stream.height}, at most "
                            f"{self._bounds.megapixels:g} megapixels are taken here; send it smaller")
        return ""

    def grid(self, seconds: float, frames: int) -> Optional[Grid]:
        """As `Windows.grid`; refuses what is too long."""
        if seconds > self._bounds.seconds:
            self.refused = "too-long"
            raise MediaError(f"{seconds:.0f} s, at most {self._bounds.seconds:g} s are taken here; cut it")
        grid = self._windows.grid(seconds, frames)
        if grid is not None and grid.samples > _MOST_CROPS:
            self.refused = "too-long"
            raise MediaError(f"{seconds:.0f} s in such windows take {grid.samples} crops, at most {_MOST_CROPS} are "
                             "taken here; ask for longer windows, or cut it")
        self._tell("face and sound")
        return grid

    def _tell(self, stage: str) -> None:
        with suppress(OSError):  # a full disk must not cost the answer
            self._stage.write_text(stage, encoding="utf-8")
