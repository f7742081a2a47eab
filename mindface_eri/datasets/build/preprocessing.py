# SPDX-License-Identifier: Apache-2.0
"""Preprocessing of a whole data set: a MindData pipeline over the manifest, restartable, shared by many machines."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

from mindface_eri.config import PreprocessConfig
from mindface_eri.datasets.build.cluster import DaskPool
from mindface_eri.datasets.build.extraction import DEFAULT_EXTRACTOR, run_task
from mindface_eri.datasets.build.plan import Plan, make_plan, shard_lock
from mindface_eri.datasets.build.pool import LIMIT, Pool
from mindface_eri.datasets.build.resume import check_there, files_of, take_back
from mindface_eri.datasets.build.stage import FAILED, FATAL, Stage, pipeline
from mindface_eri.datasets.build.summary import failures_of, finish, reopen
from mindface_eri.datasets.build.workers import WorkerPool
from mindface_eri.datasets.labels import Manifest, load_manifest
from mindface_eri.datasets.parts import COPIES, Work, read_part, write_part
from mindface_eri.device.hardware import has_mindspore
from mindface_eri.errors import DataError
from mindface_eri.files import remove_leftovers, tell_of_link
from mindface_eri.preprocess.detectors import check_detector
from mindface_eri.preprocess.identity import check_person
from mindface_eri.progress import progress_bar
from mindface_eri.signals import stop_if_asked
from mindface_eri.threads import cores


@dataclass(frozen=True)
class PreprocessResult:
    """What a run of `preprocess_dataset` did.

    Attributes:
        total: clips of this shard. done, failed: how many of them are in the records, and in failures.csv.
        reused: of `done` and `failed`, those that an earlier run had dealt with.
        copies: of sound, in the records of `done`; 0 where they are not packed.
        complete: whether every shard is finished and packed, so that the folder can be read.
        hash: of the whole data set, when complete; the same for any number of workers, shards and restarts.
    """

    out: Path
    total: int
    done: int
    failed: int
    reused: int
    seconds: float
    complete: bool
    hash: Optional[str]
    copies: int = 0


def preprocess_dataset(root: Union[str, os.PathLike], out: Union[str, os.PathLike],
                       config: Optional[PreprocessConfig] = None, *, workers: int = cores(), resume: bool = False,
                       num_shards: int = 1, shard_index: int = 0, progress: bool = True,
                       manifest: Optional[Manifest] = None, preview: int = 0, clip_limit: float = LIMIT,
                       verify: bool = False, extractor: str = DEFAULT_EXTRACTOR,
                       scheduler: Optional[str] = None) -> PreprocessResult:
    """Takes all clips of a data set apart and writes the record folder (`open_records` describes it).

    A clip that cannot be used goes to failures.csv and stops nothing. A run that was killed is taken up where it was:
    clips in flight are repeated, and those whose files have changed since; failures stay failures, so that a resumed
    run ends as an undisturbed one, but a clip whose worker was killed is tried once more.

    Without MindSpore all clips are taken apart just so, and wait in the folder until a run with `resume`, anywhere,
    packs them into records; that needs the label table again, the media not.

    Args:
        root: label table, data set folder, or folder of unlabelled media (`load_manifest`); unused with `manifest`.
        out: folder to write.
        workers: processes that extract; at most the number of processor cores.
        resume: go on in a folder that an earlier run began; without, such a folder is refused.
        num_shards: how many runs share the data set and `out`.
        shard_index: which of them this is, from 0.
        preview: contact sheets to draw, into `out`/preview, for the first clips of the manifest.
        clip_limit: seconds after which a clip is given up.
        verify: find changed clips by the hash of their files too, not by size and time alone.
        extractor: `module:function` called as `extract_clip`.
        scheduler: address, or file, of a Dask scheduler, whose workers then extract instead of `workers` processes.

    Raises:
        ConfigError: the detector is unknown, or there is no such photograph of a person; no worker of the scheduler can
            be used.
        DataError: the label table is broken; `out` holds other records; a disk is full; a package is missing.
    """
    began, out = time.monotonic(), Path(out)
    config = config or PreprocessConfig()
    check_detector(config.face.detector)
    check_person(config.face.follow)
    if not 0 <= shard_index < num_shards:
        raise DataError(f"shard index {shard_index} is outside 0 to {num_shards - 1}")
    manifest = manifest if manifest is not None else load_manifest(root)
    plan = make_plan(out, manifest, config, resume=resume, num_shards=num_shards)
    for name in ("records", "work", "preview"):
        tell_of_link(out / name)
    with shard_lock(out, shard_index, num_shards):
        if num_shards == 1:  # else the others may be writing
            remove_leftovers(out)
            remove_leftovers(out / "records")
        blocks = plan.shard(num_shards, shard_index)
        retried = take_back(plan, blocks, verify)
        states = {block: read_part(out, block) for block in blocks}
        open_blocks = [block for block, part in states.items() if part is None]
        if open_blocks:
            reopen(plan)
        total = sum(len(plan.positions(block)) for block in blocks)
        pending = list(_pending(plan, open_blocks))
        with progress_bar(total, "preprocess", initial=total - len(pending), show=progress) as bar:
            pool = _pool(plan, pending, extractor, clip_limit, workers, scheduler)
            _extract(plan, open_blocks, pending, Stage(plan, pool, preview, retried), workers, bar)
        check_there(plan)
        done, failed, copies = _counts(plan, blocks)
        digest = finish(plan)
    reused, seconds = total - len(pending), time.monotonic() - began
    return PreprocessResult(out, total, done, failed, reused, seconds, digest is not None, digest, copies)


def _pool(plan: Plan, pending: List[Tuple[int, int]], extractor: str, limit: float, workers: int,
          scheduler: Optional[str]) -> Pool:
    """What extracts: processes here, or the workers of a scheduler, where there is something to extract."""
    target, settings = f"{run_task.__module__}:{run_task.__name__}", (extractor, plan.config)
    if scheduler is None or not pending:
        return WorkerPool(workers, target, settings, limit)
    photograph = Path(plan.config.face.follow)
    media = (path for _, position in pending for path in files_of(plan.manifest.clips[position]).values() if path)
    shared = [*islice(media, 1), *([photograph] if photograph.is_file() else [])]
    return DaskPool(scheduler, target, settings, limit, shared=shared, folder=plan.out / "work")


def _pending(plan: Plan, blocks: List[int]) -> Iterator[Tuple[int, int]]:
    """(block, position) of the clips that no earlier run dealt with."""
    for block in blocks:
        work = Work(plan.out, block)
        work.folder.mkdir(parents=True, exist_ok=True)
        done = work.dealt_with()
        yield from ((block, position) for position in plan.positions(block) if position not in done)


def _extract(plan: Plan, blocks: List[int], pending: List[Tuple[int, int]], stage: Stage, workers: int, bar) -> None:
    """Runs the pipeline; each block is packed as soon as its last clip is there."""
    left: Dict[int, int] = dict.fromkeys(blocks, 0)
    for block, _ in pending:
        left[block] += 1
    for block in [block for block, count in left.items() if count == 0]:
        _pack(plan, block)
    failed = 0
    try:
        for position, state in pipeline([position for _, position in pending], stage, workers):
            if state == FATAL:
                check_there(plan)
                raise DataError(f"{plan.out}: preprocessing stopped: {stage.trouble}; after mending that, go on with "
                                "--resume")
            if state == FAILED:
                failed += 1
                bar.set_postfix_str(f"{failed} failed", refresh=False)
            bar.update()
            stop_if_asked()
            block = plan.block_of(position)
            left[block] -= 1
            if left[block] == 0:
                _pack(plan, block)
    finally:
        stage.pool.close()


def _pack(plan: Plan, block: int) -> None:
    check_there(plan)
    if not has_mindspore():
        return
    clips = [(position, clip.id, clip.split, clip.labels)
             for position, clip in ((p, plan.manifest.clips[p]) for p in plan.positions(block))]
    write_part(plan.out, block, clips, plan.fields)


def _counts(plan: Plan, blocks: List[int]) -> Tuple[int, int, int]:
    """Clips done, failed, and copies of their sound, which are counted where the records are packed."""
    failed = copies = 0
    for block in blocks:
        part = read_part(plan.out, block)
        failed += len(failures_of(plan, block) if part is None else part["failures"])
        copies += sum(row.get(COPIES, 0) for row in part["rows"]) if part is not None else 0
    return sum(len(plan.positions(block)) for block in blocks) - failed, failed, copies
