# SPDX-License-Identifier: Apache-2.0
"""The PyTorch twin on a stand-in for PyTorch: its names and numbers are our networks', its settings the recipe's."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from mindface_eri.deploy.convert import convert_weights
from mindface_eri.deploy.verify import check_inputs
from mindface_eri.runner.run_folder import load_network

SETS = {"features": ("fau", "gaze"), "feature_widths": (3, 5)}
SIZES = {"crop_size": 40, "tcn_kernel": 2, "tcn_dilations": (1, 2), "temporal_depth": 2, "ffn_ratio": 1.5,
         "frames": 5, "stem_width": 4, "temporal_heads": 4, "dropout": 0.3, "emotions": ("Joy", "Awe", "Fear")}


@pytest.fixture(scope="module")
def library():
    """The stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import numpy_torch

        yield numpy_torch


@pytest.fixture(scope="module")
def twin(library):
    """The twin's module over the stand-in; nobody else sees either."""
    spec = importlib.util.find_spec("mindface_eri.benchmark.torch_twin")
    module = importlib.util.module_from_spec(spec)
    torch, nn = ModuleType("torch"), ModuleType("torch.nn")
    vars(torch).update(vars(library), nn=nn)
    vars(nn).update(vars(library))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch.nn", nn)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name, more", [
    ("eri_visual", {}), ("eri_acoustic", {}), ("eri_features", {"features": ("fau",), "feature_widths": (3,)}),
    ("eri_multi_branch", SETS), ("eri_acoustic", {"temporal": "temma", "temporal_ffn_ratio": 1.5})])
def test_the_twin_gives_our_networks_numbers(name, more, twin, library, tiny, tmp_path, pynative):
    config = tiny(name, **{**SIZES, **more})
    module = twin.build_twin(config).eval()
    for inner in module.modules():  # as a training leaves them
        for of in ("mfcc", "feature"):
            if hasattr(inner, f"{of}_std"):
                getattr(inner, f"{of}_mean")[:] = np.linspace(-1, 2, len(getattr(inner, f"{of}_mean")))
                getattr(inner, f"{of}_std")[:] = np.linspace(0.5, 3, len(getattr(inner, f"{of}_std")))
    weights = {key: np.ascontiguousarray(value) for key, value in module.state_dict().items()}
    save_file(weights, tmp_path / "in.safetensors")
    report = convert_weights(tmp_path / "in.safetensors", tmp_path / "out.ckpt", config=config)
    assert all(left.endswith("num_batches_tracked") for left in report.left)
    network, model = load_network(tmp_path / "out.ckpt")
    assert model == config
    given = check_inputs(config, seed=2)
    given = [given[which][1:4] for which in config.inputs]  # both, no sound, no face
    answer = np.asarray(module(*map(library.tensor, given)))
    ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(network(*map(ms.Tensor, given)).asnumpy(), answer, atol=2e-5)
    assert np.ptp(answer, axis=0).max() > 5e-4 and answer.shape == (3, 3)


def test_settings_reach_every_layer(twin, library, tiny):
    module = twin.build_twin(tiny("eri_multi_branch", **SIZES, **SETS))
    assert isinstance(twin.build_twin(tiny("eri_dual_branch")), type(module))
    fresh = {key.rpartition("_")[2]: set(np.asarray(value).tolist()) for key, value in module.state_dict().items()
             if key.endswith(("mfcc_mean", "mfcc_std", "feature_mean", "feature_std"))}
    assert fresh == {"mean": {0}, "std": {1}}
    dropouts = [inner.p for inner in module.modules() if isinstance(inner, library.Dropout)]
    assert dropouts == [0.3] * (1 + 4 * 3)  # spatial block; per branch: convolutions and two blocks
    heads = [inner.heads for inner in module.modules() if isinstance(inner, library.MultiheadAttention)]
    assert heads == [2] + [4] * 8
    positions = [value for key, value in module.state_dict().items() if key.endswith("position")]
    assert len(positions) == 5 and all(0.005 < np.asarray(value).std() < 0.05 for value in positions)


def test_modality_dropout_by_hand(twin, library, tiny, monkeypatch):
    head = twin.FusionHead(tiny("eri_multi_branch", p_both=0.25, p_visual=0.4, **SETS))
    asked = []
    monkeypatch.setattr(twin.torch, "multinomial", lambda chances, count, replacement: asked.append(
        (np.round(np.asarray(chances, float), 6).tolist(), count)) or library.tensor(np.array([0, 1, 2, 3, 0, 1])))
    monkeypatch.setattr(twin.torch, "rand", lambda *shape: library.tensor(
        np.array([0.3, 0.3, 0.2, 0.3, 0.3, 0.3]).reshape(shape)))
    present = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], "f")
    kept = np.asarray(head.hide(library.tensor(present)))
    assert kept.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert asked == [([0.4, 0.2, 0.2, 0.2], 6)]
    chances = (0.1, 0.2, 0.3, 0.4)
    twin.FusionHead(tiny("eri_multi_branch", p_alone=chances, **SETS)).hide(library.tensor(present))
    assert asked[1][0] == list(chances)


def test_modalities_are_hidden_in_training_only(twin, library, tiny, monkeypatch):
    config = tiny()
    head = twin.FusionHead(config)
    monkeypatch.setattr(head, "hide", lambda present: present * library.tensor(np.array([1.0, 0.0])))
    visual, acoustic = (library.randn(2, 4, 16) for _ in range(2))
    both = library.ones(2, 2)
    alone = np.asarray(head.eval()(visual, acoustic, library.tensor(np.array([[1.0, 0.0]] * 2))))
    assert np.array_equal(np.asarray(head.train()(visual, acoustic, both)), alone)
    assert not np.allclose(np.asarray(head.eval()(visual, acoustic, both)), alone)
