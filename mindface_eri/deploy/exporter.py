# SPDX-License-Identifier: Apache-2.0
"""Checkpoints out of the house: MindIR, ONNX and AIR files that are proven to give the checkpoint's numbers."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindface_eri.config import RuntimeConfig
from mindface_eri.deploy.backends import CellBackend, input_shapes
from mindface_eri.deploy.fold import fold_normalisation, spell_for_onnx
from mindface_eri.deploy.mindir_graph import rename
from mindface_eri.deploy.model_card import write_model_card
from mindface_eri.deploy.onnx_graph import polish, traced_batch
from mindface_eri.deploy.sidecar import preprocess_of, write_sidecar
from mindface_eri.deploy.verify import check_inputs, run_in_fresh_process
from mindface_eri.device.context import computing_on, setup, use_full_float32
from mindface_eri.errors import ConfigError, ExportError
from mindface_eri.files import file_hash, folder_lock, usual_mode
from mindface_eri.runner.checkpoint import checkpoint_hash
from mindface_eri.runner.run_folder import TrainedModel, load_trained

FORMATS = ("mindir", "onnx", "air")
TOLERANCE = 1e-5  # largest difference from the checkpoint's intensities that is let out of the house


@dataclass(frozen=True)
class ExportedFile:
    """One file, the .json that describes it, and how far its intensities are from the checkpoint's, at most."""

    path: Path
    sidecar: Path
    format: str
    max_difference: float  # NaN for AIR, which only an Ascend runtime can run


@dataclass(frozen=True)
class ExportReport:
    """What `export` wrote."""

    files: List[ExportedFile]
    card: Path  # MODEL_CARD.md beside them


def export(run: Union[str, os.PathLike], out_dir: Union[str, os.PathLike, None] = None, *,
           formats: Sequence[str] = ("mindir",), batch: Optional[int] = None, device: str = "auto") -> ExportReport:
    """Exports a run folder's best checkpoint, or a .ckpt file, and proves the files.

    Each file is run by a fresh process on clips in the real range and at its edges (each modality absent, both absent,
    black, white), all at once and one by one, and compared with the checkpoint element by element. MODEL_CARD.md beside
    them says what the model is; parts of it are for people to fill in.

    Args:
        out_dir: folder for the files; None is `export` in the run folder, or beside the .ckpt.
        formats: some of "mindir", "onnx" and "air" (on Ascend only).
        batch: clips per call; None lets the batch axis be of any size.
        device: where the checkpoint's answers, and those of a MindIR, are computed, in full float32; an ONNX runs on
            the processor. "auto" is the processor too, or the device that this process computes on already. The files
            are the same, byte for byte, wherever they are written.

    Raises:
        ConfigError: an unknown format, a batch below 1, or a device that is not here.
        CheckpointError: the checkpoint cannot be used.
        ExportError: a file could not be written or run, or differs by more than `TOLERANCE`; it is not left behind.
        BusyError: another process exports into the folder.
    """
    if not formats or set(formats) - set(FORMATS):
        raise ConfigError(f"formats {', '.join(formats) or 'none'}: choose from {', '.join(FORMATS)}")
    if batch is not None and batch < 1:
        raise ConfigError(f"batch {batch} is below 1; leave it out for a batch of any size")
    context = setup(RuntimeConfig(device=(computing_on() or "CPU") if device == "auto" else device))
    use_full_float32(context.device)  # GPU and Ascend round what they multiply, by more than `TOLERANCE`
    if "air" in formats and context.device != "Ascend":
        raise ExportError(f"AIR files can be written on Ascend only, and this process computes on {context.device}; "
                          "name that device (--device Ascend), or export mindir here and convert it there")
    trained = load_trained(run)
    folder = _out_folder(trained, out_dir)
    with folder_lock(folder / ".lock", "another export"):
        inputs = _inputs(trained)
        expected = CellBackend(trained.build()).run(inputs)
        files = [_export_one(trained, folder, kind, batch, inputs, expected, context.device)
                 for kind in dict.fromkeys(formats)]
        return ExportReport(files, write_model_card(folder, trained))


def _out_folder(trained: TrainedModel, out_dir: Optional[os.PathLike]) -> Path:
    if out_dir is not None:
        return Path(out_dir)
    return trained.run.path / "export" if trained.run else trained.path.parent


def _inputs(trained: TrainedModel) -> List[np.ndarray]:
    """Made-up inputs in the range of real ones, to compare a file with its checkpoint."""
    statistics: Dict[str, List[np.ndarray]] = {}  # by input: mean, deviation
    for kind in ("mean", "std"):
        for name, value in trained.weights.items():
            if re.fullmatch(rf"(acoustic\.)?mfcc_{kind}", name):
                statistics.setdefault("mfcc", []).append(value)
            branch = re.fullmatch(rf"(?:feature_branches\.(\d+)\.)?feature_{kind}", name)
            if branch:
                statistics.setdefault(trained.model.features[int(branch[1] or 0)], []).append(value)
    statistics.update(_of_streams(trained))
    whole = {name: pair for name, pair in statistics.items() if len(pair) == 2}  # a registered network may hold one
    inputs = check_inputs(trained.model, whole)
    return [inputs[name] for name in trained.model.inputs]


