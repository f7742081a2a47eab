"""Time of inference and of training steps beside the eager PyTorch twin, measured in turns in one process.

Ratios to the twin are what travels from machine to machine; they need PyTorch (extra `bench`). Without it the rows
stand without ratios.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.config import Config, ModelConfig, RuntimeConfig, TrainConfig, save_config, to_dict
from mindface_eri.deploy.backends import INPUTS, CellBackend, OnnxBackend

Table = Tuple[List[str], List[list]]
_HEADERS = ["what", "batch", "seconds", "twin's seconds", "ratio"]


def benchmark_infer(model: ModelConfig = ModelConfig(), *, repeats: int = 5, threads: int = 2) -> Table:  # noqa: B008
    """One clip through a network: the checkpoint in MindSpore, the exported MindIR, ONNX, and the twin.

    Args:
        repeats: rounds; each runs every contestant once, and medians are given.
        threads: of onnxruntime and the twin. MindSpore takes its own (`OMP_NUM_THREADS`).

    Returns:
        Headers and rows: what, batch, seconds, the twin's seconds, their ratio (None without PyTorch).
    """
    from mindface_eri.runner.context import setup

    setup(RuntimeConfig(threads=threads))
    inputs = _inputs(model, 1)
    with tempfile.TemporaryDirectory() as folder:
        contestants = _exported(model, Path(folder), threads)
        twin = _twin_inference(model, inputs, threads)
        calls = {name: (lambda backend=backend: backend.run(inputs)) for name, backend in contestants.items()}
        seconds = _in_turns({**calls, **({"twin": twin} if twin else {})}, repeats)
    return _HEADERS, [_row(f"{model.name}: {name}", 1, seconds[name], seconds.get("twin")) for name in calls]


def benchmark_train(parts: Sequence[Tuple[str, int]] = (("acoustic", 64), ("fusion", 64), ("visual", 2)), *,
                    model: ModelConfig = ModelConfig(), repeats: int = 3, threads: int = 2) -> Table:  # noqa: B008
    """One training step (forward, backward, Adam) of a branch alone or of the fusion head on cached features.

    Args:
        parts: "acoustic", "visual" or "fusion", each with its batch size.
    """
    from mindface_eri.runner.context import setup

    setup(RuntimeConfig(threads=threads))
    rows = []
    for part, batch in parts:
        inputs, labels = _training_inputs(part, model, batch)
        calls: Dict[str, Callable] = {"ours": _our_step(part, model, inputs, labels)}
        twin = _twin_step(part, model, inputs, labels, threads)
        if twin:
            calls["twin"] = twin
        seconds = _in_turns(calls, repeats)
        rows.append(_row(f"training step, {part}", batch, seconds["ours"], seconds.get("twin")))
    return _HEADERS, rows


def _in_turns(calls: Dict[str, Callable], repeats: int) -> Dict[str, float]:
    """Median seconds of each call, after two rounds that warm up; turns share the machine's ups and downs."""
    taken: Dict[str, List[float]] = {name: [] for name in calls}
    for turn in range(repeats + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 2:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def _row(what: str, batch: int, ours: float, twins: Optional[float]) -> list:
    return [what, batch, ours, twins, ours / twins if twins else None]


def _inputs(model: ModelConfig, batch: int) -> List[np.ndarray]:
    from mindface_eri.deploy.verify import check_inputs

    width = model.mfcc_features
    made = check_inputs(model, {"mean": np.zeros(width), "std": np.ones(width)})
    chosen = np.arange(batch) % 2  # the two ordinary clips
    return [made[name][chosen] for name in INPUTS[model.name]]


def _exported(model: ModelConfig, folder: Path, threads: int) -> Dict[str, object]:
    """The same random weights as a checkpoint's predictor, MindIR and, where it can be made, ONNX."""
    import mindspore as ms
    from mindspore import nn

    from mindface_eri.deploy.exporter import export
    from mindface_eri.deploy.fold import fold_batch_norm
    from mindface_eri.models import build_network
    from mindface_eri.runner.checkpoint import save_checkpoint
    from mindface_eri.runner.run_folder import load_trained, note_of

    (folder / "checkpoints").mkdir()
    save_checkpoint(folder / "checkpoints" / "best.ckpt", build_network(model, read_stem=False), note_of(model))
    save_config(Config(), folder / "config.yaml")
    formats = ["mindir"]
    with contextlib.suppress(ImportError):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

        formats.append("onnx")
    files = {file.format: file.path for file in export(folder, formats=formats).files}
    found = {"checkpoint": CellBackend(fold_batch_norm(load_trained(folder).build())),
             "mindir": CellBackend(nn.GraphCell(ms.load(str(files["mindir"]))))}
    if "onnx" in files:
        found["onnx"] = OnnxBackend(files["onnx"], threads)
    return found


def _twin_module(threads: int):
    try:
        import torch

        from mindface_eri.deploy import torch_twin
    except ImportError:
        return None, None
    torch.set_num_threads(threads)
    return torch, torch_twin


def _twin_inference(model: ModelConfig, inputs: Sequence[np.ndarray], threads: int) -> Optional[Callable]:
    torch, torch_twin = _twin_module(threads)
    if torch is None:
        return None
    module = torch_twin.build_twin(model).eval()

    def run() -> None:
        with torch.inference_mode():
            module(*map(torch.from_numpy, inputs))

    return run


def _training_inputs(part: str, model: ModelConfig, batch: int) -> Tuple[List[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.uniform(size=(batch, len(model.emotions))).astype(np.float32)
    if part != "fusion":
        return _inputs(dataclasses.replace(model, name=f"eri_{part}"), batch), labels
    shape = (batch, model.frames, model.width)
    features = [rng.normal(size=shape).astype(np.float32) for _ in range(2)]
    return [*features, np.ones((batch, 2), np.float32)], labels


def _our_step(part: str, model: ModelConfig, inputs: Sequence[np.ndarray], labels: np.ndarray) -> Callable:
    from mindspore import Tensor

    from mindface_eri.models import FusionHead, create_model
    from mindface_eri.runner.step import TrainStep

    fields = {**to_dict(model), "stem_checkpoint": None}
    fields.pop("name")
    network = FusionHead(model) if part == "fusion" else create_model(f"eri_{part}", **fields)
    step = TrainStep(network.set_train(), TrainConfig()).set_train()
    batch = [Tensor(array) for array in (*inputs, labels)]
    return lambda: step(*batch).asnumpy()


def _twin_step(part: str, model: ModelConfig, inputs: Sequence[np.ndarray], labels: np.ndarray, threads: int
               ) -> Optional[Callable]:
    torch, torch_twin = _twin_module(threads)
    if torch is None:
        return None
    kinds = {"fusion": torch_twin.FusionHead, "visual": torch_twin.VisualNetwork,
             "acoustic": torch_twin.AcousticNetwork}
    module = kinds[part](model).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)
    batch = [torch.from_numpy(array) for array in inputs]
    wanted = torch.from_numpy(labels)

    def run() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(*batch), wanted).backward()
        optimizer.step()

    return run
