# SPDX-License-Identifier: Apache-2.0
"""What a network keeps of its training clips beside its weights: means and deviations, set before the first epoch."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import landmark_statistics, merged_statistics
from mindface_eri.device.context import Context
from mindface_eri.models.dual_branch import MultiBranchNetwork
from mindface_eri.models.statistics import StatisticsNetwork
from mindface_eri.runner.batches import RecordBatches

_CLIPS = 256  # that go through the network's first part together


def set_statistics(network: nn.Cell, config: Config, records: Records, context: Context) -> None:
    """Gives the network those of the training split of `records`, each to whatever part of it asks for it.

    Raises:
        DataError: the records hold no landmarks, and the network takes them.
    """
    model = config.model
    if isinstance(network, StatisticsNetwork):
        if "landmarks" in model.inputs:
            _of_landmarks(network.named_streams()["landmarks"].alignment, records)
        _of_streams(network, config, records, context)
        return
    joined = isinstance(network, MultiBranchNetwork)
    if "landmarks" in model.inputs:
        _of_landmarks(network, records)
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
    if hasattr(part, "set_landmark_statistics"):
        records.check_fields(["landmarks"])
        seen = [row for row, clip in zip(records.rows(records.ids("train")), _clips(records))
                if clip.get("present_visual") != "0"]
        part.set_landmark_statistics(*landmark_statistics(records.files, seen))


def _clips(records: Records) -> list:
    return [row for row in records.table if row["split"] == "train"]


class _Measure(nn.Cell):
    """A network's statistics over time, compiled as a graph of their own."""

    def __init__(self, network: StatisticsNetwork) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *inputs: Tensor) -> Tuple[Tensor, ...]:
        return self.network.measure(*inputs)


def _of_streams(network: StatisticsNetwork, config: Config, records: Records, context: Context) -> None:
    """One pass over the training clips: mean and deviation of each input's statistics over the clips that have it."""
    names = [name for name in config.model.inputs if name != "present"]
    batches = RecordBatches(records, (*names, "present"), config, Context(context.device, context.mode))
    size, measure = min(_CLIPS, batches.count("train")), _Measure(network).set_train(False)
    found: Dict[str, list] = {name: [] for name in names}
    for batch in batches.inputs("train", size):
        *inputs, present = batch.inputs
        rows = measure(*(Tensor(x) for x in inputs))
        for name, values in zip(names, rows):
            there = present[:len(batch.positions), config.model.column_of(name)] > 0
            found[name].append(values.asnumpy()[:len(batch.positions)][there])
    for name, stream in network.named_streams().items():
        values = np.concatenate(found[name])  # (n, 6, F)
        flat = values.reshape(len(values), -1)
        mean, std = merged_statistics([flat] if len(flat) else [], flat.shape[1])
        stream.set_statistics(mean.reshape(values.shape[1:]), std.reshape(values.shape[1:]))
