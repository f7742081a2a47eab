# SPDX-License-Identifier: Apache-2.0
"""What a visual training step is made of: each convolution and matrix product alone, with its gradients.

It says how near a step can come to the twin's on a processor: no network is faster than the kernels below it. Run as
`python -m mindface_eri.benchmark.kernels NUMBER FRAMES SIDE THREADS RECIPE` this file takes one of them in turns.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Callable, List, NamedTuple, Tuple

import numpy as np

from mindface_eri.benchmark.harness import Row, find_torch, in_turns, row
from mindface_eri.benchmark.processes import Contestant, take_turns
from mindface_eri.config import Config, ModelConfig, RuntimeConfig, load_config, save_config
from mindface_eri.deploy.sidecar import infer_preprocess
from mindface_eri.models.resnet import grid_size
from mindface_eri.threads import cores

CLIPS = 2  # of the batch that `benchmark train` gives the visual branch


class Kernel(NamedTuple):
    """A convolution of frames, x (N, C, H, W) by w (O, C, k, k), or, with `size` 0, a product, x (N, C) by w (O, C)."""

    what: str
    times: int  # in a step
    rows: int  # N for each frame of the batch
    inputs: int
    outputs: int
    size: int = 0  # k
    side: int = 0  # H and W
    stride: int = 1

    def arrays(self, frames: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, w and the gradient of what comes out."""
        random, count = np.random.default_rng(0), self.rows * frames
        shapes = [(count, self.inputs), (self.outputs, self.inputs), (count, self.outputs)]
        if self.size:
            out = -(-self.side // self.stride)
            shapes = [(*shape, *more) for shape, more in zip(shapes, (
                (self.side, self.side), (self.size, self.size), (out, out)))]
        return tuple(random.normal(size=shape).astype(np.float32) for shape in shapes)


def kernels_of(model: ModelConfig) -> List[Kernel]:
    """Those of the stem and of the spatial encoder."""
    width, side, grid = model.stem_width, -(-model.crop_size // 4), grid_size(model.crop_size)
    found = [Kernel("7 x 7 convolution of crops", 1, 1, 3, width, 7, model.crop_size, 2)]
    for stage in range(3):
        channels, halved = width * 2 ** stage, -(-side // 2 ** stage)
        name = f"3 x 3 convolution, {channels} channels, {halved} x {halved}"
        if stage:
            found.append(Kernel(f"{name}, from twice as large", 1, 1, channels // 2, channels, 3, 2 * halved, 2))
            found.append(Kernel(f"1 x 1 convolution to {channels} channels", 1, 1, channels // 2, channels, 1,
                                2 * halved, 2))
        found.append(Kernel(name, 3 if stage else 4, 1, channels, channels, 3, halved))
    d, tokens, hidden = 4 * width, grid ** 2, max(1, round(4 * width * model.ffn_ratio))
    for what, inputs, outputs in (("queries, keys and values", d, 3 * d), ("heads joined", d, d),
                                  ("feed-forward, widening", d, hidden), ("feed-forward, narrowing", hidden, d)):
        found.append(Kernel(f"product: {what}", model.spatial_depth, tokens, inputs, outputs))
    return found


def benchmark_kernels(model: ModelConfig = ModelConfig(), *, repeats: int = 3, threads: int = cores()) -> List[Row]:  # noqa: B008
    """Each kernel forward and with both gradients, beside PyTorch's, each side in a process of its own."""
    rows, frames = [], CLIPS * model.frames
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        save_config(Config(model=model, preprocess=infer_preprocess(model)), recipe)
        for number, kernel in enumerate(kernels_of(model)):
            with contextlib.ExitStack() as running:
                sides = {side: running.enter_context(Contestant(__name__, number, frames, side, threads, recipe))
                         for side in ("ours", "theirs") if side == "ours" or find_torch()}
                times, _ = in_turns(sides, repeats, warmups=2)
            rows.append(row(f"{kernel.what}, {frames} frames", times, yardstick="PyTorch's",
                            note=f"{kernel.times} in a visual step" if kernel.times > 1 else "once in a visual step"))
    return rows


def _ours(kernel: Kernel, frames: int) -> Callable:
    """A call that computes the kernel and its gradients in MindSpore."""
    from mindspore import Tensor, nn, ops

    class _Product(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.product = (ops.Conv2D(kernel.outputs, kernel.size, pad_mode="pad", pad=kernel.size // 2,
                                       stride=kernel.stride) if kernel.size else ops.MatMul(transpose_b=True))

        def construct(self, x: Tensor, w: Tensor) -> Tensor:
            return self.product(x, w)

    class _WithGradients(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.forward_pass, self.gradients = _Product(), ops.GradOperation(get_all=True, sens_param=True)

        def construct(self, x: Tensor, w: Tensor, gradient: Tensor) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
            return self.forward_pass(x, w), self.gradients(self.forward_pass)(x, w, gradient)

    cell, arrays = _WithGradients(), [Tensor(array) for array in kernel.arrays(frames)]

    def run() -> None:
        _, (_, of_w) = cell(*arrays)
        of_w.asnumpy()  # it is small, and the last

    return run


def _theirs(kernel: Kernel, frames: int, threads: int) -> Callable:
    """A call that computes them in PyTorch."""
    torch = find_torch(threads)
    x, w, gradient = map(torch.from_numpy, kernel.arrays(frames))
    for tensor in (x, w):
        tensor.requires_grad_()

    def run() -> None:
        out = (torch.nn.functional.conv2d(x, w, stride=kernel.stride, padding=kernel.size // 2) if kernel.size
               else torch.nn.functional.linear(x, w))
        torch.autograd.grad(out, (x, w), gradient)

    return run


def _main(number: int, frames: int, side: str, threads: int, recipe: Path) -> None:
    kernel = kernels_of(load_config(recipe).model)[number]
    if side == "theirs":
        take_turns(_theirs(kernel, frames, threads))
        return
    from mindface_eri.device.context import setup

    setup(RuntimeConfig(threads=threads))
    take_turns(_ours(kernel, frames))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
