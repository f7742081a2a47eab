# SPDX-License-Identifier: Apache-2.0
"""Batches for MindData: records are read in the order of an epoch, and crops are decoded straight into their batch."""

from __future__ import annotations

import atexit
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.constants import LANDMARKS
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.parts import ARRAYS, COPIES
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.transforms import ClipAugmenter

Batch = Dict[str, np.ndarray]


class Picks(NamedTuple):
    """What is read, one a position: (n,) int64 each."""

    rows: np.ndarray  # number in the records
    index: np.ndarray  # what the column `index` says
    sounds: np.ndarray  # 0: the clip as it is; k: the k-th copy of its sound in its place


class _ExitGuard:
    """Lets the interpreter end while an epoch is under way.

    At its end MindSpore stops pipelines in the reverse order of their making: the one that reads the rows before the
    one that asks it for them, and waits for ever where the latter is just asking. Once this guard, which runs before,
    has closed, nobody asks any more, and what is still being read is left to MindSpore: were it also stopped by the
    thread that asked, MindSpore's list of pipelines would change under its hands and the other would never be stopped.
    """

    def __init__(self) -> None:
        self._lock, self._closed, self._registered = threading.RLock(), False, False
        self._reading: List[Generator] = []

    def register(self) -> None:
        """To be called when MindSpore's own clean-up is registered: what is registered later runs earlier."""
        if not self._registered:
            self._registered = True
            atexit.register(self._close)

    def guard(self, records: Generator[Any, None, None]) -> Iterator[Any]:
        """The records, as long as the interpreter runs; `records` is closed at the end."""
        with self._lock:
            self._reading.append(records)
        try:
            while True:
                with self._lock:
                    record = None if self._closed else next(records, None)
                if record is None:
                    return
                yield record
        finally:
            with self._lock:
                if not self._closed:
                    records.close()
                    self._reading.remove(records)

    def _close(self) -> None:
        with self._lock:
            self._closed = True


EXIT = _ExitGuard()


class BatchSource:
    """Whole batches of the records for MindData's GeneratorDataset; each pass is one epoch.

    A batch is allocated once. MindSpore's MindDataset reads the rows, and `workers` threads decode and augment each
    clip in its place of the batch (OpenCV leaves Python's lock alone meanwhile). The next batch is begun before one is
    handed over, so that the threads always have work.

    Args:
        picks: of each clip, where it lies and which of its sounds is meant.
        order: positions of an epoch's clips, given its number; each epoch has equally many.
        epoch: None means that passes count up from 0, otherwise each pass is that epoch.
    """

    def __init__(self, records: Records, picks: Picks, columns: Sequence[str],
                 order: Callable[[int], np.ndarray], batch_size: int, workers: int, epoch: Optional[int],
                 augmenter: ClipAugmenter) -> None:
        self._records, self._picks, self._columns = records, picks, tuple(columns)
        self._order, self._size, self._workers = order, batch_size, workers
        self._epoch, self._augmenter, self._passes = epoch, augmenter, 0
        shapes = _shapes(records)
        self._stored = {name: shapes[name] for name in columns if name in shapes}
        self._read = [*(self._stored or ["present"]), *([COPIES] if picks.sounds.any() else [])]
        self._sets = [open_feature_set(records, name) for name in columns if name not in (*shapes, "index", "person")]

    def __len__(self) -> int:
        return -(-len(self._order(0)) // self._size)

    def __iter__(self) -> Iterator[Tuple[np.ndarray, ...]]:
        epoch = self._passes if self._epoch is None else self._epoch
        self._passes += 1
        order = self._order(epoch)
        records = EXIT.guard(self._records.stream(self._read, self._picks.rows[order], self._workers))
        with ThreadPoolExecutor(self._workers) as pool:
            ahead = None
            for start in range(0, len(order), self._size):
                begun = self._begin(pool, records, order[start:start + self._size], epoch)
                if begun is None:
                    return
                if ahead is not None:
                    yield self._finish(*ahead)
                ahead = begun
            yield self._finish(*ahead)

    def _begin(self, pool: ThreadPoolExecutor, records: Iterator[Batch], positions: np.ndarray, epoch: int
               ) -> Optional[Tuple[Batch, List[Future]]]:
        """A batch, and what is still being done to it; None once the interpreter ends."""
        batch, work = self._allocate(positions), []
        for place, position in enumerate(positions):
            record = next(records, None)
            if record is None:
                return None
            clip = {name: values[place] for name, values in batch.items()}
            if "frames" not in clip:  # too little to be worth another thread
                self._fill(clip, record, epoch, int(position))
                continue
            try:
                work.append(pool.submit(self._fill, clip, record, epoch, int(position)))
            except RuntimeError:  # thread pools close before the guard does
                return None
        return batch, work

    def _allocate(self, positions: np.ndarray) -> Batch:
        """A batch in which the columns of the stored records are still empty."""
        rows, count = self._picks.rows[positions], len(positions)
        batch = {name: np.empty((count, *shape), ARRAYS.get(name, np.float32)) for name, shape in self._stored.items()}
        batch["index"] = self._picks.index[positions].astype(np.int32)
        if "person" in self._columns:
            batch["person"] = self._records.by_person.of(rows, self._picks.sounds[positions])
        for features in self._sets:
            batch[features.name] = features.values[rows]
        if self._sets and "present" in batch:
            there = np.stack([features.present[rows] for features in self._sets], axis=1)
            batch["present"] = np.concatenate([batch["present"], there], axis=1, dtype=np.float32)
        return batch

    def _fill(self, clip: Batch, record: Batch, epoch: int, position: int) -> None:
        """Puts a record into its places of a batch, and augments it there."""
        for name in self._stored:
            if name == "frames":
                self._records.crops(record[name], clip[name])
            else:
                clip[name][:len(record[name])] = record[name]  # `present` goes on with the feature sets
        sound = int(self._picks.sounds[position])
        if sound and "mfcc" in clip:
            clip["mfcc"][...] = self._records.sounds(record[COPIES])[sound - 1]
        # A copy draws for itself.
        self._augmenter(clip, epoch, int(self._picks.index[position]) + sound * len(self._records))

    def _finish(self, batch: Batch, work: Sequence[Future]) -> Tuple[np.ndarray, ...]:
        for task in work:
            task.result()
        return tuple(batch[name] for name in self._columns)


def _shapes(records: Records) -> Dict[str, Tuple[int, ...]]:
    """Shape of each stored column of one clip."""
    config = records.preprocess
    count, size = config.frames, config.face.size
    return {"frames": (count, size, size, 3), "mfcc": (count, config.audio.features), "present": (2,),
            "landmarks": (count, *LANDMARKS), "labels": (len(records.emotions),), "timestamps": (count,),
            "boxes": (count, 4), "detected": (count,)}
