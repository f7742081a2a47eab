# SPDX-License-Identifier: Apache-2.0
"""MindData for training and evaluation: records in, batches out.

The order of clips is drawn in Python, a function of (seed, epoch) that every rank computes alike; `batching.py` makes
the batches. Asking only for `mfcc` never touches a picture.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from mindface_eri.config import DataConfig
from mindface_eri.datasets.batching import EXIT, BatchSource, Picks
from mindface_eri.datasets.feature_sets import list_feature_sets
from mindface_eri.datasets.presence import lacking
from mindface_eri.datasets.reading import OPEN
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.datasets.transforms import ClipAugmenter
from mindface_eri.errors import DataError

if TYPE_CHECKING:
    from mindspore.dataset import Dataset

LOGGER = logging.getLogger(__name__)

# What `create_dataset` can give; `index` and `person` are computed, the others are stored.
COLUMNS = ("frames", "mfcc", "landmarks", "person", "present", "labels", "index", "timestamps", "boxes", "detected")


def epoch_order(count: int, *, shuffle: bool, seed: int, epoch: int, num_shards: int = 1, shard_id: int = 0,
                batch_size: int = 1, drop_remainder: bool = False, pad_last: bool = False,
                parts: Optional[np.ndarray] = None) -> np.ndarray:
    """Positions of the clips that one rank sees in one epoch, in order, (n,) int64.

    Global batch g, the clips [g * R * B, (g + 1) * R * B) of the epoch's permutation, is dealt out to the R ranks like
    cards, so that R ranks with batches of B see exactly what one process with batches of R * B sees. All ranks get
    equally many: the remainder is dropped, or filled up from the permutation's beginning, to whole rounds of R, or with
    `pad_last` to whole global batches.

    Args:
        parts: (count,) number of the file in which each clip lies. Of more than `reading.OPEN` files so many, drawn
            anew each epoch, are shuffled together and left behind before the next: no more are ever open.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count) if shuffle else np.arange(count)
    if shuffle and parts is not None and int(parts.max(initial=-1)) >= OPEN:
        group = np.random.default_rng((seed, epoch, 1)).permutation(int(parts.max()) + 1)[parts] // OPEN
        order = order[np.argsort(group[order], kind="stable")]
    whole = num_shards * batch_size
    if drop_remainder:
        order = order[:count // whole * whole]
    else:
        unit = whole if pad_last else num_shards
        order = np.resize(order, -(-count // unit) * unit)  # repeats cyclically
    return order[shard_id::num_shards]


def create_dataset(records: Union[Records, str, os.PathLike], split: Optional[str] = None, *, batch_size: int,
                   columns: Sequence[str] = ("frames", "mfcc", "present", "labels"),
                   ids: Optional[Sequence[str]] = None,
                   shuffle: Optional[bool] = None, num_shards: int = 1, shard_id: int = 0, workers: int = 2,
                   prefetch: int = 4, seed: int = 0, epoch: Optional[int] = None,
                   augment: Optional[DataConfig] = None, drop_remainder: Optional[bool] = None,
                   pad_last: bool = False) -> Dataset:
    """A MindData dataset whose rows are whole batches, for `mindspore.train.Model` or a loop of one's own.

    Args:
        records: an opened record folder, or its path.
        split: "train", "val" or "test"; or give `ids`, any clips of any splits in any order. Clips without any label,
            or, unless `present` is a column, without what a column holds, are left out of training with a warning.
        columns: among `COLUMNS`: frames (B, T, S, S, 3) uint8, mfcc (B, T, M) float32, landmarks (B, T, 68, 2) float32,
            pixels of the upright frame and zeros without a face, person (B, 2, 6, F) float32, of records that
            `by_person.with_person_statistics` gave, present (B, 2) float32, labels (B, E) float32
            (NaN: unknown), index (B,) int32, the clip's place in `records.ids(split)` or in `ids`, by which predictions
            are gathered and repeated clips dropped; and the names of feature sets, (B, T, F) float32 each, which
            lengthen `present` to (B, 2 + sets) in their order.
        shuffle: None means for split "train" only.
        num_shards: ranks.
        shard_id: which rank this is, from 0; see `epoch_order`.
        prefetch: batches made ahead (set for the whole process: MindData has no setting for one dataset).
        seed: order and augmentation are functions of it and of the epoch.
        epoch: with None each pass over the dataset counts as the next one, which is what `Model.train` needs; a loop
            that makes one dataset an epoch, and must be able to go on after a stop, gives the number.
        augment: its augmentation settings are applied; for training only. Copies of sound that the records hold are
            further clips where labelled clips are shuffled and mfcc is a column, unless `augment.copies` is off.
        drop_remainder: None means when shuffling, if there is at least one whole batch.
        pad_last: fill the last batch up with repeated clips, so that all batches have the same shape.

    Raises:
        DataError: no such split, id or column; or not a single batch.
    """
    records = records if isinstance(records, Records) else open_records(records)
    shuffle = split == "train" if shuffle is None else shuffle
    _check(records, columns, split, ids, num_shards, shard_id, batch_size, pad_last and bool(drop_remainder))
    names = records.ids(split) if ids is None else tuple(ids)
    rows, index = records.rows(names), np.arange(len(names))
    picks = Picks(rows, index, np.zeros(len(rows), np.int64))
    if "labels" in columns and (split == "train" or (ids is not None and shuffle)):
        rows, index = _trainable(records, rows, index, columns)
        among = with_copies(records.copies[rows] * shuffle, columns, augment or DataConfig())
        every = np.concatenate(among)
        picks = Picks(rows[every], index[every], np.repeat(np.arange(len(among)), [len(some) for some in among]))
    if drop_remainder is None:
        drop_remainder = shuffle and not pad_last and len(picks.rows) >= batch_size * num_shards
    order = {"shuffle": shuffle, "seed": seed, "num_shards": num_shards, "shard_id": shard_id,
             "batch_size": batch_size, "drop_remainder": drop_remainder, "pad_last": pad_last,
             "parts": np.searchsorted(np.cumsum(records.sizes), picks.rows, "right") if records.sizes else None}
    if len(epoch_order(len(picks.rows), epoch=0, **order)) == 0:
        raise DataError(f"{records.path}: {len(picks.rows)} clips do not fill one batch of {batch_size} on each of "
                        f"{num_shards} ranks; lower the batch size, or keep the remainder")
    return _pipeline(records, picks, columns, order, workers, prefetch, epoch, augment or DataConfig())


def with_copies(copies: np.ndarray, columns: Sequence[str], data: DataConfig) -> List[np.ndarray]:
    """What training sees of clips whose records hold so many copies of the sound, (N,): positions of the clips, all of
    them as they are, then those that have a first copy, a second one, and so on.
    """
    most = int(copies.max(initial=0)) if "mfcc" in columns and data.copies else 0
    return [np.arange(len(copies)), *(np.flatnonzero(copies > number) for number in range(most))]


def _pipeline(records: Records, picks: Picks, columns: Sequence[str], order: Dict[str, Any],
              workers: int, prefetch: int, epoch: Optional[int], augment: DataConfig) -> Dataset:
    """The dataset over these rows, in the order that `order` describes."""
    import multiprocessing

    import mindspore.dataset as ds

    workers = max(1, min(workers, multiprocessing.cpu_count()))  # MindData refuses more
    EXIT.register()
    ds.config.set_prefetch_size(prefetch)
    augmenter = ClipAugmenter(augment, records.preprocess.audio, records.mfcc_mean, order["seed"])
    source = BatchSource(records, picks, columns, lambda number: epoch_order(len(picks.rows), epoch=number, **order),
                         order["batch_size"], workers, epoch, augmenter)
    return ds.GeneratorDataset(source, list(columns), shuffle=False, num_parallel_workers=1,
                               python_multiprocessing=False)


def _trainable(records: Records, rows: np.ndarray, index: np.ndarray,
               columns: Sequence[str]) -> Tuple[np.ndarray, np.ndarray]:
    """Those of the clips that can be trained on: with labels, and with what the columns hold."""
    unknown = np.isnan(records.all_labels).all(axis=1)
    lacks = {**{f"no {what}": absent for what, absent in lacking(records, columns).items()}, "no labels": unknown}
    for what, absent in lacks.items():
        count = int(absent[rows].sum())
        if count == len(rows):
            raise DataError(f"{records.path}: none of {count} clips can be trained on: they have {what}")
        if count:
            LOGGER.warning("%s: %d of %d clips have %s and are left out of training", records.path, count, len(rows),
                           what)
        kept = ~absent[rows]
        rows, index = rows[kept], index[kept]
    return rows, index


def _check(records: Records, columns: Sequence[str], split: Optional[str], ids: Optional[Sequence[str]],
           num_shards: int, shard_id: int, batch_size: int, contradiction: bool) -> None:
    """Refuses arguments that contradict the records or one another."""
    sets = list_feature_sets(records)
    unknown: List[str] = [name for name in columns if name not in (*COLUMNS, *sets)]
    if unknown or not columns or len(set(columns)) < len(columns):
        raise DataError(f"columns {list(columns)}: expected different ones among {', '.join((*COLUMNS, *sets))}")
    records.check_fields(columns)
    if "person" in columns and records.by_person is None:
        raise DataError("the column person is of records that datasets.by_person.with_person_statistics gave")
    if (split is None) == (ids is None):
        raise DataError("give either a split or ids, not both or neither")
    if not 0 <= shard_id < num_shards:
        raise DataError(f"shard {shard_id} is outside 0 to {num_shards - 1}")
    if batch_size < 1:
        raise DataError(f"batch size {batch_size} is below 1")
    if contradiction:
        raise DataError("drop_remainder and pad_last contradict each other")
