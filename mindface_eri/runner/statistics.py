# SPDX-License-Identifier: Apache-2.0
"""What a network keeps of its training clips beside its weights, set before the first epoch: means and deviations.

The network on statistics over time needs to see its inputs only once: its statistics have no weights. They are cached,
and its head trains on them as fusion does on the features of frozen branches.
"""

from __future__ import annotations

from typing import List, Tuple, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import landmark_statistics, merged_statistics
from mindface_eri.device.context import Context
from mindface_eri.models.dual_branch import MultiBranchNetwork
from mindface_eri.models.statistics import StatisticsNetwork
from mindface_eri.runner.batches import FeatureBatches, RecordBatches

_CLIPS = 64  # that are measured together


def set_statistics(network: nn.Cell, config: Config, records: Records) -> None:
    """Gives the network those of the training split of `records`, each to whatever part of it asks for it.

    Raises:
        DataError: the records hold no landmarks, and the network takes them.
    """
    model = config.model
    joined = isinstance(network, MultiBranchNetwork)
    if "landmarks" in model.inputs:
        _of_landmarks(network.branch("landmarks") if joined else network, records)
    if "mfcc" in model.inputs:
        sound = network.branch("acoustic") if joined else network
        if hasattr(sound, "set_mfcc_statistics"):  # a registered network need not have it
            sound.set_mfcc_statistics(records.mfcc_mean, records.mfcc_std)
    for name in model.features:
        branch = network.branch(name) if joined else network
        if hasattr(branch, "set_feature_statistics"):
            branch.set_feature_statistics(*open_feature_set(records, name).statistics(
                records.rows(records.ids("train"))))


def _of_landmarks(part: nn.Cell, records: Records) -> None:
    records.check_fields(["landmarks"])
    if hasattr(part, "set_landmark_statistics"):
        rows = [row for row, clip in enumerate(records.table)
                if clip["split"] == "train" and clip.get("present_visual") != "0"]
        part.set_landmark_statistics(*landmark_statistics(records.files, rows))


class _Measure(nn.Cell):
    """A network's statistics over time, compiled as a graph of their own."""

    def __init__(self, network: StatisticsNetwork) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *inputs: Tensor) -> Tuple[Tensor, ...]:
        return self.network.measure(*inputs)


def statistics_part(network: StatisticsNetwork, config: Config, records: Records, context: Context
                    ) -> Tuple[nn.Cell, Union[RecordBatches, FeatureBatches]]:
    """What of the network on statistics is trained, and on what, once its means and deviations are set.

    That is its head on cached statistics, or, where augmentation changes the clips each epoch, all of it.
    """
    measure, found = _Measure(network).set_train(False), {}
    for split in [name for name in ("train", "val") if name in records.splits]:  # who keeps the last weights has no val
        found[split] = _measured(measure, config, records, split, context)
    *measured, present = found["train"]
    for stream, name, values in zip(network.streams, config.model.inputs, measured):
        there = values[present[:, config.model.column_of(name)] > 0].reshape(-1, values[0].size)
        mean, std = merged_statistics([there] if len(there) else [], values[0].size)
        stream.set_statistics(mean.reshape(values.shape[1:]), std.reshape(values.shape[1:]))
    if _changes(config, records):
        return network, RecordBatches(records, config.model.inputs, config, context)
    joined = "present" in config.model.inputs
    cached = {split: [*(stream.standardised(values) for stream, values in zip(network.streams, measured)),
                      *([present] if joined else [])] for split, (*measured, present) in found.items()}
    return network.head, FeatureBatches(records, cached, config, context)


def _changes(config: Config, records: Records) -> bool:
    """Whether training sees something else than each clip as it is, once an epoch."""
    data, inputs = config.data, config.model.inputs
    return bool(data.time_jitter or data.mfcc_time_masks or data.mfcc_feature_masks
                or data.flip and "landmarks" in inputs
                or data.copies and "mfcc" in inputs and records.copies.any())


def _measured(measure: nn.Cell, config: Config, records: Records, split: str, context: Context) -> List[np.ndarray]:
    """Statistics (N, 6, F) of each input over a split's clips, and `present` (N, M). Every process measures all."""
    names = [name for name in config.model.inputs if name != "present"]
    batches = RecordBatches(records, (*names, "present"), config, Context(context.device, context.mode))
    parts: List[List[np.ndarray]] = [[] for _ in (*names, "present")]
    for batch in batches.inputs(split, min(_CLIPS, batches.count(split))):
        rows = (*(x.asnumpy() for x in measure(*(Tensor(x) for x in batch.inputs[:-1]))), batch.inputs[-1])
        for part, values in zip(parts, rows):
            part.append(values[:len(batch.positions)])
    return [np.concatenate(part) for part in parts]
