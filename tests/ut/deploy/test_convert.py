# SPDX-License-Identifier: Apache-2.0
"""PyTorch weights to checkpoints: the names understood, the refusals, and the numbers after it."""

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.config import ModelConfig
from mindface_eri.deploy.convert import convert_weights, read_tensors
from mindface_eri.deploy.verify import check_inputs
from mindface_eri.errors import CheckpointError
from mindface_eri.models import create_model
from mindface_eri.runner.run_folder import load_network

torch = pytest.importorskip("torch")
from mindface_eri.benchmark import torch_twin as twin  # noqa: E402

TINY = {"frames": 4, "crop_size": 32, "mfcc_features": 12, "stem_width": 8, "spatial_depth": 1, "spatial_heads": 2,
        "width": 16, "tcn_dilations": (1, 2), "temporal_depth": 1, "temporal_heads": 2}
DAN = {"conv1": "features.0", "bn1": "features.1", "layer1": "features.4", "layer2": "features.5",
       "layer3": "features.6"}


@pytest.fixture(scope="module")
def torchvision_names():
    """A stem with statistics away from 0 and 1, a fourth stage and a classifier, named as torchvision does."""
    torch.manual_seed(0)
    stem = twin.ResNetStem(8)
    for name, buffer in stem.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return stem.eval(), {**stem.state_dict(), "layer4.0.conv1.weight": torch.zeros(2), "fc.weight": torch.zeros(2)}


def as_dan(weights):
    renamed = {f"{DAN.get(name.split('.')[0], 'cat_head0')}.{name.partition('.')[2]}": value
               for name, value in weights.items() if not name.startswith(("layer4", "fc"))}
    return {**renamed, "features.7.0.conv1.weight": torch.zeros(2), "cat_head0.sa.weight": torch.zeros(2)}


WRAPPINGS = {
    "torchvision": lambda weights: weights,
    "dan": as_dan,
    "state_dict": lambda weights: {"state_dict": weights, "epoch": 3},
    "model_state_dict of DAN in parallel": lambda weights: {"model_state_dict": {
        f"module.{name}": value for name, value in as_dan(weights).items()}, "iter": 1},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_stem_equals_its_source(wrapping, torchvision_names, tmp_path):
    stem, weights = torchvision_names
    source, target = tmp_path / "in.pth", tmp_path / "out.ckpt"
    torch.save(WRAPPINGS[wrapping](weights), source)
    report = convert_weights(source, target)
    assert report.kind == "stem"
    assert any("conv1" in name for name in report.left) and not any(name.startswith("conv1") for name in report.left)
    assert report.used["stem.conv1.weight"] in weights or "features.0.weight" in report.used["stem.conv1.weight"]
    network = create_model("eri_visual", stem_checkpoint=str(target), **TINY)
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = stem(torch.from_numpy(images)).numpy()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    answer = network.stem.set_train(False)(ms.Tensor(images)).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    assert np.abs(answer - expected).max() <= 1e-5 * np.abs(expected).max()


def test_safetensors_reads_alike(torchvision_names, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    _, weights = torchvision_names
    safetensors.save_file(dict(weights), tmp_path / "in.safetensors")
    torch.save(weights, tmp_path / "in.pth")
    ours, theirs = read_tensors(tmp_path / "in.safetensors"), read_tensors(tmp_path / "in.pth")
    assert set(ours) == set(theirs) and all((ours[name] == theirs[name]).all() for name in ours)


def test_whole_network(tmp_path):
    config = ModelConfig(name="eri_acoustic", **TINY)
    torch.manual_seed(1)
    module = twin.build_twin(config).eval()
    torch.save(module.state_dict(), tmp_path / "in.pth")
    report = convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt", config=config)
    assert report.kind == "network" and not report.left
    network, model = load_network(tmp_path / "out.ckpt")  # it says itself which network it is
    assert model == config
    mfcc = np.random.default_rng(0).normal(size=(2, 4, 12)).astype(np.float32)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    answer = network(ms.Tensor(mfcc)).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(answer, module(torch.from_numpy(mfcc)).detach().numpy(), atol=1e-6)


SIZES = ["preprocess.frames=4", "preprocess.face.size=32", "preprocess.audio={coefficients: 6, stack: 2}", "model={"
         "frames: 4, crop_size: 32, mfcc_features: 12, stem_width: 8, spatial_depth: 1, spatial_heads: 2, width: 16, "
         "tcn_dilations: [1, 2], temporal_depth: 1, temporal_heads: 2}"]


@pytest.mark.parametrize("more", [{}, {"features": ("fau",), "feature_widths": (3,)}], ids=["two", "three branches"])
def test_a_whole_network_of_any_size_by_its_command(more, tmp_path, capsys):
    name = "eri_multi_branch" if more else "eri_dual_branch"
    config = ModelConfig(name=name, mfcc_stack=2, **TINY, **more)
    module = twin.build_twin(config).eval()
    torch.save(module.state_dict(), tmp_path / "in.pth")
    words = ["convert-weights", str(tmp_path / "in.pth"), str(tmp_path / "out.ckpt")]
    options = [word for size in (*SIZES, *(["model.features=[fau]"] if more else [])) for word in ("--set", size)]
    assert main([*words, *options]) == 0 and "of a network" in capsys.readouterr().out
    network, model = load_network(tmp_path / "out.ckpt")
    assert model == config
    inputs = check_inputs(config, seed=1)
    given = [inputs[which][:2] for which in config.inputs]
    ms.set_context(mode=ms.PYNATIVE_MODE)
    answer = network(*map(ms.Tensor, given)).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    with torch.no_grad():
        np.testing.assert_allclose(answer, module(*map(torch.from_numpy, given)), atol=1e-5)
    status, reason = (2, "model.features is []") if more else (1, "this is another network")  # not the paper's sizes
    assert main(words) == status and reason in capsys.readouterr().err


class Harmful:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_code_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": Harmful(tmp_path / "harm")}, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="could run any code"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt")
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("layer3.1.bn2.running_var"), "1 of the 75 .*missing: stem.layer3.1.bn2.moving_variance"),
    (lambda w: w.update({"layer2.0.conv1.weight": torch.zeros(3, 3)}), r"layer2.0.conv1.weight has shape \(3, 3\)"),
    (lambda w: w.pop("conv1.weight"), "neither torchvision's"),
    (lambda w: w.update({"conv1.weight": torch.zeros(8, 1, 7, 7)}), r"first convolution is \(8, 1, 7, 7\)"),
])
def test_refusals(change, message, torchvision_names, tmp_path):
    weights = dict(torchvision_names[1])
    change(weights)
    torch.save(weights, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match=message):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt")
    assert list(tmp_path.iterdir()) == [tmp_path / "in.pth"]


def test_damaged_files(tmp_path):
    for name in ("in.pth", "in.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(CheckpointError, match=name):
            convert_weights(tmp_path / name, tmp_path / "out.ckpt")
    with pytest.raises(CheckpointError, match="no such file"):
        convert_weights(tmp_path / "none.pth", tmp_path / "out.ckpt")
