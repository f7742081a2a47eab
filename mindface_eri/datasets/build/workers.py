# SPDX-License-Identifier: Apache-2.0
"""Worker processes, for whatever takes one clip at a time: preprocess, predict and synthesize share them.

MindData can run a map function in processes of its own, but when one of those dies - a decoder that crashes, the
kernel that runs out of memory - MindData ends the main process with it, or waits for ever once its watchdog is off
(measured on MindSpore 2.10). So the map function is a thread that speaks with a process of ours: one that dies costs
its clip, is replaced, and everything else goes on. They are fresh interpreters, not forks: they never hold MindSpore.

Run as `python -m mindface_eri.datasets.build.workers` this file is such a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, List, Optional, Tuple

from mindface_eri import children
from mindface_eri.datasets.build.pool import LIMIT, STOPPED, Pool, Reply
from mindface_eri.errors import ConfigError
from mindface_eri.threads import environment

READY = "ready"
STARTS = 4  # how often a process is started that dies before it is ready
DIED = ("crash", "killed")  # stages of a clip whose process ended by itself, or by a signal
_LONGEST = 1e9  # seconds that a clock of C holds
_PR_SET_PDEATHSIG = 1  # of Linux: the signal that comes when the thread ends that started a process
_GONE = (OSError, EOFError, pickle.UnpicklingError)  # the other end of a pipe


class Worker:
    """A process that takes one task at a time; started at its first task, and again after a crash.

    Args:
        target: `module:function`, called in the process as `function(settings, task)`; gives a `Reply`.
        settings: the same for all tasks; they, tasks and replies are pickled.
        limit: seconds for a task; the process ends itself then, so that the limit outlives whoever set it.
        folder: that the process stands in; None: this one's.

    Raises:
        ConfigError: the limit is not positive.
    """

    def __init__(self, target: str, settings: Any, limit: float, folder: Optional[str] = None) -> None:
        if not limit > 0:
            raise ConfigError(f"a limit of {limit:g} s leaves no clip any time: give more than 0")
        self._hello = {"sys_path": children.import_path(), "target": target, "settings": settings, "limit": limit}
        self._limit, self._folder = limit, folder
        self._process: Optional[subprocess.Popen] = None
        self._chatter: Optional[BinaryIO] = None
        self._closed = False
        # Linux ends a process with the thread that started it, and those that ask for tasks come and go.
        self._starter = ThreadPoolExecutor(1, "starter")

    def __call__(self, task: Any) -> Reply:
        """Does a task; where the process dies it is tried a second time."""
        reply = self._attempt(task)
        if reply[1] not in DIED:
            return reply
        state, stage, reason = self._attempt(task)
        return state, stage, f"{reason} (at both attempts)" if stage in DIED else reason

    def close(self) -> None:
        """Ends the process, also in the middle of a clip."""
        self._closed, process = True, self._process
        if process is not None:
            process.kill()
            process.wait()

    def _attempt(self, task: Any) -> Reply:
        """Hands a task to the worker process and waits for its reply, at most the limit."""
        trouble = self._begin()
        if trouble or self._closed:
            return STOPPED if self._closed else ("fatal", "start", trouble)
        process, began = self._process, time.monotonic()
        try:
            _send(process.stdin, task)
            return pickle.load(process.stdout)
        except Exception as error:
            late = time.monotonic() - began >= self._limit
            if not isinstance(error, _GONE):  # it is there, but what it says cannot be read: no memory for it, perhaps
                process.kill()
            stage, reason = self._bury()
            if self._closed:
                return STOPPED
            if late:
                return "failed", "timeout", f"took longer than {self._limit:g} s; --clip-limit gives more"
            return "failed", stage, reason if isinstance(error, _GONE) else f"{type(error).__name__}: {error}"

    def _begin(self) -> str:
        """Starts the process where there is none, again where it dies meanwhile; why there is none, else ""."""
        reason = ""
        for _ in range(STARTS if self._process is None else 0):
            if self._closed:
                break
            try:
                self._starter.submit(self._start).result()
            except OSError as error:
                return f"a worker process cannot be started ({error})"
            if self._closed:  # `close` saw no process
                self._process.kill()
            try:
                _send(self._process.stdin, self._hello)
                if pickle.load(self._process.stdout) == READY:
                    return ""
                self._process.kill()
            except _GONE:
                pass
            reason = f"{self._bury()[1]} (at each of {STARTS} starts)"
        return reason

    def _start(self) -> None:
        """One thread a library: results must not depend on how sums are split, and N workers fill N cores."""
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            children.python("mindface_eri.datasets.build.workers"), stderr=self._chatter,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=children.environment(**environment(1)),
            cwd=self._folder)

    def _bury(self) -> Tuple[str, str]:
        """Clears a dead process away; whether it crashed or was killed, and how, with the last thing it said."""
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
        said = f": {lines[-1].strip()}" if lines else ""
        return "killed" if code < 0 else "crash", f"the worker process {how}{hint}{said}"


class WorkerPool(Pool):
    """Workers lent to threads; arguments as for `Worker`."""

    def __init__(self, workers: int, target: str, settings: Any, limit: float = LIMIT,
                 folder: Optional[str] = None) -> None:
        self._all: List[Worker] = [Worker(target, settings, limit, folder) for _ in range(workers)]
        self._free: queue.Queue[Worker] = queue.Queue()
        for worker in self._all:
            self._free.put(worker)
        self.threads = workers

    @property
    def slots(self) -> int:
        """As many as there are workers."""
        return len(self._all)

    def __call__(self, task: Any) -> Reply:
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
    """The worker: takes tasks from standard input, answers on what was standard output, ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends its workers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    hello = pickle.load(sys.stdin.buffer)
    sys.path[:] = hello["sys_path"]
    module, _, name = hello["target"].partition(":")
    work = getattr(importlib.import_module(module), name)
    _send(answers, READY)
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        # A thread of C: neither a library that hangs in its own code nor the end of the parent stops it.
        faulthandler.dump_traceback_later(min(hello["limit"], _LONGEST), exit=True)
        reply = work(hello["settings"], task)
        faulthandler.cancel_dump_traceback_later()
        _send(answers, reply)


def _listen(tasks: queue.SimpleQueue) -> None:
    """Passes tasks on; the end of the input is the end of the parent, and of this process in the middle of a clip."""
    status = 1
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        status = 0
    except Exception:
        traceback.print_exc()
    os._exit(status)


if __name__ == "__main__":
    main()
