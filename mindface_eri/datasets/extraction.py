# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""Worker processes that take clips apart.

MindData can run a map function in processes of its own, but when one of those dies - a decoder that crashes, the
kernel that runs out of memory - MindData ends the main process with it, or waits for ever once its watchdog is off
(measured on MindSpore 2.10). So the map function is a thread that speaks with a process of ours: one that dies costs
its clip, is replaced, and everything else goes on. They are fresh interpreters, not forks: they never hold MindSpore.

Run as `python -m mindface_eri.datasets.extraction` this file is such a worker.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.constants import MODALITIES
from mindface_eri.datasets.parts import save_clip
from mindface_eri.errors import ConfigError, MediaError, MissingDependencyError
from mindface_eri.threads import environment

DEFAULT_EXTRACTOR = "mindface_eri.preprocess.clip:extract_clip"

# (state, stage, reason): "done", "failed" for a clip that cannot be used, "fatal" where no clip could.
Reply = Tuple[str, str, str]
READY = "ready"
STOPPED: Reply = ("fatal", "stopped", "the run was stopped")


def extract_to_file(extractor: Callable[..., Any], config: PreprocessConfig, task: Dict[str, Any]) -> Reply:
    """Takes one clip apart and writes it; whatever goes wrong is told, not raised.

    Args:
        task: `video` and `audio` (path or None), `target` (file to write), `preview` (picture to draw, or None), `id`.
    """
    path = task["video"] or task["audio"]
    try:
        clip = extractor(path, config, audio_path=task["audio"] if task["video"] else None)
        fault = _fault(clip, config)
        if fault:
            return "failed", "extract", fault
        arrays = {"frames": _stored(clip.frames, config), "mfcc": clip.mfcc, "present": clip.present,
                  "timestamps": clip.timestamps, "boxes": clip.boxes, "detected": clip.detected}
    except MediaError as error:
        return "failed", getattr(error, "stage", "media"), str(error)
    except (MissingDependencyError, ConfigError) as error:
        return "fatal", "dependency", str(error)
    except Exception as error:  # one odd file must not stop the others
        return "failed", "extract", f"{type(error).__name__}: {error}"
    try:
        save_clip(Path(task["target"]), arrays, _row(clip))
    except OSError as error:
        return "fatal", "storage", f"{task['target']}: cannot be written ({error.strerror})"
    return "done", "", _preview(clip, task, config.audio.sample_rate)


def _preview(clip: Any, task: Dict[str, Any], sample_rate: int) -> str:
    if not task["preview"]:
        return ""
    try:
        from mindface_eri.preprocess.preview import save_contact_sheet, sound_of

        waveform, offset = sound_of(clip, task["video"], task["audio"], sample_rate)
        save_contact_sheet(clip, task["preview"], task["id"], waveform, sample_rate=sample_rate, offset=offset)
    except Exception as error:  # a picture for people; the clip itself is sound
        return f"no contact sheet of {task['id']}: {type(error).__name__}: {error}"
    return ""


def _stored(frames: np.ndarray, config: PreprocessConfig) -> np.ndarray:
    if config.storage == "raw":
        return np.ascontiguousarray(frames).reshape(-1)
    if not frames.any():
        return _black(frames.shape, config.jpeg_quality)
    from mindface_eri.preprocess.storage import encode_jpeg

    return np.frombuffer(encode_jpeg(frames, config.jpeg_quality), np.uint8)


@functools.lru_cache(maxsize=1)
def _black(shape: Tuple[int, ...], quality: int) -> np.ndarray:
    """The JPEG of a clip without a face; encoding it anew for each would double the time of a clip of sound alone."""
    from mindface_eri.preprocess.storage import encode_jpeg

    return np.frombuffer(encode_jpeg(np.zeros(shape, np.uint8), quality), np.uint8)


def _fault(clip: Any, config: PreprocessConfig) -> str:
    """Why an extracted clip cannot be stored; empty where it can."""
    size = config.face.size
    for name, shape in (("frames", (config.frames, size, size, 3)), ("mfcc", (config.frames, config.audio.features))):
        if np.shape(getattr(clip, name)) != shape:
            return f"{name} came out as {np.shape(getattr(clip, name))}, expected {shape}"
    if not np.isfinite(clip.mfcc).all():
        return "the MFCC hold values that are not finite"
    if not np.any(clip.present):
        return "neither a face nor sound was found"
    return ""


