# SPDX-License-Identifier: Apache-2.0
"""One clip after the other through a pool: what is asked of it, what is made of its reply, and how many at a time."""

from __future__ import annotations

import logging
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import Iterator, List, Set, Tuple

import numpy as np

from mindface_eri.datasets.build.cluster import wait_for_file
from mindface_eri.datasets.build.plan import Plan
from mindface_eri.datasets.build.pool import Pool
from mindface_eri.datasets.build.resume import check_there, files_of
from mindface_eri.datasets.build.sources import mark
from mindface_eri.datasets.parts import Work, save_failure
from mindface_eri.device.hardware import has_mindspore
from mindface_eri.errors import DataError

LOGGER = logging.getLogger(__name__)
DONE, FAILED, FATAL = 0, 1, 2


class Stage:
    """The map function: a clip's position in, position and state out. It never raises, which would end the pipeline."""

    def __init__(self, plan: Plan, pool: Pool, preview: int, retried: Set[int]) -> None:
        self._plan, self._preview, self._retried = plan, preview, retried
        self.pool, self.trouble = pool, ""
        if preview:
            (plan.out / "preview").mkdir(exist_ok=True)

    def __call__(self, position: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        try:
            state = self._run(int(position))
        except Exception as error:
            self.trouble, state = f"{type(error).__name__}: {error}", FATAL
        return np.int64(position), np.int32(state)

    def _run(self, position: int) -> int:
        """Extracts one clip; what is to be told of it."""
        clip = self._plan.manifest.clips[position]
        work = Work(self._plan.out, self._plan.block_of(position))
        check_there(self._plan)
        if clip.video is None and clip.audio is None:
            save_failure(work.failure(position), "missing", "no media file of this id was found below the label table",
                         source={})
            return FAILED
        sheet = self._plan.out / "preview" / f"{position:05d}_{clip.id}.png" if position < self._preview else None
        paths = {"video": clip.video, "audio": clip.audio, "target": work.clip(position), "preview": sheet}
        task = {name: None if path is None else str(path) for name, path in paths.items()}
        augment = self._plan.config.augment
        copies = bool(augment.speeds) and clip.split in augment.splits
        state, stage, reason = self.pool({**task, "id": clip.id, "copies": copies})
        if state == "done":
            if self.pool.elsewhere and not wait_for_file(work.clip(position)):
                raise DataError(f"{work.clip(position)}: a worker has written it, and it does not show here; is the "
                                "folder the same one there?")
            if reason:
                LOGGER.warning("%s", reason)
            return DONE
        if state == "failed":
            save_failure(work.failure(position), stage, reason, source=mark(files_of(clip)),
                         again=position in self._retried)
            return FAILED
        self.trouble = self.trouble or reason
        return FATAL


def pipeline(positions: List[int], stage: Stage, workers: int) -> Iterator[Tuple[int, int]]:
    """(position, state) of each clip. MindData's map threads hand the work to the pool's processes."""
    if not positions:
        return
    if stage.pool.elsewhere or not has_mindspore():
        yield from _threads(positions, stage)
        return
    import multiprocessing

    import mindspore.dataset as ds

    threads = max(1, min(workers, multiprocessing.cpu_count()))  # MindData refuses more
    source = ds.GeneratorDataset([np.int64(position) for position in positions], ["position"], shuffle=False,
                                 num_parallel_workers=1, python_multiprocessing=False)
    dataset = source.map(stage, ["position"], ["position", "state"], num_parallel_workers=threads,
                         python_multiprocessing=False)
    for position, state in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
        yield int(position), int(state)


def _threads(positions: List[int], stage: Stage) -> Iterator[Tuple[int, int]]:
    """The same without MindData, as they come: as many clips at a time as the pool takes, which may change, and none
    begun once nobody asks any more."""
    waiting, coming = iter(positions), set()
    with ThreadPoolExecutor(stage.pool.threads) as threads:
        try:
            while True:
                free = max(0, stage.pool.slots - len(coming))
                coming |= {threads.submit(stage, np.int64(position)) for position in islice(waiting, free)}
                if not coming:
                    return
                done, coming = wait(coming, timeout=1, return_when=FIRST_COMPLETED)
                for position, state in (future.result() for future in done):
                    yield int(position), int(state)
        except KeyboardInterrupt:  # else the threads would be waited for, and theirs are whole clips
            stage.pool.close()
            raise
