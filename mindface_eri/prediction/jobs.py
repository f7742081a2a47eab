# SPDX-License-Identifier: Apache-2.0
"""Predicting many files: paths of every kind in, rows out, each failure a row with its reason."""

from __future__ import annotations

import csv
import glob
import multiprocessing
import os
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.media import clips_of_paths
from mindface_eri.errors import DataError, ERIError
from mindface_eri.prediction.analysis import Analysis, analyse, duration_of
from mindface_eri.prediction.predictor import need_of
from mindface_eri.prediction.windows import LONG
from mindface_eri.preprocess.clip import extract_clip

_PATH_COLUMNS = ("path", "video", "file", "filename", "file_id")


class Job(NamedTuple):
    """A clip to predict; `audio` is sound in a file of its own."""

    name: str
    video: Optional[Path]
    audio: Optional[Path]

    @property
    def source(self) -> Path:
        """The file that is taken apart."""
        return self.video or self.audio

    @property
    def separate_sound(self) -> Optional[Path]:
        """The sound file, where there is a picture beside it."""
        return self.audio if self.video else None


def find_jobs(paths: Sequence[object]) -> List[Job]:
    """Clips behind files, folders, globs and CSV files of paths (relative to the CSV's folder).

    Raises:
        DataError: a path or glob matches nothing, or a CSV has no column of paths.
    """
    files: List[Path] = []
    for path in map(str, paths):
        if not os.path.exists(path) and glob.has_magic(path):
            found = sorted(glob.glob(path, recursive=True))
            if not found:
                raise DataError(f"{path}: matches no file")
            files += map(Path, found)
        elif path.lower().endswith(".csv"):
            files += _paths_in(Path(path))
        else:
            files.append(Path(path))
    return [Job(*clip) for clip in clips_of_paths(files)]


def _paths_in(table: Path) -> Iterator[Path]:
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as CSV ({error})") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _PATH_COLUMNS if name in header), None)
    for row in rows if column is None else rows[1:]:
        cell = row[column or 0].strip() if len(row) > (column or 0) else ""
        try:
            found = (table.parent / cell).is_file()
        except OSError:  # longer than a name can be
            found = False
        if not found:
            raise DataError(f"{table}: {cell!r} is no file in {table.parent}; the table needs a column `path`, or a "
                            "path first in each line")
        yield table.parent / cell


def predict_jobs(jobs: Sequence[Job], predictor: Any, *, window: float = 0.0, hop: float = 0.0, whole: bool = False,
                 batch_size: int = 1, workers: int = 1, look: Optional[Callable[[Job, Any], None]] = None,
                 notify: Callable[[Job, Optional[str]], None] = lambda job, error: None) -> List[Dict[str, Any]]:
    """Rows of all jobs, in their order.

    A clip gives one row; a video longer than 30 s, and every one where `window` or `hop` is given, a row for each
    segment of its timeline with `start` and `end` (see `analyse`); one that failed a row with `error`.

    Args:
        batch_size: clips, or windows, that go through the network together.
        workers: processes that take clips apart.
        look: receives each job with its `Analysis`, or with the reason why there is none; attention is asked for unless
            it has an attribute `attention` that is false.
        notify: receives each finished job and its error, if any.
    """
    rows: Dict[int, List[dict]] = {}
    plain: List[int] = []
    options = {"window": window, "hop": hop, "whole": whole, "batch_size": batch_size,
               "attention": getattr(look, "attention", look is not None)}
    for number, job in enumerate(jobs):
        if look is None and (whole or not (window or hop or _is_long(job))):
            plain.append(number)
            continue
        found, error = _analyse(job, predictor, options)
        rows[number] = found.rows() if found is not None else [{"File_ID": job.name, "error": error}]
        if look is not None:
            look(job, found if found is not None else error)
        notify(job, error)
    batch: List[tuple] = []
    clips = _extract_all([jobs[n] for n in plain], predictor.preprocess, workers)
    for number, (clip, error) in zip(plain, clips):
        error = error or need_of(predictor, clip)
        if error:
            rows[number] = [{"File_ID": jobs[number].name, "error": error}]
        else:
            batch.append((number, clip))
        if len(batch) == batch_size:
            _predict_batch(batch, jobs, predictor, rows)
        notify(jobs[number], error)
    _predict_batch(batch, jobs, predictor, rows)
    return [row for number in range(len(jobs)) for row in rows[number]]


def _is_long(job: Job) -> bool:
    try:
        return duration_of(job.source) > LONG
    except ERIError:
        return False  # taking it apart will say why


def _analyse(job: Job, predictor: Any, options: dict) -> Tuple[Optional[Analysis], Optional[str]]:
    try:
        return analyse(job.source, predictor, name=job.name, audio_path=job.separate_sound, **options), None
    except ERIError as error:
        return None, str(error)


def _predict_batch(batch: List[tuple], jobs: Sequence[Job], predictor: Any, rows: Dict[int, List[dict]]) -> None:
    if batch:
        arrays = (np.stack([getattr(clip, name) for _, clip in batch]) for name in ("frames", "mfcc", "present"))
        for (number, _), values in zip(batch, predictor.predict_arrays(*arrays)):
            rows[number] = [{"File_ID": jobs[number].name, **dict(zip(predictor.emotions, map(float, values)))}]
        batch.clear()


def _extract(job: Job, config: Any) -> tuple:
    try:
        return extract_clip(job.source, config, audio_path=job.separate_sound), None
    except ERIError as error:
        return None, str(error)


def _extract_all(jobs: Sequence[Job], config: Any, workers: int) -> Iterable[tuple]:
    """(clip, None) or (None, reason) of each job, in order; only a few clips are in memory at a time."""
    if workers < 2 or len(jobs) < 2:
        yield from (_extract(job, config) for job in jobs)
        return
    # Spawned: a process forked from one that has started MindSpore's threads can hang.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=multiprocessing.get_context("spawn"))
    with pool:
        waiting, left = deque(), deque(jobs)
        while left or waiting:
            while left and len(waiting) < 2 * workers:
                waiting.append(pool.submit(_extract, left.popleft(), config))
            try:
                yield waiting.popleft().result()
            except BrokenProcessPool:
                raise ERIError("a worker process died (out of memory?); run again with --workers 1") from None
