# SPDX-License-Identifier: Apache-2.0
"""A run over a split and its scores: one correlation over the whole split, whatever the number of processes."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import Config
from mindface_eri.datasets.by_person import WARNING, with_person_statistics
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.datasets.presence import usable
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import setup
from mindface_eri.errors import DataError, ERIError
from mindface_eri.metrics import ccc, pearson
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.inference import RecordsLike, check_records, predict_split, resolve_records
from mindface_eri.runner.run_folder import TrainedModel, load_trained, run_config

LOGGER = logging.getLogger(__name__)


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
    group: Optional[str] = None  # data.group of the run's recipe
    left_out: Tuple[str, ...] = ()  # sentences: which clips of the split lack what the network needs, and a warning

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
        """The challenge's metric: the mean of `pearson` over emotions (paper eq. 10)."""
        return float(self.pearson.mean())

    def by_emotion(self) -> Dict[str, float]:
        """`pearson` by emotion."""
        return dict(zip(self.emotions, self.pearson.tolist()))


def evaluate(run: Union[str, os.PathLike], records: Optional[RecordsLike] = None, split: str = "val", *,
             batch_size: Optional[int] = None, device: Optional[str] = None, which: str = "best",
             out: Optional[Union[str, os.PathLike]] = None) -> EvaluationResult:
    """Predicts a split with a trained run and scores it where labels are known.

    A network that is not told what is `present` has no answer for a clip that lacks its modality: such clips are left
    out, as they are in training.

    Args:
        run: run folder or `.ckpt` file.
        records: records or their folder; None takes those the run was trained on.
        batch_size: clips at a time; None takes the recipe's.
        device: overrides the recipe's.
        which: `best` or `last` checkpoint of a run folder.
        out: table to write; None puts predictions_<split>.csv into the run folder, of other records and of the last
            weights' validation under a name of their own (nowhere for a lone `.ckpt`, or where that folder cannot be
            written to).

    Raises:
        CheckpointError: the run cannot be read.
        DataError: the split is empty, or the records do not fit the model.
    """
    trained = load_trained(run, which)
    config = run_config(trained.run.path) if trained.run else Config()
    context = setup(dataclasses.replace(config.runtime, **({"device": device} if device else {})))
    own, records = records is None, resolve_records(records, config)
    check_records(records, trained.model.emotions, trained)
    records = with_person_statistics(records, trained.model, config.data.group)
    view, left_out = usable(records, trained.model.inputs, (split,))
    batches = RecordBatches(view, trained.model.inputs, config, context)
    if batches.count(split) == 0:
        raise DataError(f"split {split!r} has no clips in these records that {trained.model.name} can use; they hold "
                        f"{', '.join(f'{s} ({batches.count(s)})' for s in batches.ids)}")
    predictions = predict_split(trained.build(), batches, split, batch_size or config.train.batch_size, context)
    path = Path(out) if out is not None else _table(trained, records, split, own)
    if path is not None and context.is_main:
        try:
            write_predictions(path, batches.ids[split], trained.model.emotions, predictions)
        except OSError as error:
            if out is not None or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            LOGGER.warning("%s: %s; the scores are made all the same, without that table", path, error.strerror)
            path = None
    return EvaluationResult(split=split, emotions=trained.model.emotions, ids=tuple(batches.ids[split]),
                            predictions=predictions, labels=batches.labels(split), path=path, records=records,
                            group=config.data.group, left_out=(*left_out, *_warnings(records)))


def _warnings(records: Records) -> Tuple[str, ...]:
    return () if records.by_person is None else (WARNING.format(records.by_person.column),)


def _table(trained: TrainedModel, records: Records, split: str, own: bool) -> Optional[Path]:
    """Where a run's predictions go: what `compare` and the model card take for the run's stays the run's."""
    if trained.run is None:
        return None
    if not own and not _same(records, trained):
        return trained.run.predictions(f"{split}_{records.path.resolve().name}")
    chosen = split != "val" or trained.path.name == "best.ckpt"
    return trained.run.predictions(split if chosen else f"{split}_{trained.path.stem}")


def _same(records: Records, trained: TrainedModel) -> bool:
    """Whether records are those that the run was trained on, as far as these are at hand."""
    try:
        return resolve_records(None, run_config(trained.run.path)).hash == records.hash
    except ERIError:
        return True
