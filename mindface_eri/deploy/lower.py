# SPDX-License-Identifier: Apache-2.0
"""Files of lower precision beside an exported .onnx, each compared with it on clips of one's own before it is kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from mindface_eri.config import Config, ModelConfig
from mindface_eri.datasets.by_person import with_person_statistics
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.datasets.presence import usable
from mindface_eri.datasets.records import Records
from mindface_eri.deploy.backends import OnnxBackend, open_backend, run_batches
from mindface_eri.deploy.lowered import RUNTIMES, Lowered, check_asked, lowered_path
from mindface_eri.deploy.model_card import write_model_card
from mindface_eri.deploy.quantize import write_lowered
from mindface_eri.deploy.sidecar import read_sidecar, sidecar_path
from mindface_eri.errors import DataError, ExportError
from mindface_eri.files import file_hash, folder_lock, write_json
from mindface_eri.metrics import pearson
from mindface_eri.runner.inference import RecordsLike, check_records, resolve_records
from mindface_eri.runner.run_folder import load_trained, run_config
from mindface_eri.version import versions

CLIPS = 64  # of a split, at most: correlations over them are as good as they need be
_FEWEST = 8  # below, a correlation says nothing
_TOGETHER = 8  # clips in one call, as a program may ask


class LoweredFile(NamedTuple):
    """A file of lower precision, the .json that describes it, and what that says."""

    path: Path
    sidecar: Path
    precision: Lowered


def lower(run: Union[str, os.PathLike], file: os.PathLike, kinds: Sequence[str], clips: Optional[RecordsLike] = None, *,
          tolerance: float = 0.05, least_pearson: float = 0.99) -> List[LoweredFile]:
    """Writes files of lower precision beside `file`, the .onnx that `export` made of `run`, and renews the model card.

    Args:
        kinds: some of `lowered.RUNTIMES`.
        clips: records, or their folder, of clips like those to come. All kinds are compared with float32 on their
            split val, eight at once and one by one, and on copies of some that lack a modality; int8-static takes its
            scales from as many of their split train.
        tolerance: the largest difference of an intensity.
        least_pearson: the lowest correlation of an emotion over the clips.

    Raises:
        ConfigError: an unknown kind, no clips, bounds that allow nothing or everything, or bf16 on a processor
            without it.
        DataError: the clips do not fit the network, or are too few.
        ExportError: a file is further from float32 than allowed; it is not kept.
        MissingDependencyError: onnx, or for bf16 OpenVINO, is not installed.
    """
    check_asked(kinds, clips, tolerance, least_pearson)
    file, trained = Path(file), load_trained(run)
    described = read_sidecar(file)
    config = run_config(trained.run.path) if trained.run else Config()
    records = resolve_records(clips, config)
    check_records(records, trained.model.emotions, trained)
    records = with_person_statistics(records, trained.model, config.data.group)
    given = _read(records, described.model, "val")
    inputs = _with_gaps(described.model, given)
    float32 = _Float32(described.model, described.batch, records, inputs,
                       _answers(OnnxBackend(file), inputs, described.batch)[1], len(given[0]))
    with folder_lock(file.parent / ".lock", "another export"):
        written = [_lower_one(file, kind, float32, tolerance, least_pearson) for kind in dict.fromkeys(kinds)]
        write_model_card(file.parent, trained)
    return written


class _Float32(NamedTuple):
    """What a file of lower precision is compared with."""

    model: ModelConfig
    batch: Optional[int]
    records: Records
    inputs: List[np.ndarray]
    answers: np.ndarray  # (N, E)
    clips: int  # the first of the N; the others are copies of some, with gaps


def _lower_one(file: Path, kind: str, float32: _Float32, tolerance: float, least_pearson: float) -> LoweredFile:
    """Writes one file, compares it, and puts it in place."""
    target, work = lowered_path(file, kind), file.parent / f".{file.stem}.{kind}.work"
    calibration = _read(float32.records, float32.model, "train") if kind == "int8-static" else []
    shutil.rmtree(work, ignore_errors=True)  # of an export that was killed
    work.mkdir()
    try:
        made = write_lowered(kind, file, work / "made.onnx", calibration)
        answers = _answers(open_backend(made, runtime=RUNTIMES[kind]), float32.inputs, float32.batch)
        stated = _stated(kind, answers, float32, tolerance, least_pearson, len(calibration[0]) if calibration else 0)
        _check(target, stated)
        sidecar = _describe(file, target, made, stated)
        os.replace(made, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return LoweredFile(target, sidecar, stated)


def _read(records: Records, model: ModelConfig, split: str) -> List[np.ndarray]:
    """The network's inputs for up to `CLIPS` clips, evenly over a split."""
    view, left_out = usable(records, model.inputs, (split,))
    ids = view.ids(split)
    chosen = [ids[i] for i in np.linspace(0, len(ids) - 1, min(CLIPS, len(ids))).round().astype(int)]
    if len(chosen) < _FEWEST:
        said = "".join(f"; {sentence}" for sentence in left_out)
        raise DataError(f"{records.path}: {len(chosen)} clips in split {split!r} say nothing about a network, at least "
                        f"{_FEWEST} are needed{said}")
    rows = create_dataset(view, batch_size=1, columns=model.inputs, ids=chosen, shuffle=False, workers=1)
    rows = list(rows.create_dict_iterator(num_epochs=1, output_numpy=True))
    return [np.concatenate([row[name] for row in rows]) for name in model.inputs]


