# SPDX-License-Identifier: Apache-2.0
"""Weights in PyTorch's names and layouts, without PyTorch: every tensor at its place, and the refusals."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindface_eri.config import ModelConfig, to_dict
from mindface_eri.deploy.convert import convert_weights, our_name
from mindface_eri.errors import CheckpointError
from mindface_eri.models import build_network, create_model
from mindface_eri.models.resnet import ResNetStem
from mindface_eri.runner.checkpoint import read_checkpoint
from mindface_eri.runner.run_folder import load_network

NORMS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
WORDS = {".encoder.blocks.": ".encoder.layers.", ".attention.qkv.": ".self_attn.in_proj_",
         ".attention.out.": ".self_attn.out_proj.", "temporal.tcn.convolutions.": "temporal.convs.",
         "temporal.tcn.levels.": "temporal.levels.", ".magnitude": ".parametrizations.weight.original0"}
NORMED = ".parametrizations.weight.original1"  # of a weight-normalised convolution, what its direction is taken from


def torch_name(name):
    """What PyTorch calls one of our parameters."""
    for ours, theirs in WORDS.items():
        name = name.replace(ours, theirs)
    name = name.replace(".product.weight", NORMED if ".levels." in name else ".weight")
    head, _, last = name.rpartition(".")
    return f"{head}.{NORMS.get(last, last)}" if head else name


def random_weights(network, seed=0):
    """Values by our names, no two alike."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=parameter.shape).astype("f") for name, parameter in network.parameters_and_names()}


def as_torch(weights, kernel=3):
    """The same values in PyTorch's names, causal convolutions as (out, in, kernel)."""
    tensors = {}
    for name, value in weights.items():
        if name.endswith(".product.weight"):  # row k * out + o of ours is tap k of output o
            out = len(value) // kernel
            value = np.stack([value[k * out:(k + 1) * out] for k in range(kernel)], axis=-1)
        elif name.endswith(".magnitude"):
            value = value[:, None, None]
        elif name.endswith(".shortcut.weight"):
            value = value[:, :, None]
        tensors[torch_name(name)] = np.ascontiguousarray(value)
    return tensors


def write(folder, tensors):
    save_file(tensors, folder / "in.safetensors")
    return folder / "in.safetensors"


@pytest.mark.parametrize("theirs, ours", [
    ("visual.stem.bn1.running_mean", "visual.stem.bn1.moving_mean"),
    ("stem.layer2.0.downsample.1.running_var", "stem.layer2.0.downsample.1.moving_variance"),
    ("stem.layer2.0.downsample.0.weight", "stem.layer2.0.downsample.0.weight"),
    ("stem.layer1.1.bn2.weight", "stem.layer1.1.bn2.gamma"), ("fusion.norm.bias", "fusion.norm.beta"),
    ("spatial.encoder.layers.3.norm2.bias", "spatial.encoder.blocks.3.norm2.beta"),
    ("spatial.encoder.layers.0.linear1.bias", "spatial.encoder.blocks.0.linear1.bias"),
    ("temporal.encoder.layers.12.self_attn.in_proj_weight", "temporal.encoder.blocks.12.attention.qkv.weight"),
    ("temporal.encoder.layers.1.self_attn.in_proj_bias", "temporal.encoder.blocks.1.attention.qkv.bias"),
    ("acoustic.temporal.encoder.layers.1.self_attn.out_proj.weight",
     "acoustic.temporal.encoder.blocks.1.attention.out.weight"),
    ("acoustic.temporal.convs.10.weight", "acoustic.temporal.tcn.convolutions.10.product.weight"),
    ("temporal.convs.2.bias", "temporal.tcn.convolutions.2.bias"), ("temporal.position", "temporal.position"),
    ("acoustic.mfcc_std", "acoustic.mfcc_std"), ("head.regression.weight", "head.regression.weight")])
def test_names_by_hand(theirs, ours):
    assert our_name(theirs) == ours


FAU = {"features": ("fau",), "feature_widths": (3,)}
TWO = {"features": ("fau", "gaze"), "feature_widths": (3, 5)}


