# SPDX-License-Identifier: Apache-2.0
"""Where batches come from: records read by MindData, or cached features of the frozen branches.

Both draw one order for a seed and an epoch, whatever the number of processes (`epoch_order`). So a resumed run
sees what the undisturbed run would have seen, and two processes see together what one would have seen.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import Config
from mindface_eri.datasets.held import hold
from mindface_eri.datasets.pipeline import create_dataset, epoch_order, with_copies
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.transforms import is_mirrored
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError, DataError


class Inference(NamedTuple):
    """A batch without labels."""

    positions: np.ndarray  # (b,) rows of the split; b may be fewer than the rows of inputs, whose rest is filling
    inputs: Tuple[np.ndarray, ...]


class EpochPlan(NamedTuple):
    """How an epoch over a split is cut."""

    size: int  # clips of one process in one step
    steps: int  # steps of an epoch

    def total(self, context: Context) -> int:
        """Clips that all processes together see in an epoch."""
        return self.size * self.steps * context.world_size


def plan_epoch(clips: int, batch_size: int, context: Context) -> EpochPlan:
    """Cuts `clips` into global batches of `batch_size`, shared evenly by the processes; a remainder waits an epoch.

    Raises:
        ConfigError: the processes cannot share the batch evenly.
        DataError: there are fewer clips than processes.
    """
    if batch_size % context.world_size:
        raise ConfigError(f"train.batch_size is {batch_size}, the global batch, and {context.world_size} processes "
                          "cannot share it evenly; choose a multiple")
    size = min(batch_size, clips) // context.world_size
    if size == 0:
        raise DataError(f"the training split has {clips} clips with labels for {context.world_size} processes; need at "
                        "least one each (see the records' failures.csv)")
    return EpochPlan(size, clips // (size * context.world_size))


def labelled(labels: np.ndarray) -> np.ndarray:
    """Positions of the clips of which a label (N, E) is known; the others cannot be trained on."""
    return np.flatnonzero(~np.isnan(labels).all(axis=1))


def shard_order(clips: int, context: Context) -> np.ndarray:
    """Positions that this process evaluates: every world_size-th of the split."""
    return np.arange(context.rank, clips, context.world_size)


def fill_up(array: np.ndarray, size: int) -> np.ndarray:
    """Repeats rows of (b, ...) until there are `size`, so that a compiled graph meets one shape only."""
    return array if len(array) == size else array[np.arange(size) % len(array)]


class RecordBatches:
    """Batches out of MindRecord, decoded, augmented and prefetched by MindData."""

    def __init__(self, records: Records, columns: Sequence[str], config: Config, context: Context) -> None:
        self.records, self.columns = hold(records, columns), tuple(columns)
        self.config, self.context = config, context
        self.ids: Dict[str, List[str]] = {split: list(records.ids(split)) for split in records.splits}

    def count(self, split: str) -> int:
        """Clips in a split."""
        return len(self.ids.get(split, ()))

    def labels(self, split: str) -> np.ndarray:
        """Labels (N, E) in the order of `ids`."""
        return np.asarray(self.records.labels(split), np.float32)

    def plan(self) -> EpochPlan:
        """How an epoch of training is cut."""
        known = np.array(self.ids.get("train", ()))[labelled(self.labels("train"))]
        copies = self.records.copies[self.records.rows(known)]
        clips = sum(len(some) for some in with_copies(copies, self.columns, self.config.data))
        return plan_epoch(clips, self.config.train.batch_size, self.context)

    def train(self, epoch: int) -> Iterator[Tuple[np.ndarray, ...]]:
        """This process's batches of an epoch: the inputs, then labels."""
        seed = self.config.runtime.seed
        stream = self._stream("train", self.plan().size, (*self.columns, "labels"), shuffle=True, drop_remainder=True,
                              num_shards=self.context.world_size, shard_id=self.context.rank, seed=seed, epoch=epoch,
                              augment=self.config.data)
        noise = label_noise(self.config.train.label_noise, seed, epoch, self.context)
        for batch in stream:
            yield (*batch[:-1], noise(batch[-1]))

    def inputs(self, split: str, batch_size: int, order: Optional[np.ndarray] = None) -> Iterator[Inference]:
        """This process's share of a split, or these positions of it, for inference, in batches of exactly `batch_size`
        rows."""
        order = shard_order(self.count(split), self.context) if order is None else order
        if len(order) == 0:
            return
        names = [self.ids[split][position] for position in order]
        stream = self._stream(None, batch_size, self.columns, ids=names, shuffle=False)
        for start, batch in zip(range(0, len(order), batch_size), stream):
            yield Inference(order[start: start + batch_size], tuple(fill_up(x, batch_size) for x in batch))

    def _stream(self, split: Optional[str], size: int, columns: Sequence[str], **options):
        """Batches of a split, as MindData gives them."""
        data = self.config.data
        dataset = create_dataset(self.records, split, batch_size=size, columns=columns, workers=data.workers,
                                 prefetch=data.prefetch, **options)
        try:
            for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True):
                yield tuple(row[name] for name in columns)
        except RuntimeError:  # MindData makes one of whatever goes wrong in it
            if (self.records.path / "dataset.json").is_file():
                raise
            raise DataError(f"{self.records.path}: the records were removed while they were read; preprocess again, "
                            "or name another folder") from None


