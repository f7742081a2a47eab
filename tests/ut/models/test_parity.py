# SPDX-License-Identifier: Apache-2.0
"""Forward values and gradients against the independent PyTorch twin, weights copied across."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.deploy.convert import _relayout, our_name
from mindface_eri.models import (
    AttentionPooling,
    FusionHead,
    PreNormEncoder,
    ResNetStem,
    SpatialEncoder,
    TemmaEncoder,
    TemporalEncoder,
    TransformerEncoder,
    build_network,
)
from mindface_eri.models.row_norm import use_row_norms

torch = pytest.importorskip("torch")
from mindface_eri.benchmark import torch_twin as twin  # noqa: E402

TINY = ModelConfig(frames=6, crop_size=32, mfcc_features=24, stem_width=8, spatial_depth=2, spatial_heads=2, width=16,
                   temporal="plain", tcn_dilations=(1, 2), temporal_depth=2, temporal_heads=4, dropout=0.0, p_both=1.0,
                   emotions=("Amusement", "Anxiety", "Fear"))


def copy_weights(source, target, prefix=""):
    """Random weights (so that no term is zero) into the PyTorch module, and the same into the Cell."""
    generator = torch.Generator().manual_seed(3)
    parameters = {prefix + name: p for name, p in target.parameters_and_names()}
    taken = set()
    for name, tensor in source.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        with torch.no_grad():
            if name.endswith(("running_var", "mfcc_std", "feature_std")):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            else:
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
        ours = our_name(prefix + name)
        parameters[ours].set_data(ms.Tensor(_relayout(ours, tensor.numpy())))
        taken.add(ours)
    assert taken == set(parameters)


def assert_close(ours, theirs, relative, what):
    """Largest difference over the largest value: elementwise ratios would divide by values that happen to be near 0."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    assert np.abs(ours - theirs).max() <= relative * max(1e-3, np.abs(theirs).max()), what


def check_cell(cell, module, inputs, forward, prefix="", train=False, precision=1e-4):
    """Outputs to 1e-5, and the gradients of a random projection with respect to float inputs and all parameters."""
    copy_weights(module, cell, prefix)
    cell.set_train(train)
    module.train(train)
    floats = [array.dtype.kind == "f" for array in inputs]
    tensors = [torch.from_numpy(array).requires_grad_(is_float) for array, is_float in zip(inputs, floats)]
    expected = forward(module, *tensors)
    weights = np.random.default_rng(5).normal(size=expected.shape).astype(np.float32)
    (expected * torch.from_numpy(weights)).sum().backward()

    def objective(*arrays):
        output = cell(*arrays)
        output = output[0] if isinstance(output, tuple) else output
        return (output * ms.Tensor(weights)).sum(), output

    positions = tuple(i for i, is_float in enumerate(floats) if is_float) or None
    trainable = cell.trainable_params()
    grad = ms.value_and_grad(objective, positions, trainable, has_aux=True)
    (_, output), gradients = grad(*(ms.Tensor(array) for array in inputs))
    input_gradients, parameter_gradients = gradients if positions else ((), gradients)
    assert_close(output.asnumpy(), expected.detach(), 1e-5, "forward")
    if not isinstance(input_gradients, tuple):
        input_gradients = (input_gradients,)
    for i, gradient in zip(positions or (), input_gradients):
        assert_close(gradient.asnumpy(), tensors[i].grad, precision, f"gradient of input {i}")
    expected_gradients = {our_name(prefix + name): p.grad for name, p in module.named_parameters()}
    names = {id(p): prefix + name for name, p in cell.parameters_and_names()}
    assert len(parameter_gradients) == len(expected_gradients) == len(trainable)
    largest = max(float(g.abs().max()) for g in expected_gradients.values())
    for parameter, gradient in zip(trainable, parameter_gradients):
        name = names[id(parameter)]
        theirs = _relayout(name, expected_gradients[name].numpy())
        difference = np.abs(gradient.asnumpy() - theirs).max()
        # A bias before batch normalisation or softmax has a true gradient of zero: judged against all gradients.
        assert difference <= precision * max(np.abs(theirs).max(), 1e-2 * largest), (name, difference)


def with_features(config):
    """The configuration, with a feature set where its network takes one."""
    takes = config.name in ("eri_features", "eri_multi_branch")
    return dataclasses.replace(config, features=("fau",), feature_widths=(5,)) if takes else config


def inputs_for(config, clips=3):
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 256, (clips, config.frames, config.crop_size, config.crop_size, 3), dtype=np.uint8)
    mfcc = rng.normal(size=(clips, config.frames, config.mfcc_features)).astype(np.float32)
    present = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0]], np.float32)[:clips, :len(config.modalities)]
    made = {"frames": frames, "mfcc": mfcc, "present": present}
    for features, width in zip(config.features, config.feature_widths):
        made[features] = rng.normal(size=(clips, config.frames, width)).astype(np.float32)
    return [made[which] for which in config.inputs]


@pytest.fixture(autouse=True)
def fixed_weights():
    torch.manual_seed(0)


@pytest.fixture(params=["graph", "pynative"])
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("name, temporal", [
    ("eri_visual", "plain"), ("eri_acoustic", "plain"), ("eri_features", "plain"), ("eri_dual_branch", "plain"),
    ("eri_multi_branch", "plain"), ("eri_acoustic", "temma"), ("eri_dual_branch", "temma")])
