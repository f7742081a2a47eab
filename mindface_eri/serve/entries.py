# SPDX-License-Identifier: Apache-2.0
"""One clip that somebody sent: how far it is, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.windows import Windows
from mindface_eri.serve.decoding import STAGE
from mindface_eri.serve.problems import Problem


class Upload(NamedTuple):
    """What was asked for; the clip's files lie in its entry's folder."""

    job: Job  # named as `predict` would
    shown: str  # the name that its sender gave the file
    windows: Windows
    person: Optional[str] = None
    page: bool = False  # whether to draw its page


@dataclass
class Entry:
    """One clip, from the moment its upload begins; `id` cannot be guessed."""

    id: str
    folder: Path
    emotions: Tuple[str, ...]
    upload: Optional[Upload] = None
    stage: str = "upload"  # then waiting, reading, face and sound, network, done
    rows: List[Dict[str, Any]] = field(default_factory=list)
    mean: Optional[Dict[str, float]] = None
    seconds: float = 0.0  # of the clip
    quality: str = ""
    page: str = ""
    problem: Optional[Problem] = None
    began: float = field(default_factory=time.monotonic)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> str:
        """queued, running, done or failed."""
        if self.finished.is_set():
            return "failed" if self.problem else "done"
        return "queued" if self.stage in ("upload", "waiting") else "running"

    def answered(self, prediction: Prediction, page: str) -> None:
        """Takes an answer."""
        clip, values = prediction.clip, prediction.intensities
        self.rows, self.page, self.quality = prediction.rows(), page, clip.quality
        self.mean = dict(zip(prediction.emotions, map(float, values)))
        self.seconds = float(clip.duration)

    def document(self, note: str = "") -> Dict[str, Any]:
        """What programs read."""
        place = f"/v1/predictions/{self.id}"
        found: Dict[str, Any] = {"id": self.id, "state": self.state, "stage": self._stage(), "href": place}
        if self.upload is not None:
            found["file"] = self.upload.shown
        if self.problem is not None:
            found["problem"] = self.problem.document()
        elif self.finished.is_set():
            names = ("rows.csv", "rows.json", *(["page.html"] if self.page else []))
            found.update(rows=self.rows, mean=self.mean, seconds=round(self.seconds, 3), quality=self.quality,
                         note=note, links={name.rpartition(".")[2]: f"{place}/{name}" for name in names})
        return found

    def _stage(self) -> str:
        """What its worker says, while it is with one."""
        if self.stage == "reading":
            with contextlib.suppress(OSError):
                return (self.folder / STAGE).read_text(encoding="utf-8") or self.stage
        return self.stage

    def clear(self) -> None:
        """Removes its files."""
        shutil.rmtree(self.folder, ignore_errors=True)