class FeatureBatches:
    """Batches out of cached features (N, T, D) of the frozen branches; no picture or sound is touched."""

    def __init__(self, records: Records, features: Mapping[str, Sequence[np.ndarray]], config: Config,
                 context: Context, sources: Optional[np.ndarray] = None,
                 mirrored: Sequence[np.ndarray] = ()) -> None:
        """`features` holds, for each split, each branch's features and `present`, in the order of ids.

        Of the training split copies may lie behind the clips: `sources` is the position of each row's clip. `mirrored`
        are the training split's again, of the clips in a mirror, for who asks for that (`data.flip`).
        """
        self.records, self.features, self.config, self.context = records, features, config, context
        self.ids = {split: list(records.ids(split)) for split in features}
        self._labels = {split: np.asarray(records.labels(split), np.float32) for split in features}
        self._mirrored, self._sources = mirrored, np.arange(self.count("train")) if sources is None else sources
        self._taught = self._labels["train"] if sources is None else self._labels["train"][sources]

    def count(self, split: str) -> int:
        """Clips in a split."""
        return len(self.ids.get(split, ()))

    def labels(self, split: str) -> np.ndarray:
        """Labels (N, E) in the order of `ids`."""
        return self._labels[split]

    def plan(self) -> EpochPlan:
        """How an epoch of training is cut."""
        return plan_epoch(len(labelled(self._taught)), self.config.train.batch_size, self.context)

    def train(self, epoch: int) -> Iterator[Tuple[np.ndarray, ...]]:
        """This process's batches of an epoch: each branch's features, present, labels."""
        seed, plan = self.config.runtime.seed, self.plan()
        known = labelled(self._taught)
        order = epoch_order(len(known), shuffle=True, seed=seed, epoch=epoch, num_shards=self.context.world_size,
                            shard_id=self.context.rank, batch_size=plan.size, drop_remainder=True)
        noise = label_noise(self.config.train.label_noise, seed, epoch, self.context)
        seen = self._seen(epoch)
        for rows in known[order].reshape(plan.steps, plan.size):
            yield (*(x[rows] for x in seen), noise(self._taught[rows]))

    def _seen(self, epoch: int) -> Sequence[np.ndarray]:
        """The training split's features in an epoch: those of a clip or of it in a mirror, as `ClipAugmenter` draws."""
        if not self._mirrored:
            return self.features["train"]
        copy = np.cumsum(np.diff(self._sources, prepend=-1) <= 0) * len(self.records)  # its number, as rows follow
        turned = np.array([is_mirrored(self.config.data, self.config.runtime.seed, epoch, int(index))
                           for index in self._sources + copy])
        return [np.where(turned.reshape(-1, *[1] * (x.ndim - 1)), y, x)
                for x, y in zip(self.features["train"], self._mirrored)]

    def inputs(self, split: str, batch_size: int) -> Iterator[Inference]:
        """This process's share of a split, for inference, in batches of exactly `batch_size` rows."""
        order = shard_order(self.count(split), self.context)
        for start in range(0, len(order), batch_size):
            rows = order[start: start + batch_size]
            yield Inference(rows, tuple(fill_up(x[rows], batch_size) for x in self.features[split]))


def label_noise(deviation: float, seed: int, epoch: int, context: Context) -> Callable[[np.ndarray], np.ndarray]:
    """What adds Gaussian noise to this process's labels (b, E) of one batch after the other, kept in [0, 1].

    It is drawn for the global batch, whose clips are dealt out like cards (`epoch_order`): each clip gets the same
    whatever the number of processes. What is unknown (NaN) stays so.
    """
    random = np.random.default_rng([seed, epoch, 0, 1])  # the 0: what one process has always drawn

    def add(labels: np.ndarray) -> np.ndarray:
        if deviation == 0:
            return labels
        noise = random.normal(0, deviation, (len(labels) * context.world_size, labels.shape[1]))
        return np.clip(labels + noise[context.rank::context.world_size], 0, 1).astype(np.float32)

    return add
