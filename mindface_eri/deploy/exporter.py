# SPDX-License-Identifier: Apache-2.0
"""Checkpoints out of the house: MindIR, ONNX and AIR files that are proven to give the checkpoint's numbers."""

from __future__ import annotations

import functools
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Union

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindface_eri.config import RuntimeConfig
from mindface_eri.deploy.backends import CellBackend, input_shapes
from mindface_eri.deploy.fold import fold_normalisation, spell_for_onnx
from mindface_eri.deploy.mindir_graph import rename
from mindface_eri.deploy.model_card import write_model_card
from mindface_eri.deploy.onnx_graph import polish, traced_batch
from mindface_eri.deploy.parts import KINDS, VECTORS, describe_parts, part_names, part_path, part_shapes
from mindface_eri.deploy.sidecar import preprocess_of, write_sidecar
from mindface_eri.deploy.verify import check_inputs, run_in_fresh_process
from mindface_eri.device.context import computing_on, setup, use_full_float32
from mindface_eri.errors import ConfigError, ExportError
from mindface_eri.files import file_hash, folder_lock, usual_mode
from mindface_eri.models.parts import parts_of
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
           formats: Sequence[str] = ("mindir",), batch: Optional[int] = None, device: str = "auto",
           parts: bool = False) -> ExportReport:
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
        parts: whether to write, beside each file, its part for each frame alone and its part over time, which a
            predictor takes where windows overlap: each frame is then computed once.

    Raises:
        ConfigError: an unknown format, a batch below 1, a device that is not here, or parts of a network that has none
            or of an AIR.
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
    if parts and "air" in formats:
        raise ConfigError("the parts of an AIR could not be run here and compared; export mindir or onnx with parts")
    trained = load_trained(run)
    folder = _out_folder(trained, out_dir)
    with folder_lock(folder / ".lock", "another export"):
        inputs = _inputs(trained)
        network = trained.build()
        if parts and parts_of(network) is None:
            raise ConfigError(f"{trained.model.name} cannot be exported in parts: nothing is known that it does with "
                              "each frame alone; leave parts out")
        expected = CellBackend(network).run(inputs)
        files = [_export_one(trained, folder, kind, batch, inputs, expected, context.device, parts)
                 for kind in dict.fromkeys(formats)]
        return ExportReport([file for several in files for file in several], write_model_card(folder, trained))


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
                expected: np.ndarray, device: str, parts: bool) -> List[ExportedFile]:
    """Writes one file, and perhaps its parts, compares them, and puts them in place."""
    target = folder / f"{trained.model.name}.{kind}"
    work = folder / f".{trained.model.name}.{kind}.work"
    place = "CPU" if kind == "onnx" else device
    shutil.rmtree(work, ignore_errors=True)  # of an export that was killed
    work.mkdir()
    try:
        file = _write(trained, work / target.name, kind, batch)
        pieces = _write_parts(trained, file, kind, batch) if parts else []
        difference, apart = float("nan"), float("nan")
        if kind != "air":
            difference = compare(run_in_fresh_process(file, inputs, batch, place), expected, target)
        if pieces:
            answers = run_in_fresh_process(pieces[0], inputs, batch, place, second=pieces[1])
            apart = compare(answers, expected, part_path(target, KINDS[0]))
        sidecar = write_sidecar(target, trained.model, preprocess_of(trained), batch=batch, difference=difference,
                                tolerance=TOLERANCE, digest=file_hash(file), features=trained.note.get("features", {}),
                                checkpoint={"weights": checkpoint_hash(trained.weights), "note": trained.note},
                                parts=describe_parts(trained.model, target, pieces, batch, apart) if pieces else None)
        for name in KINDS:  # those of an earlier export would not fit
            part_path(target, name).unlink(missing_ok=True)
        for written in (*pieces, file):
            usual_mode(written)  # MindSpore lets only its owner read
            os.replace(written, folder / written.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [ExportedFile(target, sidecar, kind, difference),
            *(ExportedFile(folder / piece.name, sidecar, kind, apart) for piece in pieces)]


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
    model = trained.model
    return _write_graph(trained, _network(trained, kind), functools.partial(input_shapes, model), model.inputs, file,
                        batch)


def _write_parts(trained: TrainedModel, file: Path, kind: str, batch: Optional[int]) -> List[Path]:
    """Writes the graphs of the two parts of the network whose own is `file`."""
    model = trained.model
    return [_write_graph(trained, cell, functools.partial(part_shapes, model, name), part_names(model, name),
                         part_path(file, name), batch, VECTORS if name == KINDS[0] else "intensities")
            for cell, name in zip(parts_of(_network(trained, kind)), KINDS)]


def _network(trained: TrainedModel, kind: str) -> nn.Cell:
    network = fold_normalisation(trained.build())
    return spell_for_onnx(network) if kind == "onnx" else network


def _write_graph(trained: TrainedModel, network: nn.Cell, shapes: Callable[[Optional[int]], list],
                 names: Sequence[str], file: Path, batch: Optional[int], output: str = "intensities") -> Path:
    """Writes the graph of a Cell; `shapes` of a number of clips (None: any) are those of its inputs, called `names`."""
    model, kind = trained.model, file.suffix[1:]
    traced = batch or traced_batch(model.frames)
    if kind == "onnx" or batch:
        arguments = [Tensor(np.zeros(shape, dtype)) for shape, dtype in shapes(traced if kind == "onnx" else batch)]
    else:
        arguments = [Tensor(shape=list(shape), dtype=ms.uint8 if dtype is np.uint8 else ms.float32)
                     for shape, dtype in shapes(None)]
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
        polish(file, dynamic=None if batch else len(arguments[0]), output=output,
               notes={"emotions": ",".join(model.emotions), "model": model.name})
        _name_inputs(file, names)
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
