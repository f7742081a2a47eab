# SPDX-License-Identifier: Apache-2.0
"""From uploads to answers: worker processes take clips apart, one thread asks the network, results wait a while.

The network gets one clip after another from a thread of its own: taking a clip apart costs far more, so that waiting to
fill a batch would cost time and save none. Of engines that fill batches LitServe was tried (0.2.19): a process that
dies ends its whole server, and a clip that hangs keeps a process for good; here either costs that clip alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, Optional

import numpy as np

from mindface_eri.datasets.build.workers import DIED, STOPPED, Reply, WorkerPool
from mindface_eri.deploy.backends import input_shapes
from mindface_eri.errors import ERIError
from mindface_eri.files import json_text, write_text
from mindface_eri.prediction.extraction import Taken
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.report.page import render_page
from mindface_eri.report.provenance import provenance_of
from mindface_eri.serve.decoding import Bounds, Task, run_task
from mindface_eri.serve.decoding import Settings as WorkerSettings
from mindface_eri.serve.entries import Entry, Upload
from mindface_eri.serve.metrics import Metrics
from mindface_eri.serve.problems import Problem
from mindface_eri.serve.settings import Settings

LOGGER = logging.getLogger("mindface_eri.serve")
KEPT = 128  # results in memory, each at most a page of about 0.7 MB
KEPT_SECONDS = 900.0


class Engine:
    """All clips of one server. Its methods are called within one event loop.

    Args:
        predictor: what answers.
        model: what it was loaded from.
        settings: the server's.
    """

    def __init__(self, predictor: Predictor, model: os.PathLike, settings: Settings) -> None:
        if predictor.model.features:
            raise ERIError(f"{predictor.model.name} takes {', '.join(predictor.model.features)}, which other programs "
                           "compute: such a network cannot be served; predict with --features")
        if predictor.model.normalise_by_person:
            raise ERIError(f"{predictor.model.name} compares each clip with others of its person, and cannot be "
                           "served, where clips come one by one; predict with --people")
        self.predictor, self.settings = predictor, settings
        self.facts = provenance_of(model, predictor)
        self.metrics = Metrics()
        self.entries: Dict[str, Entry] = {}
        self.trouble = "the workers are being started; ask again in a few seconds"  # why it is not ready, or ""
        self.closing = False
        self._taken, self._mean = 0, 2.0  # places; seconds from upload to answer, lately
        bounds = Bounds(settings.max_seconds, settings.max_megapixels, settings.memory)
        self._pool = WorkerPool(settings.processes, f"{run_task.__module__}:{run_task.__name__}",
                                WorkerSettings(predictor.preprocess, bounds), settings.clip_limit)
        self._hands = ThreadPoolExecutor(settings.processes, "clips")
        self.network = ThreadPoolExecutor(1, "network")
        self._folder = tempfile.TemporaryDirectory(prefix="mindface-eri-")
        self._tasks: Dict[str, asyncio.Task] = {}

    async def start(self, ready: Callable[[str], None] = lambda trouble: None) -> None:
        """Begins to make ready; `ready` is called with "" when it is, else with the reason why it cannot be."""
        # At most this many clips are apart in memory: those in work, and as many that wait for the network.
        self._room = asyncio.Semaphore(2 * self.settings.processes)  # pylint: disable=attribute-defined-outside-init
        self._tasks["start"] = asyncio.ensure_future(self._warm(ready))

    async def _warm(self, ready: Callable[[str], None]) -> None:
        """Lets each process and the network answer once; what does not, is the trouble."""
        loop = asyncio.get_running_loop()
        try:
            replies = await asyncio.gather(
                *(loop.run_in_executor(self._hands, self._pool, None) for _ in range(self.settings.processes)),
                loop.run_in_executor(self.network, self._try_network))
            bad = [reply for reply in replies[:-1] if reply[0] != "done"]
            self.trouble = str(bad[0][2]) if bad else ""
        except Exception as error:
            self.trouble = str(error) or type(error).__name__
        ready(self.trouble)

    def _try_network(self) -> None:
        """The first call compiles, or fails."""
        model = self.predictor.model
        arrays = {name: np.zeros(shape, kind)
                  for name, (shape, kind) in zip(model.inputs, input_shapes(model, 1))}
        self.predictor.predict_arrays(**arrays)

    def admit(self) -> Entry:
        """A place for a clip whose upload begins (a `Problem` where there is none); `drop` or `submit` it."""
        if self.closing:
            raise Problem("stopping", "the server is being stopped; send it to another, or later")
        if self.trouble:
            raise Problem("not-ready", self.trouble, {"Retry-After": "5"})
        if self._taken >= self.settings.uploads:
            wait = max(1, round(self._taken * self._mean / self.settings.processes / 2))
            self.metrics.refused.inc()
            raise Problem("busy", f"{self._taken} clips are being received or answered, as many as fit (--uploads); "
                          f"send it again in {wait} s", {"Retry-After": str(wait)})
        identity = secrets.token_urlsafe(16)
        try:
            folder = Path(self._folder.name) / identity
            folder.mkdir()
        except OSError as error:
            raise Problem("disk-full", f"no place for uploads on the server ({error.strerror})") from None
        self._taken += 1
        self.metrics.places.set(self._taken)
        return Entry(identity, folder, self.predictor.emotions)

    def drop(self, entry: Entry) -> None:
        """Gives the place of a clip back that did not come, or is no longer wanted."""
        entry.clear()
        self.entries.pop(entry.id, None)
        self._taken -= 1
        self.metrics.places.set(self._taken)

    def submit(self, entry: Entry, upload: Upload) -> None:
        """A clip that has come."""
        entry.upload, entry.stage = upload, "waiting"
        self.entries[entry.id] = entry
        self._tasks[entry.id] = asyncio.ensure_future(self._work(entry))

    def abandon(self, entry: Entry) -> None:
        """Nobody waits for its answer, or can ask for it: it is not begun, where it has not been."""
        if entry.stage == "waiting":
            self._tasks[entry.id].cancel()

    async def _work(self, entry: Entry) -> None:
        """Answers a clip when there is room; whatever goes wrong is its problem."""
        try:
            async with self._room:
                await self._answer(entry)
        except asyncio.CancelledError:
            if entry.problem is None:  # nobody waits for it
                self.entries.pop(entry.id, None)
            raise
        except Problem as problem:
            entry.problem = problem
        except Exception as error:
            LOGGER.exception("%s", entry.id)
            entry.problem = Problem("fault", f"{type(error).__name__}; the server's log says more")
        finally:
            self._tasks.pop(entry.id, None)
            self._finish(entry)

    async def _answer(self, entry: Entry) -> None:
        loop, upload = asyncio.get_running_loop(), entry.upload
        entry.stage = "reading"
        task = Task(upload.job, upload.windows, entry.folder, upload.person)
        with self.metrics.seconds.labels("clip").time():
            reply = await loop.run_in_executor(self._hands, self._pool, task)
        taken = self._checked(entry, reply)
        entry.stage = "network"
        with self.metrics.seconds.labels("network").time():
            await loop.run_in_executor(self.network, self._ask, entry, taken)

    def _checked(self, entry: Entry, reply: Reply) -> Taken:
        """What a worker gave back, or its problem."""
        state, code, found = reply
        if state == "done":
            return found
        if reply == STOPPED:
            raise Problem("stopping", "the server was stopped before this clip was answered; send it again")
        if code in DIED:
            self.metrics.deaths.inc()
        if state == "fatal":
            raise Problem("fault", found)
        said = str(found).replace(str(entry.upload.job.source), entry.upload.shown)
        if code in ("timeout", "too-long", *DIED):
            said = f"{entry.upload.shown}: {said}"
        raise Problem({"timeout": "too-slow", **dict.fromkeys(DIED, "unusable")}.get(code, code), said)

    def _ask(self, entry: Entry, taken: Taken) -> None:
        """Runs in the network's thread: the answer, and its page where it is wanted."""
        upload, windows = entry.upload, entry.upload.windows
        want_page = upload.page or self.settings.keep is not None
        prediction = next(iter(self.predictor.predict(
            [upload.job], window=windows.window, hop=windows.hop, whole=windows.whole, attention=want_page,
            taken=[taken])))
        if prediction.error:
            raise Problem("unusable", prediction.error.replace(str(upload.job.source), upload.shown))
        page = render_page(prediction, {**self.facts, "file": upload.shown},
                           note=self.predictor.note) if want_page else ""
        entry.answered(prediction, page)
        if self.settings.keep is not None:
            self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        folder = Path(self.settings.keep) / entry.id
        try:
            write_text(folder / "rows.json", json_text({"file": entry.upload.shown, "rows": entry.rows}, indent=2))
            write_text(folder / "page.html", entry.page)
        except OSError as error:
            LOGGER.error("%s: not kept: %s", entry.id, error)

    def _finish(self, entry: Entry) -> None:
        """Its files go, its place is free, its result stays a while."""
        entry.clear()
        entry.stage = "done"
        entry.finished.set()
        self._taken -= 1
        self.metrics.places.set(self._taken)
        self.metrics.clips.labels(entry.problem.code if entry.problem else "answered").inc()
        self._mean = 0.9 * self._mean + 0.1 * (time.monotonic() - entry.began)
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self.entries.pop, entry.id, None)
        done = [other for other in self.entries.values() if other.finished.is_set()]
        for old in done[:max(0, len(done) - KEPT)]:
            del self.entries[old.id]

    def find(self, identity: str) -> Entry:
        """A clip by its id (a `Problem` where there is none)."""
        found: Optional[Entry] = self.entries.get(identity)
        if found is None:
            raise Problem("not-found", f"no clip has this id, or its answer is older than {KEPT_SECONDS / 60:.0f} "
                          "minutes; send it again")
        return found

    async def finish(self, patience: float) -> None:
        """Accepts nothing more, and waits so many seconds for what was accepted; who still waits then is told."""
        self.closing = True
        waiting = {task: self.entries[name] for name, task in self._tasks.items() if name in self.entries}
        late = (await asyncio.wait(waiting, timeout=patience))[1] if waiting else ()
        for task in late:
            waiting[task].problem = Problem("stopping", "the server was stopped before this clip was answered; send it "
                                            "again")
            task.cancel()
        if late:
            LOGGER.error("%d accepted clips were given up: they took longer than %g s to answer", len(late), patience)
            await asyncio.wait(late)

    async def stop(self, patience: float) -> None:
        """As `finish`; then ends all processes."""
        await self.finish(patience)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._pool.close)
        for executor in (self._hands, self.network):
            executor.shutdown(wait=False)
        self._folder.cleanup()
