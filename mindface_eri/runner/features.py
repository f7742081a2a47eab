# SPDX-License-Identifier: Apache-2.0
"""Features of a frozen branch, computed once for each split and kept in its run folder.

A file's name carries a fingerprint of the weights and of the records, so features of other weights or other records
are never read by mistake: they are computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config, to_dict
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import Context, setup
from mindface_eri.device.distribute import wait_for_all
from mindface_eri.errors import CheckpointError, DataError
from mindface_eri.files import folder_lock
from mindface_eri.models.explain import FeatureExtractor
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.inference import RecordsLike, check_records, resolve_records
from mindface_eri.runner.run_folder import TrainedModel, load_trained, run_config


def extract_features(run: os.PathLike, records: Optional[RecordsLike] = None, *,
                     splits: Sequence[str] = ("train", "val"), device: Optional[str] = None,
                     notify: Callable[[str], None] = print) -> List[Path]:
    """Computes, or finds again, a trained branch's features of each split.

    Args:
        run: run folder of `eri_visual`, `eri_acoustic` or `eri_features`; its best checkpoint is used.
        records: records or their folder; None takes those the run was trained on.

    Returns:
        One `.npy` file a split, each (N, T, D) float32 in the order of the split's ids.

    Raises:
        CheckpointError: the run is no trained single branch.
        DataError: a split is empty or the records do not fit the branch.
    """
    trained = load_trained(run)
    config = run_config(trained.run.path) if trained.run else Config()
    context = setup(dataclasses.replace(config.runtime, **({"device": device} if device else {})))
    records = resolve_records(records, config)
    return [branch_features(trained, records, split, config, context, notify) for split in splits]


def branch_features(trained: TrainedModel, records: Records, split: str, config: Config, context: Context,
                    notify: Callable[[str], None] = print) -> Path:
    """The file of a branch's features of one split; computed where it is not there yet."""
    modality = {"eri_visual": "visual", "eri_acoustic": "acoustic", "eri_features": "features"}.get(trained.model.name)
    if modality is None:
        raise CheckpointError(f"{trained.path} holds {trained.model.name}; features come from a single branch, "
                              "eri_visual, eri_acoustic or eri_features")
    check_records(records, trained.model.emotions, trained)
    batches = RecordBatches(records, trained.model.inputs, config, context)
    count = batches.count(split)
    if count == 0:
        raise DataError(f"split {split!r} has no clips in these records")
    folder = (trained.run.path if trained.run else trained.path.parent) / "features"
    read = records_hash(records, split, trained.model.features)
    path = folder / f"{split}-{checkpoint_hash(trained.weights)}-{read}.npy"
    shape = (count, trained.model.frames, trained.model.width)
    if not is_valid(path, shape):
        if context.is_main:
            notify(f"features of {count} {split} clips by the {modality} branch -> {path}")
        compute(FeatureExtractor(trained.build()), batches, split, path, shape, context)
    return path


def open_features(path: Path) -> np.ndarray:
    """Features as a memory map: (N, T, D), read as needed."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def is_valid(path: Path, shape: tuple) -> bool:
    """Whether `path` holds whole features of this shape."""
    try:
        found = open_features(path)
    except (OSError, ValueError):
        return False
    return found.shape == shape and found.dtype == np.float32


def records_hash(records: Records, split: str, features: Sequence[str] = ()) -> str:
    """A short fingerprint of what was preprocessed, how, in which order, and of the feature sets that are read."""
    told = {"ids": list(records.ids(split)), "preprocess": to_dict(records.preprocess), "hash": records.hash,
            **{f"features {name}": open_feature_set(records, name).hash for name in features}}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def compute(extractor: nn.Cell, batches: RecordBatches, split: str, path: Path, shape: tuple, context: Context) -> None:
    """Writes what `extractor` makes of a split, an array of `shape`, by one process while the others wait."""
    alone = folder_lock(path.with_name(f".{path.stem}.lock"), "computing the same features")
    temporary = path.with_name(f".{path.name}.part")
    with alone if context.is_main else contextlib.nullcontext():
        try:
            _fill(extractor.set_train(False), batches, split, temporary, shape, context)
            if context.is_main:
                os.replace(temporary, path)
            wait_for_all(context)
        finally:
            if context.is_main:
                temporary.unlink(missing_ok=True)


def _fill(extractor: nn.Cell, batches: RecordBatches, split: str, path: Path, shape: tuple, context: Context) -> None:
    """Each process writes its rows into one file."""
    if context.is_main:
        _reserve(path, shape)
    wait_for_all(context)
    target = np.lib.format.open_memmap(path, mode="r+")
    size = max(1, min(batches.config.train.batch_size, shape[0] // context.world_size))
    for batch in batches.inputs(split, size):
        rows = extractor(*(Tensor(x) for x in batch.inputs)).asnumpy()
        target[batch.positions] = rows[: len(batch.positions)]
    target.flush()
    wait_for_all(context)


def _reserve(path: Path, shape: tuple) -> None:
    """An array file with all its room on the disk: one that is full must say so here, not kill a writer of the map."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.path.getsize(path))
