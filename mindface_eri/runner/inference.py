# SPDX-License-Identifier: Apache-2.0
"""A network over the clips of a split, whatever the number of processes, and the records that a run takes."""

from __future__ import annotations

import os
from typing import Callable, Optional, Tuple, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.device.context import Context
from mindface_eri.device.distribute import gather_rows
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.runner.run_folder import TrainedModel
from mindface_eri.signals import stop_if_asked

RecordsLike = Union[Records, str, os.PathLike]


def predict_split(network: nn.Cell, batches, split: str, batch_size: int, context: Context,
                  notify: Optional[Callable[[int], None]] = None) -> np.ndarray:
    """What `network` gives for every clip of a split, (N, ...) float32 in the order of the split's ids.

    Args:
        network: takes a batch's inputs; is set to inference mode.
        notify: called with the number of clips done after each batch.

    Raises:
        DataError: what it gives is no number.
    """
    network.set_train(False)
    count = batches.count(split)
    batch_size = max(1, min(batch_size, -(-count // context.world_size)))
    positions, rows = [], []
    for batch in batches.inputs(split, batch_size):
        out = network(*(Tensor(x) for x in batch.inputs)).asnumpy()
        positions.append(batch.positions)
        rows.append(out[: len(batch.positions)].astype(np.float32))
        if notify is not None:
            notify(len(batch.positions))
        stop_if_asked()
    width = batches.labels(split).shape[1]
    mine = np.concatenate(rows) if rows else np.zeros((0, width), np.float32)
    where = np.concatenate(positions) if positions else np.zeros(0, int)
    broken = where[~np.isfinite(mine).all(tuple(range(1, mine.ndim)))]
    if len(broken):
        raise DataError(f"the network gives NaN or infinity for {len(broken)} of {count} clips of {split}, first for "
                        f"{batches.ids[split][broken[0]]}: its weights are broken, or these clips are")
    return gather_rows(where, mine, count, context)


def resolve_records(records: Optional[RecordsLike], config: Config) -> Records:
    """Opens records given as a folder, or those the recipe names, and cuts the recipe's folds.

    Opened records are taken as they are.

    Raises:
        ConfigError: neither is given.
        DataError: they cannot be read.
    """
    source = records if records is not None else config.data.records
    if source is None:
        raise ConfigError("no records: give --data, or data.records in the recipe (the folder that "
                          "`mindface-eri preprocess` wrote)")
    return fold_view(open_records(source), config.data) if isinstance(source, (str, os.PathLike)) else source


def check_records(records: Records, emotions: Tuple[str, ...], trained: TrainedModel) -> None:
    """Refuses records whose emotions or shapes are not the model's.

    Raises:
        DataError: they differ.
    """
    model, made = trained.model, records.preprocess
    if tuple(records.emotions) != tuple(emotions):
        raise DataError(f"the records' emotions are {', '.join(records.emotions)}; {trained.path} was trained on "
                        f"{', '.join(emotions)}")
    pairs = {"frames": (model.frames, made.frames), "crop size": (model.crop_size, made.face.size),
             "MFCC features": (model.mfcc_features, made.audio.features)}
    if model.name == "eri_statistics" and "mfcc" in model.inputs:
        pairs["MFCC frames of a stack"] = (model.mfcc_stack, made.audio.stack)
    cover = trained.note.get("preprocess", {}).get("audio", {}).get("cover")  # version 0.1 does not say
    if "mfcc" in model.inputs and cover is not None:
        pairs["audio.cover"] = (cover, made.audio.cover)
    columns = trained.note.get("features", {})
    for name, width in zip(model.features, model.feature_widths):
        features = open_feature_set(records, name)
        pairs[f"width of the feature set {name}"] = (width, features.width)
        if name in columns:
            pairs[f"columns of the feature set {name}"] = (columns[name]["columns"], features.about["columns"])
    for name, (need, have) in pairs.items():
        if need != have:
            raise DataError(f"the records' {name}: {have}; {trained.path} takes {need}; preprocess again with the "
                            "recipe of that run")
