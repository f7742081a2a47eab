# SPDX-License-Identifier: Apache-2.0
"""Inference over a split and its scores: one correlation over the whole split, whatever the number of processes."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple, Union

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.device.context import Context, setup
from mindface_eri.device.distribute import gather_rows
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.metrics import ccc, pearson
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.run_folder import TrainedModel, load_trained, run_config

RecordsLike = Union[Records, str, os.PathLike]


@dataclass(frozen=True)
class EvaluationResult:
    """Predictions of a split and how they agree with the labels."""

    split: str
    emotions: Tuple[str, ...]
    ids: Tuple[str, ...]
    predictions: np.ndarray  # (N, E)
    labels: np.ndarray  # (N, E), NaN where unknown
    path: Optional[Path]  # the table of predictions; None where none was written
    records: Records  # whose split it is, cut as the run's folds were

    @property
    def labelled(self) -> bool:
        """Whether there is anything to score."""
        return bool((~np.isnan(self.labels)).any())

    @property
    def pearson(self) -> np.ndarray:
        """Pearson's correlation of each emotion, (E,)."""
        return pearson(self.predictions, self.labels)

    @property
    def ccc(self) -> np.ndarray:
        """Concordance correlation of each emotion, (E,)."""
        return ccc(self.predictions, self.labels)

    @property
    def mean(self) -> float:
        """The challenge's metric: the mean of `pearson` over emotions (paper eq. 11)."""
        return float(self.pearson.mean())

    def by_emotion(self) -> Dict[str, float]:
        """`pearson` by emotion."""
        return dict(zip(self.emotions, self.pearson.tolist()))


def evaluate(run: os.PathLike, records: Optional[RecordsLike] = None, split: str = "val", *,
             batch_size: Optional[int] = None, device: Optional[str] = None, which: str = "best",
             out: Optional[os.PathLike] = None) -> EvaluationResult:
    """Predicts a split with a trained run and scores it where labels are known.

    Args:
        run: run folder or `.ckpt` file.
        records: records or their folder; None takes those the run was trained on.
        batch_size: clips at a time; None takes the recipe's.
        device: overrides the recipe's.
        which: `best` or `last` checkpoint of a run folder.
        out: table to write; None puts predictions_<split>.csv into the run folder (nowhere for a lone `.ckpt`).

    Raises:
        CheckpointError: the run cannot be read.
        DataError: the split is empty, or the records do not fit the model.
    """
    trained = load_trained(run, which)
    config = run_config(trained.run.path) if trained.run else Config()
    context = setup(dataclasses.replace(config.runtime, **({"device": device} if device else {})))
    records = resolve_records(records, config)
    check_records(records, trained.model.emotions, trained)
    batches = RecordBatches(records, trained.model.inputs, config, context)
    if batches.count(split) == 0:
        raise DataError(f"split {split!r} has no clips in these records; they hold "
                        f"{', '.join(f'{s} ({batches.count(s)})' for s in batches.ids)}")
    predictions = predict_split(trained.build(), batches, split, batch_size or config.train.batch_size, context)
    path = Path(out) if out is not None else trained.run.predictions(split) if trained.run else None
    if path is not None and context.is_main:
        write_predictions(path, batches.ids[split], trained.model.emotions, predictions)
    return EvaluationResult(split=split, emotions=trained.model.emotions, ids=tuple(batches.ids[split]),
                            predictions=predictions, labels=batches.labels(split), path=path, records=records)


def predict_split(network: nn.Cell, batches, split: str, batch_size: int, context: Context,
                  notify: Optional[Callable[[int], None]] = None) -> np.ndarray:
    """What `network` gives for every clip of a split, (N, ...) float32 in the order of the split's ids.

    Args:
        network: takes a batch's inputs; is set to inference mode.
        notify: called with the number of clips done after each batch.
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
    width = batches.labels(split).shape[1]
    mine = np.concatenate(rows) if rows else np.zeros((0, width), np.float32)
    where = np.concatenate(positions) if positions else np.zeros(0, int)
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
