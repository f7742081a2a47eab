# SPDX-License-Identifier: Apache-2.0
"""Time and memory of training steps, beside the eager PyTorch twin and the multiply-adds' own limit.

Run as `python -m mindface_eri.benchmark.training PART BATCH RECIPE` this file takes two steps and ends: what its
process holds is the memory that the part needs.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.benchmark.harness import Row, find_torch
from mindface_eri.benchmark.networks import clip_inputs, forward_multiply_adds, network_row, with_yardsticks
from mindface_eri.benchmark.processes import run_module
from mindface_eri.config import Config, ModelConfig, RuntimeConfig, TrainConfig, load_config, save_config, to_dict
from mindface_eri.deploy.sidecar import infer_preprocess
from mindface_eri.threads import cores

# The paper's stages and the option to train all at once, with batches that a small machine can hold.
PARTS = (("acoustic", 64), ("fusion", 64), ("visual", 2), ("end to end", 2))


def benchmark_train(parts: Sequence[Tuple[str, int]] = PARTS, *, model: ModelConfig = ModelConfig(),  # noqa: B008
                    repeats: int = 3, threads: int = cores()) -> List[Row]:
    """One training step (forward, backward, Adam) of a branch, of the fusion on cached features, or of all at once.

    The note gives the peak memory of a process that does nothing else, compilation included.

    Args:
        parts: "acoustic", "visual", "fusion" or "end to end", each with its batch size.
    """
    from mindface_eri.device.context import setup

    setup(RuntimeConfig(threads=threads))
    rows = []
    for part, batch in parts:
        inputs, labels = _training_inputs(part, model, batch)
        # The gradients of a product by both its factors cost twice the product itself.
        work = 3 * batch * forward_multiply_adds(model, part)
        times = with_yardsticks({"ours": _our_step(part, model, inputs, labels)},
                                _twin_step(part, model, inputs, labels, threads), work, repeats)
        peak = f"peak memory {peak_memory(part, batch, model) / 2**20:,.0f} MiB"
        rows.append(network_row(f"training step, {part}, batch {batch}", "ours", times, peak))
    return rows


def peak_memory(part: str, batch: int, model: ModelConfig) -> int:
    """Bytes that a process holds at most while it compiles a training step and takes it twice."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        save_config(Config(model=model, preprocess=infer_preprocess(model)), recipe)
        return run_module(__name__, part, batch, recipe).peak


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
               ) -> Optional[Callable]:
    """A call that does one training step of the twin, if PyTorch is there."""
    torch = find_torch(threads)
    if torch is None:
        return None
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


def _take_steps(part: str, batch: int, recipe: Path) -> None:
    from mindface_eri.device.context import setup

    setup(RuntimeConfig())
    model = load_config(recipe).model
    step = _our_step(part, model, *_training_inputs(part, model, batch))
    for _ in range(2):
        step()


if __name__ == "__main__":
    _take_steps(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
