"""Where batches come from: records read by MindData, or cached features of the frozen branches.

Both give the same order for the same seed and epoch, whatever the number of processes: each epoch is one permutation
of the split, cut into global batches, of which each process takes its part. So a resumed run sees what the undisturbed
run would have seen, and two processes see together what one would have seen.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from mindface_eri.config import Config
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.datasets.records import Records
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.runner.context import Context

INPUTS = {"eri_visual": ("frames",), "eri_acoustic": ("mfcc",), "eri_dual_branch": ("frames", "mfcc", "present")}


class Inference(NamedTuple):
    """A batch without labels."""

    positions: np.ndarray  # (b,) rows of the split; b may be fewer than the rows of inputs, whose rest is filling
    inputs: Tuple[np.ndarray, ...]


class Plan(NamedTuple):
    """How an epoch over a split is cut."""

    size: int  # clips of one process in one step
    steps: int  # steps of an epoch


def plan_epoch(clips: int, batch_size: int, context: Context) -> Plan:
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
        raise DataError(f"the training split has {clips} clips for {context.world_size} processes; need at least one "
                        "each (see the records' failures.csv)")
    return Plan(size, clips // (size * context.world_size))


def epoch_order(clips: int, plan: Plan, seed: int, epoch: int, context: Context) -> np.ndarray:
    """Positions in the split that this process trains on in `epoch`, (steps * size,), in order."""
    order = np.random.default_rng([seed, epoch]).permutation(clips)
    order = order[: plan.steps * plan.size * context.world_size]
    return order.reshape(plan.steps, context.world_size, plan.size)[:, context.rank].reshape(-1)


def shard_order(clips: int, context: Context) -> np.ndarray:
    """Positions that this process evaluates: every world_size-th of the split."""
    return np.arange(context.rank, clips, context.world_size)


def fill_up(array: np.ndarray, size: int) -> np.ndarray:
    """Repeats rows of (b, ...) until there are `size`, so that a compiled graph meets one shape only."""
    return array if len(array) == size else array[np.arange(size) % len(array)]


class RecordBatches:
    """Batches out of MindRecord, decoded, augmented and prefetched by MindData."""

    def __init__(self, records: Records, columns: Sequence[str], config: Config, context: Context) -> None:
        self.records, self.columns = records, tuple(columns)
        self.config, self.context = config, context
        self.ids: Dict[str, List[str]] = {split: list(records.ids(split)) for split in records.splits}

    def count(self, split: str) -> int:
        """Clips in a split."""
        return len(self.ids.get(split, ()))

    def labels(self, split: str) -> np.ndarray:
        """Labels (N, E) in the order of `ids`."""
        return np.asarray(self.records.labels(split), np.float32)

    def train(self, epoch: int) -> Iterator[Tuple[np.ndarray, ...]]:
        """This process's batches of an epoch: the inputs, then labels."""
        train = self.config.train
        plan = plan_epoch(self.count("train"), train.batch_size, self.context)
        seed = self.config.runtime.seed
        order = epoch_order(self.count("train"), plan, seed, epoch, self.context)
        stream = self._stream("train", order, plan.size, True, seed=seed + epoch, augment=self.config.data)
        noise = np.random.default_rng([seed, epoch, self.context.rank, 1])
        for batch in stream:
            yield (*batch[:-1], add_label_noise(batch[-1], train.label_noise, noise))

    def inputs(self, split: str, batch_size: int) -> Iterator[Inference]:
        """This process's share of a split, for inference, in batches of exactly `batch_size` rows."""
        order = shard_order(self.count(split), self.context)
        if len(order):
            for start, batch in zip(range(0, len(order), batch_size), self._stream(split, order, batch_size, False)):
                yield Inference(order[start: start + batch_size], tuple(fill_up(x, batch_size) for x in batch))

    def _stream(self, split: str, order: np.ndarray, size: int, labels: bool, **options):
        columns = (*self.columns, "labels") if labels else self.columns
        names, data = self.ids[split], self.config.data
        dataset = create_dataset(self.records, split, batch_size=size, columns=columns, ids=[names[i] for i in order],
                                 shuffle=False, workers=data.workers, prefetch=data.prefetch, drop_remainder=False,
                                 **options)
        for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True):
            yield tuple(row[name] for name in columns)


class FeatureBatches:
    """Batches out of cached features (N, T, D) of the frozen branches; no picture or sound is touched."""

    def __init__(self, records: Records, features: Mapping[str, Sequence[np.ndarray]], config: Config,
                 context: Context) -> None:
        """`features` holds, for each split, visual features, acoustic features and `present`, in the order of ids."""
        self.records, self.features, self.config, self.context = records, features, config, context
        self.ids = {split: list(records.ids(split)) for split in features}
        self._labels = {split: np.asarray(records.labels(split), np.float32) for split in features}

    def count(self, split: str) -> int:
        """Clips in a split."""
        return len(self.ids.get(split, ()))

    def labels(self, split: str) -> np.ndarray:
        """Labels (N, E) in the order of `ids`."""
        return self._labels[split]

    def train(self, epoch: int) -> Iterator[Tuple[np.ndarray, ...]]:
        """This process's batches of an epoch: visual and acoustic features, present, labels."""
        train, seed = self.config.train, self.config.runtime.seed
        plan = plan_epoch(self.count("train"), train.batch_size, self.context)
        order = epoch_order(self.count("train"), plan, seed, epoch, self.context)
        noise = np.random.default_rng([seed, epoch, self.context.rank, 1])
        for rows in order.reshape(plan.steps, plan.size):
            labels = add_label_noise(self._labels["train"][rows], train.label_noise, noise)
            yield (*(x[rows] for x in self.features["train"]), labels)

    def inputs(self, split: str, batch_size: int) -> Iterator[Inference]:
        """This process's share of a split, for inference, in batches of exactly `batch_size` rows."""
        order = shard_order(self.count(split), self.context)
        for start in range(0, len(order), batch_size):
            rows = order[start: start + batch_size]
            yield Inference(rows, tuple(fill_up(x[rows], batch_size) for x in self.features[split]))


def add_label_noise(labels: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Labels (B, E) with Gaussian noise, kept in [0, 1]."""
    if deviation == 0:
        return labels
    return np.clip(labels + random.normal(0, deviation, labels.shape), 0, 1).astype(np.float32)
