# SPDX-License-Identifier: Apache-2.0
"""Clips taken apart for a predictor, by worker processes or by this one; a failure is a reason, not a raise."""

from __future__ import annotations

import contextlib
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.datasets.build.workers import STOPPED, Reply, WorkerPool
from mindface_eri.errors import ERIError, readable
from mindface_eri.prediction.inputs import check_given
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Grid, Windows
from mindface_eri.preprocess.clip import Clip, extract_clip


class Taken(NamedTuple):
    """A clip with the grid of its windows (None: it is taken whole), or the reason why there is none."""

    clip: Optional[Clip]
    grid: Optional[Grid] = None
    error: str = ""
    person: Optional[np.ndarray] = None  # (2, 6, F), where the network asks for the statistics of its person


def take_apart(config: PreprocessConfig, windows: Windows, job: Job) -> Taken:
    """One clip, sampled as its windows want it; a `Clip` that was given is answered whole."""
    grids = []

    def instants(seconds: float) -> int:
        grids.append(windows.grid(seconds, config.frames))
        return grids[-1].samples if grids[-1] is not None else config.frames

    try:
        if job.clip is not None:
            check_given(config, job)
            return Taken(job.clip)
        clip = extract_clip(job.source, config, audio_path=job.separate_sound, instants=instants)
    except Exception as error:  # one odd file must not stop the others
        return Taken(None, error=reason_of(job, error))
    return Taken(clip, grids[-1])


def reason_of(job: Job, error: Exception) -> str:
    """What a clip's row says of an error, whoever raised it."""
    where = job.source or job.name
    if isinstance(error, ERIError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{where}: takes more memory than there is"
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    return readable(f"{where}: {type(error).__name__}: {said.strip()}")


def run_task(settings: Tuple[PreprocessConfig, Windows], job: Job) -> Reply:
    """What a worker does."""
    return "done", "", take_apart(*settings, job)


def take_all_apart(jobs: Sequence[Job], config: PreprocessConfig, windows: Windows, workers: int, limit: float
                   ) -> Iterator[Taken]:
    """Each job's clip, in order; only a few are in memory at a time.

    A crash, or a clip that takes longer than `limit` seconds, costs that clip alone, but where `workers` is 0: then
    this process takes the clips apart.
    """
    files = [job for job in jobs if job.clip is None] if workers else []
    if not files:
        yield from (take_apart(config, windows, job) for job in jobs)
        return
    pool = WorkerPool(min(workers, len(files)), f"{run_task.__module__}:{run_task.__name__}", (config, windows), limit)
    try:
        with contextlib.closing(pool.map(files)) as replies:
            for job in jobs:
                if job.clip is not None:
                    yield take_apart(config, windows, job)
                    continue
                state, _, result = next(replies, STOPPED)
                yield result if state == "done" else Taken(None, error=f"{job.source}: {result}")
    finally:
        pool.close()
