# SPDX-License-Identifier: Apache-2.0
"""Clips taken apart for a predictor, one after the other or by worker processes; a failure is a reason, not a raise."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

from mindface_eri.config import PreprocessConfig
from mindface_eri.datasets.build.workers import LIMIT, Reply, WorkerPool
from mindface_eri.errors import ERIError
from mindface_eri.prediction.inputs import check_given
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Grid, Windows
from mindface_eri.preprocess.clip import Clip, extract_clip


class Taken(NamedTuple):
    """A clip with the grid of its windows (None: it is taken whole), or the reason why there is none."""

    clip: Optional[Clip]
    grid: Optional[Grid] = None
    error: str = ""


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
    except ERIError as error:
        return Taken(None, error=str(error))
    except Exception as error:  # one odd file must not stop the others
        return Taken(None, error=f"{job.source}: {type(error).__name__}: {error}")
    return Taken(clip, grids[-1])


def run_task(settings: Tuple[PreprocessConfig, Windows], job: Job) -> Reply:
    """What a worker does."""
    return "done", "", take_apart(*settings, job)


def take_all_apart(jobs: Sequence[Job], config: PreprocessConfig, windows: Windows, workers: int) -> Iterator[Taken]:
    """Each job's clip, in order; only a few are in memory at a time.

    With two workers or more a crash, or a clip that takes too long, costs that clip alone.
    """
    if workers < 2 or sum(job.clip is None for job in jobs) < 2:
        yield from (take_apart(config, windows, job) for job in jobs)
        return
    pool = WorkerPool(min(workers, len(jobs)), f"{run_task.__module__}:{run_task.__name__}", (config, windows), LIMIT)
    try:
        for state, _, result in pool.map(jobs):
            yield result if state == "done" else Taken(None, error=result)
    finally:
        pool.close()
