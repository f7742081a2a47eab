# SPDX-License-Identifier: Apache-2.0
"""Clips answered by the workers of a Dask cluster: each takes its clip apart and asks the network itself."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

from mindface_eri.datasets.build.cluster import DaskPool
from mindface_eri.datasets.build.pool import LIMIT, Reply
from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.predictor import Predictor, load_predictor


class Asked(NamedTuple):
    """What a worker needs to know beside its clip."""

    model: Optional[str]
    device: str
    clips: bool  # whether an answer brings its clip, a megabyte or more
    options: Mapping[str, Any]  # of `Predictor.predict`


def run_task(asked: Asked, job: Job) -> Reply:
    """What a worker's process does; the network stays in it."""
    try:
        predictor = _predictor(asked.model, asked.device)
    except ERIError as error:
        return "fatal", "model", str(error)
    [found] = predictor.predict([job], **asked.options)
    return "done", "", found if asked.clips else replace(found, clip=None)


@functools.lru_cache(maxsize=1)
def _predictor(model: Optional[str], device: str) -> Predictor:
    return load_predictor(model, device=device, threads=1)  # as many processes as cores: one each


def predict_on_cluster(scheduler: str, predictor: Predictor, model: Optional[Path], jobs: Sequence[Job], *,
                       device: str = "auto", clips: bool = False, clip_limit: float = LIMIT,
                       people: Optional[Mapping[str, str]] = None, **options: Any) -> Iterator[Prediction]:
    """`predictor.predict(jobs, ...)` by the workers behind a scheduler, in the order of the jobs.

    Args:
        scheduler: address, or file, of a Dask scheduler.
        predictor: the same as is loaded from `model`, which every worker does for itself.
        device: of the workers' networks.
        clips: whether the answers bring their clips, for a drawing.
        people: None, or what `Predictor.predict` says of a network that asks for none.
        options: further ones of it, `features` among them.

    Raises:
        ConfigError: no worker can be used; the network compares clips of a person; and what `Predictor.predict` raises.
    """
    if predictor.model.normalise_by_person:
        raise ConfigError("this network compares a clip with the others of its person, so that one process has to see "
                          "them all; leave --scheduler out, or preprocess with it, and evaluate")
    # Refuses here what workers would refuse for each clip.
    predictor.predict([], workers=1, clip_limit=clip_limit, people=people, **options)
    photograph = Path(options.get("person") or "")
    shared = [path for path in (model, photograph if photograph.is_file() else None, *options["features"].values(),
                                *(job.source for job in jobs[:1])) if path is not None]
    asked = Asked(None if model is None else os.fspath(model), device, clips, options)
    pool = DaskPool(scheduler, f"{run_task.__module__}:{run_task.__name__}", asked, clip_limit, shared=shared)
    return _answers(pool, predictor, jobs)


def _answers(pool: DaskPool, predictor: Predictor, jobs: Sequence[Job]) -> Iterator[Prediction]:
    try:
        with contextlib.closing(pool.map(jobs)) as replies:
            for (state, _, result), job in zip(replies, jobs):
                yield result if state == "done" else Prediction(
                    job.name, predictor.emotions, path=job.source, sound=job.separate_sound,
                    error=f"{job.source}: {result}")
    finally:
        pool.close()
