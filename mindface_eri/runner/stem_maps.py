# SPDX-License-Identifier: Apache-2.0
"""Training behind a frozen stem: what it makes of each frame is computed once and kept beside the records.

The stem sees each frame alone, and frozen it keeps its stored statistics in training too (`models.resnet`). So every
epoch, fold and seed can read the same feature maps, and get the numbers that it would get from the crops.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Callable, Sequence, Tuple

import numpy as np
from mindspore import nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import stored_hash
from mindface_eri.datasets.folds import LEFT_OUT
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError
from mindface_eri.models.explain import AfterStem, StemExtractor
from mindface_eri.runner.batches import FeatureBatches, RecordBatches
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.features import is_valid, open_features, write_outputs

_CHANGES = ("flip", "turn", "scale", "erase", "colour", "time_jitter")  # options of data that show other crops


class _Rows:
    """Some rows of an array on disk, by their positions, read when they are asked for."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self._array, self._rows = array, rows

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return self._array[self._rows[positions]]


def check_cache(config: Config) -> None:
    """Refuses `train.cache_stem` where the stem's maps would not be the same in each epoch.

    Raises:
        ConfigError: it would not be.
    """
    if not config.train.cache_stem:
        return
    model = config.model
    if model.name != "eri_visual" or not model.freeze_stem or model.stem_checkpoint is None:
        raise ConfigError("train.cache_stem keeps what a frozen stem makes of each frame: it needs model.name "
                          "eri_visual, model.stem_checkpoint and model.freeze_stem; set them, or leave it out")
    changes = [f"data.{name}" for name in _CHANGES if getattr(config.data, name)]
    if changes:
        raise ConfigError(f"train.cache_stem: {', '.join(changes)} would show the stem other crops in each epoch; "
                          "leave out one or the other")


def part_after_stem(network: nn.Cell, config: Config, records: Records, context: Context,
                    notify: Callable[[str], None], splits: Sequence[str]) -> Tuple[nn.Cell, FeatureBatches]:
    """What of a visual network with a frozen stem is trained, and the batches of maps (b, T, C, h, w) for it."""
    path, ids = _stored(network, config, records, context, notify)
    place, maps = {name: row for row, name in enumerate(ids)}, open_features(path)
    features = {split: [_Rows(maps, np.array([place[name] for name in records.ids(split)]))]
                for split in splits if split in records.splits}
    return AfterStem(network), FeatureBatches(records, features, config, context)


def _stored(network: nn.Cell, config: Config, records: Records, context: Context, notify: Callable[[str], None]
            ) -> Tuple[Path, Sequence[str]]:
    """The file of the maps of all clips that have a face, computed where it is not there yet, and these clips."""
    seen = dataclasses.replace(records, table=tuple(
        {**row, "split": LEFT_OUT if row["present_visual"] == "0" else "train"} for row in records.table))
    weights = {p.name: p.asnumpy() for p in network.stem.get_parameters()}
    path = records.path / "stem" / f"{checkpoint_hash(weights)}-{stored_hash(records)[:16]}.npy"
    shape = (len(seen.ids("train")), network.frames, network.channels, network.grid, network.grid)
    if not is_valid(path, shape):
        if context.is_main:
            notify(f"the frozen stem's maps of {shape[0]} clips, {4 * int(np.prod(shape)) / 2 ** 30:.2f} GiB -> {path}")
        batches = RecordBatches(seen, config.model.inputs, config, context)
        write_outputs(StemExtractor(network), batches, "train", path, shape, context)
    return path, seen.ids("train")