def _with_gaps(model: ModelConfig, inputs: Sequence[np.ndarray]) -> List[np.ndarray]:
    """With copies of the first clips in which one modality after the other is missing, where the network is told so."""
    if "present" not in model.inputs:
        return list(inputs)
    names = {"visual": ("frames", "landmarks"), "acoustic": ("mfcc", "person")}
    found = dict(zip(model.inputs, ([array] for array in inputs)))
    for column, modality in enumerate(model.modalities):
        for name, parts in found.items():
            copy = parts[0][:_FEWEST].copy()
            if name == "present":
                copy[:, column] = 0
            elif name in names.get(modality, (modality,)):
                copy[:] = 0
            parts.append(copy)
    return [np.concatenate(parts) for parts in found.values()]


def _answers(backend: Any, inputs: Sequence[np.ndarray], batch: Optional[int]) -> np.ndarray:
    """(2, N, E): several clips at once, where scales may be shared, then each alone."""
    alone = [run_batches(backend, [array[i:i + 1] for array in inputs], batch) for i in range(len(inputs[0]))]
    return np.stack([run_batches(backend, inputs, batch or _TOGETHER), np.concatenate(alone)])


def _stated(kind: str, answers: np.ndarray, float32: _Float32, tolerance: float, least_pearson: float,
            calibration_clips: int) -> Lowered:
    """What is said of a file with these answers (2, N, E)."""
    emotions, apart, whole = float32.model.emotions, np.abs(answers - float32.answers), float32.clips
    both = np.zeros((1, len(emotions)))
    if np.isfinite(answers).all():
        both = np.stack([pearson(some[:whole], float32.answers[:whole]) for some in answers])
    return Lowered(kind, whole, float32.records.hash, "val", calibration_clips, float(apart.max()), tolerance,
                   dict(zip(emotions, both.min(axis=0).tolist())), least_pearson,
                   dict(zip(emotions, apart[:, :whole].mean(axis=(0, 1)).tolist())),
                   str(versions().get(RUNTIMES[kind])))


def _check(target: Path, stated: Lowered) -> None:
    worst = min(stated.pearson, key=lambda emotion: stated.pearson[emotion])
    if not stated.max_difference <= stated.tolerance:
        said = f"an intensity by {stated.max_difference:.3f}, the limit is {stated.tolerance:g}"
    elif stated.pearson[worst] < stated.least_pearson:
        said = (f"in the order of clips: Pearson for {worst} is {stated.pearson[worst]:.4f}, the limit is "
                f"{stated.least_pearson:g}")
    else:
        return
    raise ExportError(f"{target}: differs from float32 on {stated.clips} clips: {said}; the file was not kept. Take "
                      "float32 or another kind, or allow more if that serves you (--tolerance, --least-pearson)")


def _describe(file: Path, target: Path, made: Path, stated: Lowered) -> Path:
    """The float32 file's description with what differs."""
    content = json.loads(sidecar_path(file).read_text(encoding="utf-8"))
    content.pop("parts", None)  # which are float32
    content.update(sha256=file_hash(made), max_difference=stated.max_difference, tolerance=stated.tolerance,
                   precision=stated.as_dict(), versions=versions())
    return write_json(sidecar_path(target), content)
