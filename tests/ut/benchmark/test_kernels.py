# SPDX-License-Identifier: Apache-2.0
"""The kernels of a visual step: all of them, each as it stands in the network, on either side."""

import dataclasses
import io
from types import SimpleNamespace

import pytest

from mindface_eri.benchmark import kernels
from mindface_eri.benchmark.harness import Timing
from mindface_eri.benchmark.kernels import Kernel, benchmark_kernels, kernels_of
from mindface_eri.config import ModelConfig
from mindface_eri.device import context
from mindface_eri.models.summary import part_costs

TOY = ModelConfig(frames=3, crop_size=40, mfcc_features=128, stem_width=8, spatial_depth=2, spatial_heads=2,
                  ffn_ratio=3)


def multiply_adds(kernel):
    """Of one frame."""
    out = -(-kernel.side // kernel.stride) if kernel.size else 1
    return kernel.times * kernel.rows * kernel.inputs * kernel.outputs * max(kernel.size, 1) ** 2 * out ** 2


@pytest.mark.parametrize("model", [ModelConfig(), TOY])
def test_together_they_are_the_stem_and_the_products_of_the_spatial_encoder(model):
    found = kernels_of(model)
    costs = part_costs(dataclasses.replace(model, name="eri_visual"))
    assert sum(multiply_adds(k) for k in found if k.size) * model.frames == costs["stem"][0]
    tokens, width = (-(-model.crop_size // 16)) ** 2, 4 * model.stem_width
    attention = model.spatial_depth * 2 * tokens * tokens * width  # each position with each, twice
    pooling = 2 * tokens * width
    products = sum(multiply_adds(k) for k in found if not k.size)
    assert (products + attention + pooling) * model.frames == costs["spatial"][0]


@pytest.mark.parametrize("kernel", [Kernel("k", 1, 1, 3, 4, 3, 6, 2), Kernel("k", 1, 1, 2, 3, 1, 5, 2),
                                    Kernel("p", 1, 5, 3, 4)])
def test_shapes_are_those_of_a_convolution_or_a_product(kernel, monkeypatch):
    from mindspore import Tensor

    x, w, gradient = kernel.arrays(2)
    if kernel.size:
        assert x.shape == (2, kernel.inputs, kernel.side, kernel.side) and w.shape[2:] == (kernel.size,) * 2
    else:
        assert x.shape == (10, 3) and gradient.shape == (10, 4)
    taken = []
    monkeypatch.setattr(Tensor, "asnumpy", lambda tensor: taken.append(tensor.shape))
    kernels._ours(kernel, 2)()
    assert taken == [w.shape]  # the gradient by the weights, which fits only where x, w and the gradient do


def test_rows_by_hand(monkeypatch):
    started = []

    class Fake:
        def __init__(self, module, *words):
            started.append(words)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            started.append("ended")

    monkeypatch.setattr(kernels, "Contestant", Fake)
    monkeypatch.setattr(kernels, "find_torch", lambda: object())
    monkeypatch.setattr(kernels, "in_turns", lambda calls, repeats, warmups: (
        {name: Timing((seconds,) * repeats) for name, seconds in zip(calls, (2.0, 3.0))}, {}))
    rows = benchmark_kernels(TOY, repeats=2, threads=5)
    assert len(rows) == len(kernels_of(TOY)) and {row.speedup for row in rows} == {1.5}
    assert [words[:4] for words in started[4:6]] == [(1, 6, "ours", 5), (1, 6, "theirs", 5)]
    assert started[6:8] == ["ended"] * 2
    assert (rows[1].what, rows[1].note) == ("3 x 3 convolution, 8 channels, 10 x 10, 6 frames", "4 in a visual step")


def test_a_process_takes_its_kernel(monkeypatch, capsys):
    done = []
    monkeypatch.setattr(context, "setup", lambda config: done.append(config.threads))
    monkeypatch.setattr(kernels, "load_config", lambda path: SimpleNamespace(model=TOY))
    monkeypatch.setattr(kernels, "_ours", lambda kernel, frames: lambda: done.append((kernel.what, frames)))
    monkeypatch.setattr(kernels, "_theirs", lambda kernel, frames, threads: lambda: done.append((frames, threads)))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    kernels._main(1, 6, "ours", 5, "recipe")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    kernels._main(0, 6, "theirs", 4, "recipe")
    assert done == [5, ("3 x 3 convolution, 8 channels, 10 x 10", 6), (6, 4), (6, 4)]
    assert capsys.readouterr().out == "done\n" * 3

