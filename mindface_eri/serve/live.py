# SPDX-License-Identifier: Apache-2.0
"""A camera over a websocket: pictures and sound in, an answer a second out; nothing of it is ever stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any, Dict, Iterator

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from mindface_eri.constants import FRAME_STATES
from mindface_eri.datasets.build.workers import WorkerPool
from mindface_eri.errors import readable
from mindface_eri.prediction.extraction import Taken
from mindface_eri.prediction.jobs import Job
from mindface_eri.report.html import jpeg
from mindface_eri.serve.decoding import Bounds
from mindface_eri.serve.decoding import Settings as WorkerSettings
from mindface_eri.serve.engine import Engine
from mindface_eri.serve.window import HOP, LEAST, LOST, SECONDS, Opening, Window, run_window

_SLOW = 30.0  # seconds that a window may take
_PATIENCE = 15.0  # seconds without a message, after which a camera is taken for gone
_AGAIN, _WRONG = 1013, 1008  # codes of a websocket that is closed: try again later; what was sent cannot be used


class Cameras:
    """Worker processes for cameras, one for each, apart from those of uploads, which would keep them waiting."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        settings = engine.settings
        bounds = Bounds(SECONDS, settings.max_megapixels, settings.memory)
        self._all = [WorkerPool(1, f"{run_window.__module__}:{run_window.__name__}",
                                WorkerSettings(engine.predictor.preprocess, bounds), _SLOW)
                     for _ in range(settings.live)]
        self._free = list(self._all)

    @property
    def free(self) -> int:
        """How many cameras more can be switched on."""
        return len(self._free)

    async def start(self) -> None:
        """Makes the processes ready, one after another, beside everything else."""
        for worker in self._all:
            await asyncio.get_running_loop().run_in_executor(None, worker, None)

    @contextlib.contextmanager
    def lend(self) -> Iterator[WorkerPool]:
        """A process, for a camera's whole time."""
        worker = self._free.pop()
        self._engine.metrics.live.inc()
        try:
            yield worker
        finally:
            asyncio.get_running_loop().run_in_executor(None, worker, None)  # it forgets what it saw
            self._free.append(worker)
            self._engine.metrics.live.dec()

    async def answer(self, worker: WorkerPool, window: Window) -> Dict[str, Any]:
        """What the network says of what a camera showed lately."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        length, look = window.seconds, window.look()
        state, code, found = await loop.run_in_executor(None, worker, look)
        if code == LOST:  # the process died, or could not go on
            length, look = window.seconds, window.look(anew=True)
            state, code, found = await loop.run_in_executor(None, worker, look)
        newest = look.newest * 1000
        if state != "done":
            if code == "timeout":
                found = f"this computer is too slow for it: {length:.0f} s took longer than {_SLOW:g} s"
            return {"error": readable(found), "newest": newest}
        seen = time.perf_counter()
        said = await loop.run_in_executor(self._engine.network, self._ask, found)
        return {**said, "newest": newest, "took": round(time.perf_counter() - began, 3),
                "network": round(time.perf_counter() - seen, 3), "seconds": round(length, 2)}

    def _ask(self, taken: Taken) -> Dict[str, Any]:
        """Runs in the network's thread."""
        prediction = next(iter(self._engine.predictor.predict([Job("live")], whole=True, taken=[taken])))
        if prediction.error:
            return {"error": prediction.error.removeprefix("live: ")}
        clip = prediction.clip
        seen = clip.present[0] > 0 and clip.detected[-1] > 0
        return {"values": dict(zip(prediction.emotions, np.round(prediction.intensities, 4).tolist())),
                "face": FRAME_STATES[int(clip.detected[-1])], "sound": bool(clip.present[1]),
                "others": clip.others, "crop": jpeg(clip.frames[-1]) if seen else ""}

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._all:
            worker.close()


async def live(websocket: WebSocket) -> None:
    """One camera: first what it is (JSON), then pictures and sound; `window.py` says how."""
    cameras: Cameras = websocket.app.state.cameras
    engine: Engine = websocket.app.state.engine
    await websocket.accept()
    if cameras.free < 1 or engine.closing or engine.trouble:
        reason = engine.trouble or f"as many cameras as fit ({engine.settings.live}) are on; try again later"
        await websocket.close(_AGAIN, reason[:120])
        return
    with cameras.lend() as worker:
        try:
            await _converse(websocket, cameras, worker)
        except WebSocketDisconnect:
            pass
        except (ValueError, KeyError, asyncio.TimeoutError) as error:
            reason = str(error) or f"nothing came for {_PATIENCE:g} s"
            with contextlib.suppress(RuntimeError):  # it is closed already
                await websocket.close(_WRONG, reason[:120])


async def _converse(websocket: WebSocket, cameras: Cameras, worker: WorkerPool) -> None:
    """Takes what a camera sends, while another task answers, until one of them ends."""
    opening = Opening.of(json.loads(await asyncio.wait_for(websocket.receive_text(), _PATIENCE)))
    window = Window(opening)
    answering = asyncio.ensure_future(_answer_all(websocket, cameras, worker, window))
    try:
        while not answering.done():
            window.add(await asyncio.wait_for(websocket.receive_bytes(), _PATIENCE))
        answering.result()
    finally:
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await answering


async def _answer_all(websocket: WebSocket, cameras: Cameras, worker: WorkerPool, window: Window) -> None:
    """An answer every `HOP` seconds; where that is too fast for this machine, as fast as it can."""
    loop, last = asyncio.get_running_loop(), -1.0
    while True:
        began = loop.time()
        if window.seconds >= LEAST and window.newest > last:
            last = window.newest
            await websocket.send_json(await cameras.answer(worker, window))
        await asyncio.sleep(max(HOP - (loop.time() - began), 0.05))