@pytest.mark.parametrize("name, more", [("eri_visual", {}), ("eri_acoustic", {}), ("eri_features", FAU),
                                        ("eri_dual_branch", {}), ("eri_multi_branch", TWO)])
def test_every_tensor_of_a_network_comes_to_its_place(name, more, tiny, tmp_path):
    config = tiny(name, emotions=("Joy", "Fear", "Awe"), **more)
    weights = random_weights(build_network(config))
    tensors = as_torch(weights)
    counted = {f"module.{key}": value for key, value in tensors.items()}
    norm = next(iter(counted)).rpartition(".")[0]
    counted[f"{norm}.num_batches_tracked"] = np.array(5)
    sizes = tiny("eri_visual", emotions=("Joy", "Fear", "Awe"), features=more.get("features", ()))  # name is found
    report = convert_weights(write(tmp_path, counted), tmp_path / "out.ckpt", config=sizes)
    stored, note = read_checkpoint(tmp_path / "out.ckpt")
    assert note == {"model": to_dict(config)}
    assert {key: value.tolist() for key, value in stored.items()} == {k: v.tolist() for k, v in weights.items()}
    assert report.kind == "network" and report.used == {key: torch_name(key) for key in weights}
    assert [left.rpartition(".")[2] for left in report.left] == ["num_batches_tracked"]
    assert report.parameters == sum(value.size for value in weights.values())
    assert (report.source, report.target) == (str(tmp_path / "in.safetensors"), str(tmp_path / "out.ckpt"))
    assert load_network(tmp_path / "out.ckpt")[1] == config  # it fits its network


def test_widths_of_more_than_ten_feature_sets_keep_their_order(tiny, tmp_path):
    names, widths = tuple(f"set{i}" for i in range(11)), tuple(range(2, 13))
    config = tiny("eri_multi_branch", features=names, feature_widths=widths)
    source = write(tmp_path, as_torch(random_weights(build_network(config))))
    convert_weights(source, tmp_path / "out.ckpt", config=tiny(features=names))
    assert read_checkpoint(tmp_path / "out.ckpt")[1]["model"]["feature_widths"] == list(widths)


def test_without_sizes_a_network_is_the_papers(tiny, tmp_path):
    source = write(tmp_path, as_torch(random_weights(build_network(tiny("eri_acoustic")))))
    with pytest.raises(CheckpointError, match=r"in.safetensors: \d+ of the \d+ tensors that eri_acoustic needs are "
                                              r"missing: temporal.tcn.convolutions.2.bias, .* \.\.\.; this is another"):
        convert_weights(source, tmp_path / "out.ckpt")
    small = ModelConfig(name="eri_acoustic")
    convert_weights(write(tmp_path, as_torch(random_weights(build_network(small)))), tmp_path / "out.ckpt")
    assert load_network(tmp_path / "out.ckpt")[1] == small


@pytest.fixture(scope="module")
def stem():
    """A stem of ResNet-18's form with random values, by our names."""
    return random_weights(ResNetStem(8), seed=1)


def torchvision(stem):
    """With torchvision's names, a fourth stage and a classifier."""
    return {**as_torch(stem), "bn1.num_batches_tracked": np.array(3), "layer4.0.conv1.weight": np.zeros(2, "f"),
            "fc.weight": np.zeros(2, "f")}