def _row(clip: Any) -> Dict[str, Any]:
    """What clips.csv says of a clip."""
    present = {f"present_{name}": int(value) for name, value in zip(MODALITIES, clip.present)}
    return {**present, "detector": clip.detector, "found_share": round(float(clip.found_share), 4),
            "others": int(clip.others), "duration": round(float(clip.duration), 4), "fps": round(float(clip.fps), 4),
            "width": int(clip.width), "height": int(clip.height), "quality": clip.quality,
            "content_hash": clip.content_hash()}


class Worker:
    """A process that takes one clip at a time; started at its first clip, and again after a crash."""

    def __init__(self, config: PreprocessConfig, extractor: str, limit: float) -> None:
        self._hello = {"sys_path": sys.path, "extractor": extractor, "config": config}
        self._limit = limit
        self._process: Optional[subprocess.Popen] = None
        self._chatter: Optional[BinaryIO] = None
        self._closed = False
        self._starting = False

    def __call__(self, task: Dict[str, Any]) -> Reply:
        """Extracts a clip; a clip that kills the process is tried a second time."""
        reply = self._attempt(task)
        if reply[1] != "crash":
            return reply
        state, stage, reason = self._attempt(task)
        return state, stage, f"{reason} (at both attempts)" if stage == "crash" else reason

    def close(self) -> None:
        """Ends the process, also in the middle of a clip."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _attempt(self, task: Dict[str, Any]) -> Reply:
        if self._closed:
            return STOPPED
        if self._process is None:
            self._start()
        process, late = self._process, threading.Event()
        timer = threading.Timer(self._limit, lambda: (late.set(), process.kill()))
        timer.daemon = True
        try:
            if self._starting:
                _send(process.stdin, self._hello)
                self._starting = pickle.load(process.stdout) != READY
            timer.start()  # only now a clip's time begins to run
            _send(process.stdin, task)
            return pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            reason = self._bury()
            if self._closed:
                return STOPPED
            if self._starting:
                return "fatal", "start", reason
            return ("failed", "timeout", f"was not done after {self._limit:g} s; --clip-limit gives more") \
                if late.is_set() else ("failed", "crash", reason)
        finally:
            timer.cancel()

    def _start(self) -> None:
        """One thread a library: results must not depend on how sums are split, and N workers fill N cores."""
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mindface_eri.datasets.extraction"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._chatter, env={**os.environ, **environment(1), "PYTHONPATH": paths})
        self._starting = True  # until it says that it is ready

    def _bury(self) -> str:
        """Clears a dead process away; how it died and the last thing it said."""
        process, self._process = self._process, None
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its pipes and lives on
            process.kill()
            code = process.wait()
        self._chatter.seek(0)
        lines = self._chatter.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        for stream in (process.stdin, process.stdout, self._chatter):
            with contextlib.suppress(OSError):  # what was not sent to it is lost with it
                stream.close()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return f"the extracting process {how}{hint}" + (f": {lines[-1].strip()}" if lines else "")


class WorkerPool:
    """Workers lent to MindData's map threads."""

    def __init__(self, workers: int, config: PreprocessConfig, extractor: str = DEFAULT_EXTRACTOR,
                 limit: float = 3600.0) -> None:
        self._all: List[Worker] = [Worker(config, extractor, limit) for _ in range(workers)]
        self._free: queue.Queue[Worker] = queue.Queue()
        for worker in self._all:
            self._free.put(worker)

    def __call__(self, task: Dict[str, Any]) -> Reply:
        worker = self._free.get()
        try:
            return worker(task)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._all:
            worker.close()


def _send(stream: BinaryIO, value: Any) -> None:
    pickle.dump(value, stream)
    stream.flush()


def main() -> None:
    """The worker: reads tasks from standard input until it ends, answers on what was standard output."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends its workers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    hello = pickle.load(sys.stdin.buffer)
    sys.path[:] = hello["sys_path"]
    module, _, name = hello["extractor"].partition(":")
    extractor, missing = None, ""
    try:
        extractor = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        missing = f"{hello['extractor']} cannot be imported: {error}; `mindface-eri doctor` says what is missing"
    _send(answers, READY)
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        reply = ("fatal", "dependency", missing) if missing else extract_to_file(extractor, hello["config"], task)
        _send(answers, reply)


if __name__ == "__main__":
    main()