def _of_streams(trained: TrainedModel) -> Dict[str, List[np.ndarray]]:
    """Of the network on statistics over time: its mean shape, and of the other inputs what is usual in a clip."""
    found: Dict[str, List[np.ndarray]] = {}
    for number, name in enumerate(trained.model.inputs):
        if name == "landmarks":
            found[name] = [value for key, value in trained.weights.items()
                           if re.fullmatch(r".*\blandmark_(mean|scale)", key)]
        elif f"streams.{number}.statistics_mean" in trained.weights:
            usual = trained.weights[f"streams.{number}.statistics_mean"]  # (6, F): of the mean, of the deviation, ...
            repeated = trained.model.mfcc_stack if name == "mfcc" else 1
            found[name] = [np.tile(usual[0], repeated), np.tile(usual[1], repeated)]
            if name == "mfcc" and trained.model.normalise_by_person:
                found["person"] = [usual, trained.weights[f"streams.{number}.statistics_std"]]
    return found


def _export_one(trained: TrainedModel, folder: Path, kind: str, batch: Optional[int], inputs: Sequence[np.ndarray],
                expected: np.ndarray, device: str) -> ExportedFile:
    """Writes one file, compares it, and puts it in place."""
    target = folder / f"{trained.model.name}.{kind}"
    work = folder / f".{trained.model.name}.{kind}.work"
    shutil.rmtree(work, ignore_errors=True)  # of an export that was killed
    work.mkdir()
    try:
        file = _write(trained, work / target.name, kind, batch)
        difference = float("nan")
        if kind != "air":
            answers = run_in_fresh_process(file, inputs, batch, "CPU" if kind == "onnx" else device)
            difference = compare(answers, expected, target)
        sidecar = write_sidecar(target, trained.model, preprocess_of(trained), batch=batch, difference=difference,
                                tolerance=TOLERANCE, digest=file_hash(file), features=trained.note.get("features", {}),
                                checkpoint={"weights": checkpoint_hash(trained.weights), "note": trained.note})
        usual_mode(file)  # MindSpore lets only its owner read
        os.replace(file, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ExportedFile(target, sidecar, kind, difference)


def compare(answers: np.ndarray, expected: np.ndarray, target: Path, tolerance: float = TOLERANCE) -> float:
    """The largest difference between answers (..., N, E) and the checkpoint's (N, E).

    Raises:
        ExportError: it is above the tolerance, or not a number.
    """
    difference = float(np.abs(answers - expected).max())
    if difference > tolerance or np.isnan(difference):
        clip, emotion = np.unravel_index(np.abs(answers - expected).max(axis=0).argmax(), expected.shape)
        raise ExportError(f"{target}: differs from the checkpoint by {difference:.2e} (check clip {clip}, emotion "
                          f"{emotion}), the limit is {tolerance:.0e}; the file was not kept. Export with another "
                          "MindSpore version, or to another format")
    return difference


def _write(trained: TrainedModel, file: Path, kind: str, batch: Optional[int]) -> Path:
    """Writes the graph in a form of its own."""
    network = fold_normalisation(trained.build())
    model = trained.model
    if kind == "onnx":
        network = spell_for_onnx(network)
        traced = batch or traced_batch(model.frames)
        arguments = [Tensor(np.zeros(shape, dtype)) for shape, dtype in input_shapes(model, traced)]
    elif batch:
        arguments = [Tensor(np.zeros(shape, dtype)) for shape, dtype in input_shapes(model, batch)]
    else:
        arguments = [Tensor(shape=list(shape), dtype=ms.uint8 if dtype is np.uint8 else ms.float32)
                     for shape, dtype in input_shapes(model, None)]
    try:
        ms.export(network, *arguments, file_name=str(file.with_suffix("")), file_format=kind.upper())
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"{file.name}: MindSpore {ms.__version__} could not export it: "
                          f"{str(error).strip().splitlines()[0]}") from None
    if not file.is_file():  # MindSpore puts weights beyond a limit (2 GiB) into a folder beside the graph
        raise ExportError(f"{file.name}: the weights are too large for one file, and only whole files are read back; "
                          "export a smaller network")
    if kind == "mindir":
        rename(file)
    elif kind == "onnx":
        polish(file, dynamic=None if batch else traced, output="intensities",
               notes={"emotions": ",".join(model.emotions), "model": model.name})
        _name_inputs(file, model.inputs)
    return file


def _name_inputs(file: Path, names: Sequence[str]) -> None:
    """MindSpore numbers the inputs of a network that takes any number of feature sets."""
    import onnx

    model = onnx.load(str(file))
    renamed = {value.name: name for value, name in zip(model.graph.input, names) if value.name != name}
    if renamed:
        for value in model.graph.input:
            value.name = renamed.get(value.name, value.name)
        for node in model.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
        onnx.save(model, str(file))
