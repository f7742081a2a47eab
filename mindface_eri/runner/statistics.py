# SPDX-License-Identifier: Apache-2.0
"""What a network keeps of its training clips beside its weights, set before the first epoch: means and deviations.

The network on statistics over time needs to see its inputs only once: its statistics have no weights. They are cached,
and its head trains on them as fusion does on the features of frozen branches.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.parts import COPIES
from mindface_eri.datasets.pipeline import with_copies
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import landmark_statistics, merged_statistics
from mindface_eri.datasets.transforms import mirrored
from mindface_eri.device.context import Context
from mindface_eri.models.dual_branch import MultiBranchNetwork
from mindface_eri.models.statistics import StatisticsNetwork, Stream
from mindface_eri.runner.batches import FeatureBatches, RecordBatches, fill_up

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
        part.set_landmark_statistics(*landmark_statistics(records.files, rows, records.sizes))


class _Measure(nn.Cell):
    """What a network or a stream of it measures, compiled as a graph of its own."""

    def __init__(self, part: Union[StatisticsNetwork, Stream]) -> None:
        super().__init__(auto_prefix=False)
        self.part = part

    def construct(self, *inputs: Tensor) -> Union[Tensor, Tuple[Tensor, ...]]:
        return self.part.measure(*inputs)


def statistics_part(network: StatisticsNetwork, config: Config, records: Records, context: Context
                    ) -> Tuple[nn.Cell, Union[RecordBatches, FeatureBatches]]:
    """What of the network on statistics is trained, and on what, once its means and deviations are set.

    That is its head on cached statistics, of clips, their copies and their mirror images, or, where augmentation
    changes the clips each epoch in another way, all of it.
    """
    measure, found, streams = _Measure(network).set_train(False), {}, config.model.streams
    for split in [name for name in ("train", "val") if name in records.splits]:  # who keeps the last weights has no val
        found[split] = _measured(measure, config, records, split, context)
    present = found["train"][-1]
    for stream, name, values in zip(network.streams, streams, found["train"]):
        there = values[present[:, config.model.column_of(name)] > 0].reshape(-1, values[0].size)
        mean, std = merged_statistics([there] if len(there) else [], values[0].size)
        stream.set_statistics(mean.reshape(values.shape[1:]), std.reshape(values.shape[1:]))
    if _changes(config):
        return network, RecordBatches(records, config.model.inputs, config, context)
    clips, turned = found["train"], []
    found["train"], sources = _with_copies(network, config, records, clips)
    cached = {split: _standardised(network, config, values) for split, values in found.items()}
    if config.data.flip and "landmarks" in streams:
        faces = _measured(measure, config, records, "train", context, mirror=True)[streams.index("landmarks")]
        rows = [faces[sources] if name == "landmarks" else values
                for name, values in zip((*streams, *[""] * len(clips)), found["train"])]
        turned = _standardised(network, config, rows)
    return network.head, FeatureBatches(records, cached, config, context, sources, turned)


def _standardised(network: StatisticsNetwork, config: Config, found: Sequence[np.ndarray]) -> List[np.ndarray]:
    """What the head takes of a split: the standardised statistics of each input, and `present`."""
    streams, person = config.model.streams, found[len(config.model.streams):-1]  # one, or none
    rows = [stream.standardised(values, *(person if name == "mfcc" else ()))
            for stream, name, values in zip(network.streams, streams, found)]
    return [*rows, *(found[-1:] if "present" in config.model.inputs else [])]


def _changes(config: Config) -> bool:
    """Whether training sees something else each epoch."""
    data = config.data
    return bool(data.time_jitter or data.mfcc_time_masks or data.mfcc_feature_masks)


def _measured(measure: nn.Cell, config: Config, records: Records, split: str, context: Context,
              mirror: bool = False) -> List[np.ndarray]:
    """Statistics (N, 6, F) of each input over a split's clips, of faces in a `mirror` where asked for, those of its
    people where the network takes them, and `present` (N, M). Every process measures all."""
    names = [name for name in config.model.inputs if name != "present"]
    batches = RecordBatches(records, (*names, "present"), config, Context(context.device, context.mode))
    count, parts = len(config.model.streams), [[] for _ in (*names, "present")]
    for batch in batches.inputs(split, min(_CLIPS, batches.count(split))):
        inputs = [mirrored(x) if mirror and name == "landmarks" else x for name, x in zip(names[:count], batch.inputs)]
        rows = (*(x.asnumpy() for x in measure(*map(Tensor, inputs))), *batch.inputs[count:])
        for part, values in zip(parts, rows):
            part.append(values[:len(batch.positions)])
    return [np.concatenate(part) for part in parts]


def _with_copies(network: StatisticsNetwork, config: Config, records: Records, found: List[np.ndarray]
                 ) -> Tuple[List[np.ndarray], np.ndarray]:
    """The training clips' rows, and behind them those of their copies of sound; and of each row its clip's position."""
    streams, clips = config.model.streams, records.rows(records.ids("train"))
    among = with_copies(records.copies[clips], streams, config.data)
    sources = np.concatenate(among)
    if len(among) == 1:
        return found, sources
    numbers = np.repeat(np.arange(len(among)), [len(some) for some in among])
    rows, sound = [values[sources] for values in found], streams.index("mfcc")
    place = {pair: row for row, pair in enumerate(zip(sources, numbers))}
    for pair, values in _measured_copies(network.streams[sound], records, clips):
        rows[sound][place[pair]] = values
    if config.model.normalise_by_person:
        rows[len(streams)] = records.by_person.of(clips[sources], numbers)
    return rows, sources


def _measured_copies(stream: Stream, records: Records, clips: np.ndarray
                     ) -> Iterator[Tuple[Tuple[int, int], np.ndarray]]:
    """(position of the clip, number of the copy from 1) and statistics (6, F) of each copy of the sound of clips."""
    measure, waiting = _Measure(stream).set_train(False), []
    have = np.flatnonzero(records.copies[clips])
    read = records.read([records.table[row]["id"] for row in clips[have]], [COPIES])
    for last, position, record in zip(range(len(have) - 1, -1, -1), have, read):
        waiting += [((position, number), sound) for number, sound in enumerate(record[COPIES], 1)]
        while len(waiting) >= _CLIPS or waiting and last == 0:
            some, waiting = waiting[:_CLIPS], waiting[_CLIPS:]
            values = measure(Tensor(fill_up(np.stack([sound for _, sound in some]), _CLIPS))).asnumpy()
            yield from zip((pair for pair, _ in some), values)