def test_network_equals_twin(name, temporal, mode):
    config = with_features(dataclasses.replace(TINY, name=name, temporal=temporal, temporal_dropout=0.0))
    check_cell(build_network(config), twin.build_twin(config), inputs_for(config), lambda m, *x: m(*x),
               precision=1e-5 if (name, temporal) == ("eri_acoustic", "temma") else 1e-4)


def features(*shape):
    return np.random.default_rng(11).normal(size=shape).astype(np.float32)


# name: the Cell, its twin, inputs, and the place in a network that the renaming of weights expects
CELLS = {
    "stem": (lambda: ResNetStem(8), lambda: twin.ResNetStem(8), [features(3, 3, 40, 40)], ""),
    "encoder": (lambda: TransformerEncoder(16, 2, 4), lambda: twin.encoder(16, 2, 4, 4.0, 0.0), [features(3, 7, 16)],
                "x.encoder."),
    "pooling": (lambda: AttentionPooling(12), lambda: twin.AttentionPooling(12), [features(3, 7, 12)], ""),
    "spatial": (lambda: SpatialEncoder(16, 9, 1, 2), lambda: twin.SpatialEncoder(16, 9, SHALLOW),
                [features(4, 16, 3, 3)], "spatial."),
    "temporal": (lambda: TemporalEncoder(24, TINY), lambda: twin.TemporalEncoder(24, TINY), [features(3, 6, 24)],
                 "temporal."),
    "pre-norm": (lambda: PreNormEncoder(16, 2, 4, ffn_ratio=1.5), lambda: twin.encoder(16, 2, 4, 1.5, 0.0, True),
                 [features(3, 7, 16)], "x.encoder."),
    "temma": (lambda: TemmaEncoder(24, TEMMA), lambda: twin.TemmaEncoder(24, TEMMA), [features(3, 6, 24)], "temporal."),
    "temma of one width": (lambda: TemmaEncoder(16, TEMMA), lambda: twin.TemmaEncoder(16, TEMMA),
                           [features(3, 6, 16)], "temporal."),
    "pre-norm on the CPU": (lambda: use_row_norms(PreNormEncoder(16, 2, 4, ffn_ratio=1.5)),
                            lambda: twin.encoder(16, 2, 4, 1.5, 0.0, True), [features(3, 7, 16) + 5], "x.encoder."),
    "encoder on the CPU": (lambda: use_row_norms(TransformerEncoder(16, 2, 4)),
                           lambda: twin.encoder(16, 2, 4, 4.0, 0.0), [features(3, 7, 16)], "x.encoder."),
    "fusion on the CPU": (lambda: use_row_norms(FusionHead(TINY)), lambda: twin.FusionHead(TINY),
                          [features(3, 6, 16), features(3, 6, 16) + 1, np.array([[1, 1], [1, 0], [0, 1]], np.float32)],
                          "fusion."),
    "fusion": (lambda: FusionHead(TINY), lambda: twin.FusionHead(TINY),
               [features(3, 6, 16), features(3, 6, 16) + 1, np.array([[1, 1], [1, 0], [0, 1]], np.float32)], "fusion."),
}
SHALLOW = dataclasses.replace(TINY, spatial_depth=1)
TEMMA = dataclasses.replace(TINY, temporal="temma", temporal_dropout=0.0)


@pytest.mark.parametrize("name", CELLS)
def test_cell_equals_twin(name, mode):
    build, build_twin, inputs, prefix = CELLS[name]
    check_cell(build(), build_twin(), inputs, lambda module, *x: module(*x), prefix,
               precision=1e-5 if "temma" in name else 1e-4)


def test_stem_in_training_equals_twin():
    """Batch statistics, and the running ones that a step leaves behind (PyTorch's keeps the unbiased variance too)."""
    cell, module = ResNetStem(8), twin.ResNetStem(8)
    images = features(4, 3, 32, 32)
    check_cell(cell, module, [images], lambda m, x: m(x), train=True)
    for name, buffer in module.named_buffers():
        if name.startswith("bn1.running"):
            ours = dict(cell.parameters_and_names())[our_name(name)]
            assert_close(ours.asnumpy(), buffer, 1e-4, name)


def test_golden_numbers_are_still_the_twins():
    """Without the variable that MindSpore wants: under it PyTorch's oneDNN gets a gradient of narrow stems wrong."""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    made = subprocess.run([sys.executable, Path(__file__).with_name("make_golden.py")], capture_output=True, text=True,
                          check=False, env=environment)
    assert made.returncode == 0 and "43 arrays agree" in made.stdout, made.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eri_visual", "eri_acoustic", "eri_dual_branch"])
def test_network_of_the_papers_size_equals_twin(name):
    config = ModelConfig(name=name, dropout=0.0, p_both=1.0)
    network, module = build_network(config).set_train(False), twin.build_twin(config).eval()
    copy_weights(module, network)
    inputs = inputs_for(config, clips=2)
    with torch.no_grad():
        expected = module(*map(torch.from_numpy, inputs))
    assert_close(network(*map(ms.Tensor, inputs)).asnumpy(), expected, 1e-5, name)
