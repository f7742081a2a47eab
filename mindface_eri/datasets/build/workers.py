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
import importlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, Deque, Iterable, Iterator, List, Optional, Tuple

from mindface_eri import children
from mindface_eri.threads import environment

# (state, stage, reason or result): "done", "failed" for a clip that cannot be used, "fatal" where no clip could.
Reply = Tuple[str, str, Any]

LIMIT = 3600.0  # seconds after which a clip is given up
READY = "ready"
STOPPED: Reply = ("fatal", "stopped", "the run was stopped")


class Worker:
    """A process that takes one task at a time; started at its first task, and again after a crash.

    Args:
        target: `module:function`, called in the process as `function(settings, task)`; gives a `Reply`.
        settings: the same for all tasks; they, tasks and replies are pickled.
        limit: seconds for a task.
    """

    def __init__(self, target: str, settings: Any, limit: float) -> None:
        self._hello = {"sys_path": children.import_path(), "target": target, "settings": settings}
        self._limit = limit
        self._process: Optional[subprocess.Popen] = None
        self._chatter: Optional[BinaryIO] = None
        self._closed = False
        self._starting = False

    def __call__(self, task: Any) -> Reply:
        """Does a task; where the process dies, be it while it starts, it is tried a second time."""
        reply = self._attempt(task)
        if reply[1] not in ("crash", "start"):
            return reply
        state, stage, reason = self._attempt(task)
        return state, stage, f"{reason} (at both attempts)" if stage == "crash" else reason

    def close(self) -> None:
        """Ends the process, also in the middle of a clip."""
        self._closed, process = True, self._process
        if process is not None:
            process.kill()
            process.wait()

    def _attempt(self, task: Any) -> Reply:
        if self._closed:
            return STOPPED
        if self._process is None:
            self._start()
        if self._closed:  # while it started, so that `close` saw no process
            self._process.kill()
            self._bury()
            return STOPPED
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
        self._process = subprocess.Popen(
            children.python("mindface_eri.datasets.build.workers"), stderr=self._chatter,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=children.environment(**environment(1)))
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
        return f"the worker process {how}{hint}" + (f": {lines[-1].strip()}" if lines else "")


class WorkerPool:
    """Workers lent to threads; arguments as for `Worker`."""

    def __init__(self, workers: int, target: str, settings: Any, limit: float = LIMIT) -> None:
        self._all: List[Worker] = [Worker(target, settings, limit) for _ in range(workers)]
        self._free: queue.Queue[Worker] = queue.Queue()
        for worker in self._all:
            self._free.put(worker)

    def __call__(self, task: Any) -> Reply:
        worker = self._free.get()
        try:
            return worker(task)
        finally:
            self._free.put(worker)

    def map(self, tasks: Iterable[Any]) -> Iterator[Reply]:
        """The replies to tasks, in their order; at most two a worker are begun and not yet taken."""
        coming: Deque[Future] = deque()
        finished = False
        with ThreadPoolExecutor(len(self._all)) as threads:
            try:
                for task in tasks:
                    coming.append(threads.submit(self, task))
                    if len(coming) >= 2 * len(self._all):
                        yield coming.popleft().result()
                while coming:
                    yield coming.popleft().result()
                finished = True
            finally:
                for future in coming:
                    future.cancel()
                if not finished:  # also Ctrl-C while the last one was waited for
                    self.close()

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
    module, _, name = hello["target"].partition(":")
    work = getattr(importlib.import_module(module), name)
    _send(answers, READY)
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _send(answers, work(hello["settings"], task))


if __name__ == "__main__":
    main()
