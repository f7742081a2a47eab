# SPDX-License-Identifier: Apache-2.0
"""Time and memory of training steps, beside the eager PyTorch twin and the multiply-adds' own limit.

Run as `python -m mindface_eri.benchmark.training PART BATCH RECIPE` this file takes two steps and ends: what its
process holds is the memory that the part needs. With `ours THREADS` or `twin THREADS` behind, it takes a step of either
whenever it is asked to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.benchmark.harness import Row, find_torch
from mindface_eri.benchmark.networks import clip_inputs, forward_multiply_adds, network_row, with_yardsticks
from mindface_eri.benchmark.processes import Contestant, run_module, take_turns
from mindface_eri.config import Config, ModelConfig, RuntimeConfig, TrainConfig, load_config, save_config, to_dict
from mindface_eri.deploy.sidecar import infer_preprocess
from mindface_eri.threads import cores

# The paper's stages and the option to train all at once, with batches that a small machine can hold.
PARTS = (("acoustic", 64), ("fusion", 64), ("visual", 2), ("end to end", 2))
_WITHOUT_CONVOLUTIONS = ("acoustic", "fusion")


def benchmark_train(parts: Sequence[Tuple[str, int]] = PARTS, *, model: ModelConfig = ModelConfig(),  # noqa: B008
                    repeats: int = 3, threads: int = cores()) -> List[Row]:
    """One training step (forward, backward, Adam) of a branch, of the fusion on cached features, or of all at once.

    The note gives the peak memory of a process that does nothing else, compilation included.

    Args:
        parts: "acoustic", "visual", "fusion" or "end to end", each with its batch size.
    """
    rows = []
    for part, batch in parts:
        # The gradients of a product by both its factors cost twice the product itself.
        work = 3 * batch * forward_multiply_adds(model, part)
        with contextlib.ExitStack() as running:
            recipe = _recipe(Path(running.enter_context(tempfile.TemporaryDirectory())), model)
            ours, twin = (running.enter_context(Contestant(__name__, part, batch, recipe, side, threads))
                          if side == "ours" or find_torch() else None for side in ("ours", "twin"))
            times = with_yardsticks({"ours": ours}, twin, work, repeats)
        peak = f"peak memory {peak_memory(part, batch, model) / 2**20:,.0f} MiB"
        rows.append(network_row(f"training step, {part}, batch {batch}", "ours", times, peak))
    return rows


def peak_memory(part: str, batch: int, model: ModelConfig) -> int:
    """Bytes that a process holds at most while it compiles a training step and takes it twice."""
    with tempfile.TemporaryDirectory() as folder:
        return run_module(__name__, part, batch, _recipe(Path(folder), model)).peak


def _recipe(folder: Path, model: ModelConfig) -> Path:
    save_config(Config(model=model, preprocess=infer_preprocess(model)), folder / "recipe.yaml")
    return folder / "recipe.yaml"


def _training_inputs(part: str, model: ModelConfig, batch: int) -> Tuple[List[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.uniform(size=(batch, len(model.emotions))).astype(np.float32)
    if part != "fusion":
        return clip_inputs(dataclasses.replace(model, name=_network_of(part)), batch), labels
    shape = (batch, model.frames, model.width)
    features = [rng.normal(size=shape).astype(np.float32) for _ in range(2)]
    return [*features, np.ones((batch, 2), np.float32)], labels


def _network_of(part: str) -> str:
    return "eri_dual_branch" if part == "end to end" else f"eri_{part}"


def _our_step(part: str, model: ModelConfig, inputs: Sequence[np.ndarray], labels: np.ndarray) -> Callable:
    """A call that does one training step."""
    from mindspore import Tensor

    from mindface_eri.models import FusionHead, create_model
    from mindface_eri.runner.step import TrainStep

    fields = {**to_dict(model), "stem_checkpoint": None}
    fields.pop("name")
    network = FusionHead(model) if part == "fusion" else create_model(_network_of(part), **fields)
    step = TrainStep(network.set_train(), TrainConfig()).set_train()
    batch = [Tensor(array) for array in (*inputs, labels)]
    return lambda: step(*batch).asnumpy()


def _twin_step(part: str, model: ModelConfig, inputs: Sequence[np.ndarray], labels: np.ndarray, threads: int
               ) -> Callable:
    """A call that does one training step of the twin."""
    torch = find_torch(threads)
    from mindface_eri.benchmark import torch_twin

    module = (torch_twin.FusionHead(model) if part == "fusion"
              else torch_twin.build_twin(dataclasses.replace(model, name=_network_of(part)))).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)
    batch = [torch.from_numpy(array) for array in inputs]
    wanted = torch.from_numpy(labels)

    def run() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(*batch), wanted).backward()
        optimizer.step()

    return run


def _main(part: str, batch: int, recipe: Path, side: str = "ours", threads: Optional[int] = None) -> None:
    """What a process of its own does: steps when its parent says so, or, without threads, two whose memory counts."""
    model = load_config(recipe).model
    inputs, labels = _training_inputs(part, model, batch)
    if side == "twin":
        take_turns(_twin_step(part, model, inputs, labels, threads or cores()))
        return
    from mindface_eri.device.context import compute_without_convolutions, setup

    if part in _WITHOUT_CONVOLUTIONS:
        compute_without_convolutions()
    setup(RuntimeConfig(threads=threads or 0))
    step = _our_step(part, model, inputs, labels)
    if threads is not None:
        take_turns(step)
        return
    for _ in range(2):
        step()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5], *map(int, sys.argv[5:6]))