def dan(stem):
    """With DAN's names, a fourth stage and a head."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    renamed = {re.sub(r"^\w+", lambda found: f"features.{places[found[0]]}", key): value
               for key, value in as_torch(stem).items()}
    return {**renamed, "features.7.0.conv1.weight": np.zeros(2, "f"), "cat_head0.sa.weight": np.zeros(2, "f")}


@pytest.mark.parametrize("naming, left", [
    (torchvision, ["bn1.num_batches_tracked", "fc.weight", "layer4.0.conv1.weight"]),
    (dan, ["cat_head0.sa.weight", "features.7.0.conv1.weight"])])
def test_a_stem_starts_a_network(naming, left, stem, tiny, tmp_path):
    tensors = naming(stem)
    report = convert_weights(write(tmp_path, tensors), tmp_path / "out.ckpt")
    stored, note = read_checkpoint(tmp_path / "out.ckpt")
    assert note == {} and report.kind == "stem" and report.left == left
    assert {key: value.tolist() for key, value in stored.items()} == {f"stem.{k}": v.tolist() for k, v in stem.items()}
    assert set(report.used.values()) == set(tensors) - set(left)
    assert report.used["stem.layer3.0.downsample.1.moving_mean"].endswith("0.downsample.1.running_mean")
    sizes = {key: value for key, value in to_dict(tiny("eri_visual")).items() if key not in ("name", "emotions")}
    network = create_model("eri_visual", **{**sizes, "stem_checkpoint": str(tmp_path / "out.ckpt")})
    assert (network.stem.layer2[0].conv2.weight.asnumpy() == stem["layer2.0.conv2.weight"]).all()


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("layer3.1.bn2.running_var"), r"in.safetensors: 1 of the 75 tensors that the stem needs are "
     "missing: stem.layer3.1.bn2.moving_variance; this is another network"),
    (lambda w: [w.pop(f"layer3.1.{k}") for k in ("conv1.weight", "conv2.weight", "bn1.weight", "bn1.bias")],
     r"4 of the 75 [^.]*: (stem.layer3.1.[a-z0-9.]+(, )?){4}; this"),
    (lambda w: w.update({"layer2.0.conv1.weight": np.zeros((3, 3), "f")}),
     r"stem.layer2.0.conv1.weight has shape \(3, 3\), the stem needs \(16, 8, 3, 3\); this is another network"),
    (lambda w: w.pop("conv1.weight"), r"neither torchvision's .* its names begin (bn1.\w+, ){3}bn1.\w+$"),
    (lambda w: w.update({"conv1.weight": np.zeros((8, 1, 7, 7), "f")}),
     r"the first convolution is \(8, 1, 7, 7\), ResNet-18's is \(64, 3, 7, 7\)"),
    (lambda w: w.update({"conv1.weight": np.zeros((8, 3, 7, 5), "f")}), r"first convolution is \(8, 3, 7, 5\)"),
    (lambda w: w.update({"conv1.weight": np.zeros(8, "f")}), r"first convolution is \(8,\)"),
    (lambda w: w.update({"layer1.2.conv1.weight": np.zeros((8, 8, 3, 3), "f")}),  # ResNet-34's third block
     "1 tensors for which the stem has no place: stem.layer1.2.conv1.weight; this is another network")])
def test_another_stem_is_refused(change, message, stem, tmp_path):
    tensors = as_torch(stem)
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        convert_weights(write(tmp_path, tensors), tmp_path / "out.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


def test_another_network_is_refused(tiny, tmp_path):
    deep, shallow = tiny("eri_acoustic", temporal_depth=2), tiny("eri_acoustic")
    source = write(tmp_path, as_torch(random_weights(build_network(deep))))
    with pytest.raises(CheckpointError, match=r"12 tensors for which eri_acoustic has no place: temporal.encoder.blocks"
                                              r".1.*, .*, .*, .* \.\.\.; this is another network"):
        convert_weights(source, tmp_path / "out.ckpt", config=shallow)
    with pytest.raises(CheckpointError, match=r"mfcc_mean has shape \(12,\), eri_acoustic needs \(6,\)"):
        convert_weights(source, tmp_path / "out.ckpt", config=tiny("eri_acoustic", temporal_depth=2, mfcc_features=6))


def test_files_that_are_none(tmp_path, stem):
    source = write(tmp_path, as_torch(stem))
    with pytest.raises(CheckpointError, match=r"out.npz: the target must end in .ckpt"):
        convert_weights(source, tmp_path / "out.npz")
    with pytest.raises(CheckpointError, match=r"gone.pth: no such file"):
        convert_weights(tmp_path / "gone.pth", tmp_path / "out.ckpt")
    with pytest.raises(CheckpointError, match=r"in.safetensors: holds no named tensors; give a file saved"):
        convert_weights(write(tmp_path, {}), tmp_path / "out.ckpt")
    source.write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match=r"in.safetensors: cannot be read as safetensors \(.*save it again"):
        convert_weights(source, tmp_path / "out.ckpt")
