# SPDX-License-Identifier: Apache-2.0
"""Features of a frozen branch, computed once for each split and kept in its run folder.

A file's name carries a fingerprint of the weights and of the records, so features of other weights or other records
are never read by mistake: they are computed again. On a Dask cluster (`scheduler`) a task is a batch, the same that
one process would compute, and a file of its own until all are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import Config, to_dict
from mindface_eri.datasets.build.cluster import DaskPool, wait_for_file
from mindface_eri.datasets.build.pool import Reply
from mindface_eri.datasets.feature_sets import open_feature_set
from mindface_eri.datasets.records import Records
from mindface_eri.device.context import Context, setup
from mindface_eri.device.distribute import wait_for_all
from mindface_eri.errors import CheckpointError, ConfigError, DataError, ERIError
from mindface_eri.files import folder_lock, replacing
from mindface_eri.models.explain import FeatureExtractor
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.inference import RecordsLike, check_records, resolve_records
from mindface_eri.runner.run_folder import TrainedModel, load_trained, run_config


def extract_features(run: os.PathLike, records: Optional[RecordsLike] = None, *,
                     splits: Sequence[str] = ("train", "val"), device: Optional[str] = None,
                     notify: Callable[[str], None] = print, scheduler: Optional[str] = None) -> List[Path]:
    """Computes, or finds again, a trained branch's features of each split.

    Args:
        run: run folder of `eri_visual`, `eri_acoustic` or `eri_features`; its best checkpoint is used.
        records: records or their folder; None takes those the run was trained on.
        scheduler: address, or file, of a Dask scheduler, whose workers then compute instead of this process.

    Returns:
        One `.npy` file a split, each (N, T, D) float32 in the order of the split's ids.

    Raises:
        CheckpointError: the run is no trained single branch.
        DataError: a split is empty or the records do not fit the branch.
        ConfigError: opened records for a scheduler's workers, who need their folder; or none of these can be used.
    """
    trained, opened, config, context = _opened(run, records, device)
    compute = None
    if scheduler is not None:
        if isinstance(records, Records):
            raise ConfigError("workers of a scheduler open records themselves: give their folder, not opened records")
        source = _Source(os.fspath(run), None if records is None else os.fspath(records), device)
        compute = functools.partial(_compute_on_cluster, scheduler, source, opened)
    return [branch_features(trained, opened, split, config, context, notify, compute) for split in splits]


def _opened(run: os.PathLike, records: Optional[RecordsLike], device: Optional[str]
            ) -> Tuple[TrainedModel, Records, Config, Context]:
    trained = load_trained(run)
    config = run_config(trained.run.path) if trained.run else Config()
    context = setup(dataclasses.replace(config.runtime, **({"device": device} if device else {})))
    return trained, resolve_records(records, config), config, context


def branch_features(trained: TrainedModel, records: Records, split: str, config: Config, context: Context,
                    notify: Callable[[str], None] = print, compute: Optional[Callable[..., None]] = None) -> Path:
    """The file of a branch's features of one split; computed where it is not there yet, by this process or `compute`.
    """
    modality = {"eri_visual": "visual", "eri_acoustic": "acoustic", "eri_features": "features"}.get(trained.model.name)
    if modality is None:
        raise CheckpointError(f"{trained.path} holds {trained.model.name}; features come from a single branch, "
                              "eri_visual, eri_acoustic or eri_features")
    check_records(records, trained.model.emotions, trained)
    batches = RecordBatches(records, trained.model.inputs, config, context)
    count = batches.count(split)
    if count == 0:
        raise DataError(f"split {split!r} has no clips in these records")
    path = features_path(trained, records, split)
    shape = (count, trained.model.frames, trained.model.width)
    if not is_valid(path, shape):
        if context.is_main:
            notify(f"features of {count} {split} clips by the {modality} branch -> {path}")
        (compute or _compute)(trained, batches, split, path, shape, context)
    return path


def features_path(trained: TrainedModel, records: Records, split: str) -> Path:
    """Where the features of a split lie: the name says of which weights and records they are."""
    folder = (trained.run.path if trained.run else trained.path.parent) / "features"
    read = records_hash(records, split, trained.model.features)
    return folder / f"{split}-{checkpoint_hash(trained.weights)}-{read}.npy"


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


def _compute(trained: TrainedModel, batches: RecordBatches, split: str, path: Path, shape: tuple, context: Context
             ) -> None:
    write_outputs(FeatureExtractor(trained.build()), batches, split, path, shape, context)


def write_outputs(extractor: nn.Cell, batches: RecordBatches, split: str, path: Path, shape: tuple, context: Context
                  ) -> None:
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
    size = _batch_size(batches, shape, context)
    for batch in batches.inputs(split, size):
        rows = extractor(*(Tensor(x) for x in batch.inputs)).asnumpy()
        target[batch.positions] = rows[: len(batch.positions)]
    target.flush()
    wait_for_all(context)


def _batch_size(batches: RecordBatches, shape: tuple, context: Context) -> int:
    return max(1, min(batches.config.train.batch_size, shape[0] // context.world_size))


class _Source(NamedTuple):
    """What a worker opens."""

    run: str
    records: Optional[str]
    device: Optional[str]


class _Task(NamedTuple):
    """A batch of a split, by its positions, for the file `part` of features that will be called `name`."""

    split: str
    positions: range
    size: int  # rows that the network is given, the last ones repeated
    name: str
    part: str


def _compute_on_cluster(scheduler: str, source: _Source, records: Records, _: TrainedModel, batches: RecordBatches,
                        split: str, path: Path, shape: tuple, context: Context) -> None:
    """Writes the features of a split batch by batch, each by some worker; what an earlier run finished stays."""
    size, folder = _batch_size(batches, shape, context), path.with_name(f".{path.stem}.parts")
    tasks = [_Task(split, range(start, min(start + size, shape[0])), size, path.name, str(folder / f"{start:09d}.npy"))
             for start in range(0, shape[0], size)]
    with folder_lock(path.with_name(f".{path.stem}.lock"), "computing the same features"):
        folder.mkdir(parents=True, exist_ok=True)
        left = [task for task in tasks if not is_valid(Path(task.part), (len(task.positions), *shape[1:]))]
        if left:
            pool = DaskPool(scheduler, f"{run_task.__module__}:{run_task.__name__}", source, folder=folder,
                            shared=[Path(source.run), records.path / "dataset.json"])
            try:
                for (state, _, reason), task in zip(pool.map(left), left):
                    if state != "done" or not wait_for_file(Path(task.part)):
                        raise DataError(f"{task.part}: {reason or 'does not show here'}; the same command goes on")
            finally:
                pool.close()
        with replacing(path) as temporary:
            _reserve(temporary, shape)
            target = np.lib.format.open_memmap(temporary, mode="r+")
            for task in tasks:
                target[task.positions.start:task.positions.stop] = np.load(task.part, allow_pickle=False)
            target.flush()
        shutil.rmtree(folder)


def run_task(source: _Source, task: _Task) -> Reply:
    """What a worker's process does; network and records stay in it."""
    try:
        extractor, batches, name = _branch(source, task.split)
        if name != task.name:
            return "fatal", "records", f"a worker has other weights or records there ({name}, not {task.name})"
        [batch] = batches.inputs(task.split, task.size, np.array(task.positions))
        rows = extractor(*(Tensor(x) for x in batch.inputs)).asnumpy()
        with replacing(Path(task.part)) as temporary:
            np.save(temporary, rows[:len(task.positions)].astype(np.float32))
    except (ERIError, OSError) as error:
        return "fatal", "features", str(error)
    return "done", "", ""


@functools.lru_cache(maxsize=2)
def _branch(source: _Source, split: str) -> Tuple[FeatureExtractor, RecordBatches, str]:
    trained, records, config, context = _opened(*source)
    extractor = FeatureExtractor(trained.build()).set_train(False)
    return (extractor, RecordBatches(records, trained.model.inputs, config, context),
            features_path(trained, records, split).name)


def _reserve(path: Path, shape: tuple) -> None:
    """An array file with all its room on the disk: one that is full must say so here, not kill a writer of the map."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.path.getsize(path))
