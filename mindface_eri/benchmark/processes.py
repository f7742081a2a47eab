# SPDX-License-Identifier: Apache-2.0
"""Commands run as a user runs them, timed from outside, with the memory of all their processes."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Callable, Mapping, Optional, Type

import psutil

from mindface_eri import children
from mindface_eri.device.context import users_environment
from mindface_eri.errors import ERIError

_DONE = "done"  # what a contestant prints after each turn
_EVERY = 0.2  # seconds between two looks at the memory


@dataclass(frozen=True)
class Finished:
    """What a command took and printed."""

    seconds: float
    processor: float  # seconds that its processes computed, whatever else the machine did
    peak: int  # bytes; largest sum over its processes; shared pages count once, elsewhere than on Linux not at all
    output: str


def run_module(module: str, *words: object, environment: Optional[Mapping[str, str]] = None) -> Finished:
    """Runs `python -m module words...` to its end.

    Raises:
        ERIError: it ended with another status than 0; the message carries its last lines.
    """
    command = children.python(module, *words)
    with tempfile.TemporaryFile() as said:
        start, before, peak = time.perf_counter(), _processor_seconds(), 0
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env=children.environment(**(environment or {})))
        try:
            while process.poll() is None:
                peak = max(peak, memory_of_tree(process.pid))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_EVERY)
        finally:
            process.kill()
        seconds = time.perf_counter() - start
        said.seek(0)
        output = said.read().decode("utf-8", "replace")
    if process.returncode:
        raise ERIError(f"{' '.join(command[2:])} ended with status {process.returncode}: {output.strip()[-600:]}")
    return Finished(seconds, _processor_seconds() - before, peak, output)


class Contestant:
    """Work in a process of its own, which `python -m module words...` makes ready; each call does it once.

    So no contestant has another's threads, memory or, for oneDNN, instructions. The module calls `take_turns`.
    """

    def __init__(self, module: str, *words: object) -> None:
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - until __exit__
        users = users_environment()
        variables = {name: value for name, value in children.environment().items()
                     if name in users or name not in os.environ}
        self.process = subprocess.Popen(children.python(module, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.said, env=variables, text=True, encoding="utf-8")

    def __call__(self) -> None:
        """Raises an `ERIError` with the process's last lines where it has ended."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.strip() == _DONE:
                return
        self.said.seek(0)
        raise ERIError(f"{' '.join(self.process.args[2:])} ended with status {self.process.wait()}: "
                       f"{self.said.read().decode('utf-8', 'replace').strip()[-600:]}")

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        self.said.close()


def take_turns(call: Callable[[], object]) -> None:
    """In a contestant's process: does the work whenever it is asked to, until its standard input ends."""
    for _ in sys.stdin:
        call()
        print(_DONE, flush=True)


def _processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of_tree(root: int) -> int:
    """Bytes of a process and all its descendants; of what ends meanwhile, none."""
    try:
        process = psutil.Process(root)
        return sum(map(_memory, [process, *process.children(recursive=True)]))
    except psutil.NoSuchProcess:
        return 0


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return getattr(memory, "pss", memory.uss)
    return 0
