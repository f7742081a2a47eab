# SPDX-License-Identifier: Apache-2.0
"""Time of inference beside the eager PyTorch twin, and the multiply-adds' own limit."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.benchmark.harness import Row, Timing, find_torch, in_turns, row
from mindface_eri.benchmark.machine import matmul_seconds
from mindface_eri.config import Config, ModelConfig, RuntimeConfig, save_config
from mindface_eri.deploy.backends import CellBackend, OnnxBackend
from mindface_eri.deploy.openvino_backend import OpenVinoBackend
from mindface_eri.deploy.sidecar import infer_preprocess
from mindface_eri.errors import ConfigError, MissingDependencyError
from mindface_eri.models.summary import part_costs
from mindface_eri.threads import cores


def benchmark_infer(model: ModelConfig = ModelConfig(), *, repeats: int = 3, threads: int = cores()) -> List[Row]:  # noqa: B008
    """One clip through a network: the checkpoint in MindSpore, the exported MindIR, ONNX, and the twin.

    Of what is installed, ONNX in lower precision and in OpenVINO too; how far off that is takes a trained network.

    Args:
        repeats: rounds; each runs every contestant once.
        threads: of onnxruntime, OpenVINO and the twin. MindSpore takes its own (`OMP_NUM_THREADS`).
    """
    from mindface_eri.device.context import setup

    setup(RuntimeConfig(threads=threads))
    inputs = clip_inputs(model, 1)
    with tempfile.TemporaryDirectory() as folder:
        contestants = export_all(model, Path(folder), threads)
        if "onnx" in contestants:
            contestants.update(lower_all(model, Path(folder), threads))
        calls = {name: (lambda backend=backend: backend.run(inputs)) for name, backend in contestants.items()}
        twin = twin_network(model, threads)
        times = with_yardsticks(calls, twin and (lambda: twin(inputs)), forward_multiply_adds(model), repeats)
    return [network_row(f"{model.name}, one clip: {name}", name, times) for name in calls]


def forward_multiply_adds(model: ModelConfig, part: str = "") -> float:
    """Of one clip, through the whole network, a single branch, or the fusion head."""
    if part in ("visual", "acoustic"):
        model = dataclasses.replace(model, name=f"eri_{part}")
    costs = part_costs(model)
    return float(costs["fusion"][0] if part == "fusion" else sum(cost[0] for cost in costs.values()))


def with_yardsticks(calls: Dict[str, Callable], twin: Optional[Callable], work: float, repeats: int
                    ) -> Dict[str, Timing]:
    """Times of the calls, of the twin, and of as much work as one large matrix product ("limit")."""
    peaks: List[float] = []
    times, _ = in_turns({**calls, **({"theirs": twin} if twin else {}),
                         "limit": lambda: peaks.append(matmul_seconds(work))}, repeats, warmups=2)
    return {**times, "limit": Timing((min(peaks),))}


def network_row(what: str, name: str, times: Dict[str, Timing], note: str = "") -> Row:
    """The contestant called `name` beside the twin and the limit."""
    chosen = {key: times[key] for key in ("theirs", "limit") if key in times}
    return row(what, {**chosen, "ours": times[name]}, yardstick="eager PyTorch twin", limit="matrix-multiply peak",
               note=note)


def clip_inputs(model: ModelConfig, batch: int) -> List[np.ndarray]:
    """What the network takes, for a batch of clips of random crops and ordinary sound."""
    from mindface_eri.deploy.verify import check_inputs

    made = check_inputs(model)
    chosen = np.arange(batch) % 2  # the two ordinary clips
    return [made[name][chosen] for name in model.inputs]


def export_all(model: ModelConfig, folder: Path, threads: int) -> Dict[str, object]:
    """The same random weights as a checkpoint's predictor, MindIR and, where it can be made, ONNX."""
    import mindspore as ms
    from mindspore import nn

    from mindface_eri.deploy.exporter import export
    from mindface_eri.deploy.fold import fold_normalisation
    from mindface_eri.runner.run_folder import load_trained

    random_run(model, folder)
    files = {file.format: file.path for file in export(folder, formats=formats_here()).files}
    found = {"checkpoint": CellBackend(fold_normalisation(load_trained(folder).build())),
             "mindir": CellBackend(nn.GraphCell(ms.load(str(files["mindir"]))))}
    if "onnx" in files:
        found["onnx"] = OnnxBackend(files["onnx"], threads)
    return found


def random_run(model: ModelConfig, folder: Path) -> None:
    """Makes a run folder of a network with random weights."""
    from mindface_eri.models import build_network
    from mindface_eri.runner.checkpoint import save_checkpoint
    from mindface_eri.runner.run_folder import note_of

    (folder / "checkpoints").mkdir()
    save_checkpoint(folder / "checkpoints" / "best.ckpt", build_network(model, read_stem=False), note_of(model))
    save_config(Config(model=model, preprocess=infer_preprocess(model)), folder / "config.yaml")


def formats_here() -> List[str]:
    """The formats of files that can be written and run where this process is."""
    formats = ["mindir"]
    with contextlib.suppress(ImportError):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

        formats.append("onnx")
    return formats


def lower_all(model: ModelConfig, folder: Path, threads: int) -> Dict[str, object]:
    """The file that `export_all` wrote as ONNX in int8 and, where OpenVINO is installed, in that."""
    from mindface_eri.deploy.quantize import write_lowered

    file, found = folder / "export" / f"{model.name}.onnx", {}
    for kind in ("int8-dynamic", "int8-static"):
        made = write_lowered(kind, file, folder / f"{kind}.onnx", clip_inputs(model, 2))
        found[f"onnx, {kind}"] = OnnxBackend(made, threads)
    for precision in ("f32", "bf16"):
        with contextlib.suppress(MissingDependencyError, ConfigError):  # not installed, or not of this processor
            found[f"openvino, {precision}"] = OpenVinoBackend(file, threads, precision)
    return found


def twin_network(model: ModelConfig, threads: int) -> Optional[Callable[[Sequence[np.ndarray]], np.ndarray]]:
    """The eager twin with random weights, arrays in and intensities out; None without PyTorch."""
    torch = find_torch(threads)
    if torch is None:
        return None
    from mindface_eri.benchmark import torch_twin

    module = torch_twin.build_twin(model).eval()

    def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return module(*map(torch.from_numpy, inputs)).numpy()

    return run
