# SPDX-License-Identifier: Apache-2.0
"""Commands run as a user runs them, timed from outside, with the memory of all their processes."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Mapping, Optional

import psutil

from mindface_eri import children
from mindface_eri.errors import ERIError

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
