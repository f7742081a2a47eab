# SPDX-License-Identifier: Apache-2.0
"""How many cores there are, and how many threads the libraries below us may start: the only place that knows.

dlib's detector is single-threaded. OpenCV, FFmpeg, OpenMP (MindSpore's kernels, oneDNN), the BLAS libraries and
librosa's numba each start as many threads as there are cores, whatever the others do, and so does every process.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Dict

# Read by the libraries when they start, so they are set before these are imported, or for processes to come.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
             "OPENCV_FOR_THREADS_NUM", "MINDFACE_ERI_THREADS")
_QUOTAS = ((Path("/sys/fs/cgroup/cpu.max"),),  # control groups of version 2: quota and period in one file
           (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")))  # of version 1


def cores() -> int:
    """Cores that this process may keep busy: its affinity, or a container's quota where that is less."""
    import psutil  # workers are told how many threads are theirs, and never ask

    process = psutil.Process()
    allowed = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1  # macOS
    for files in _QUOTAS:
        try:
            quota, period = (int(word) for path in files for word in path.read_text(encoding="utf-8").split())
        except (OSError, ValueError):  # not this version's file, no container, no limit ("max"), or not Linux
            continue
        if quota >= 0 and period > 0:  # version 1 says -1 for no limit
            allowed = min(allowed, math.ceil(quota / period))
    return max(1, allowed)


def environment(threads: int) -> Dict[str, str]:
    """Variables that hold a new process's libraries to `threads` threads each."""
    return dict.fromkeys(VARIABLES, str(threads))


def spare_core() -> bool:
    """Whether a thread beside the caller's has a core of its own: not in processes held to one thread each."""
    value = os.environ.get("MINDFACE_ERI_THREADS", "")
    return (int(value) if value.isdecimal() else cores()) > 1
