# SPDX-License-Identifier: Apache-2.0
"""The machine and the versions behind a figure, and what the machine could do at best."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, Dict

import numpy as np
import psutil

from mindface_eri.threads import cores
from mindface_eri.version import versions


def describe(threads: int) -> Dict[str, Any]:
    """Processor, cores, memory, threads, load when asked, and versions; absent packages are left out."""
    return {"processor": processor(), "cores": cores(), "memory_gib": round(psutil.virtual_memory().total / 2**30),
            "threads": threads,
            "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            "system": f"{platform.system()} {platform.release()}", "versions": versions()}


def sentence(machine: Dict[str, Any]) -> str:
    """One line for people."""
    found = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, threads "
            f"{machine['threads']}, load {machine['load']} at the start; {found}")


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def matmul_seconds(multiply_adds: float, side: int = 1536) -> float:
    """Seconds that `multiply_adds` take at the rate of one float32 product of two large square matrices.

    The product is NumPy's, whose threads are the process's own (`threads.environment`), and is as near to the
    processor's peak as dense arithmetic comes.
    """
    one = np.random.default_rng(0).random((side, side), np.float32)
    start = time.perf_counter()
    np.matmul(one, one)
    return (time.perf_counter() - start) * multiply_adds / side**3
