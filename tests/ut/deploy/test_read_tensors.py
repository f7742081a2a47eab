# SPDX-License-Identifier: Apache-2.0
"""Files of named tensors become NumPy arrays: types, wrappings, and what stands in for PyTorch where it is missing."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindface_eri.deploy.convert import read_tensors
from mindface_eri.errors import CheckpointError, MissingDependencyError


def test_floating_point_becomes_float32_and_the_rest_stays(tmp_path):
    tensors = {"a": np.array([0.5, -2], np.float16), "b": np.array([1.5]), "c": np.array([7])}
    save_file(tensors, tmp_path / "in.safetensors")
    read = read_tensors(tmp_path / "in.safetensors")
    assert {name: (value.dtype.name, value.tolist()) for name, value in read.items()} == {
        "a": ("float32", [0.5, -2]), "b": ("float32", [1.5]), "c": ("int64", [7])}


@pytest.mark.parametrize("package, ending, message", [
    ("torch", ".pth", r"reading .pth needs PyTorch: pip install .*or save the weights as .safetensors"),
    ("torch", "", "reading in needs PyTorch"),
    ("safetensors", ".safetensors", r"needs the package safetensors: pip install 'mindface_eri\[convert\]'")])
def test_a_missing_package_is_named(package, ending, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"in{ending}").touch()
    with pytest.raises(MissingDependencyError, match=message):
        read_tensors(tmp_path / f"in{ending}")


class StandIn:
    """A tensor of the stand-in for PyTorch below."""

    def __init__(self, values, dtype):
        self.values, self.dtype = values, dtype

    def detach(self):
        return StandIn(np.array(self.values), self.dtype)

    def to(self, dtype):
        return StandIn(self.values.astype(dtype), dtype)

    def numpy(self):
        return self.values

    def is_floating_point(self):
        return self.dtype.startswith("f")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Reads a .pth file of what is given, by a stand-in for PyTorch that loads as tensors only, or raises."""

    def read(content, version="2.6.0+cpu"):
        def load(path, *, map_location, weights_only):
            assert (path, map_location, weights_only) == (str(tmp_path / "in.pth"), "cpu", True)
            if isinstance(content, Exception):
                raise content
            return content

        module = ModuleType("torch")
        vars(module).update(vars(SimpleNamespace(load=load, Tensor=StandIn, float32="float32", __version__=version)))
        monkeypatch.setitem(sys.modules, "torch", module)
        (tmp_path / "in.pth").touch()
        return read_tensors(tmp_path / "in.pth")

    return read


@pytest.mark.parametrize("wrap", [lambda table: table, lambda table: {"state_dict": table, "epoch": 3},
                                  lambda table: {"iter": 1, "model_state_dict": table},
                                  lambda table: {"model": table, "args": "x"}])
def test_wrappings_are_taken_off_and_only_tensors_kept(wrap, saved):
    three = StandIn([3], "int64")
    read = saved(wrap({"a": StandIn([0.5], "float64"), "n": three, "text": "x", 5: three}))
    assert {name: (value.dtype.name, value.tolist()) for name, value in read.items()} == {
        "a": ("float32", [0.5]), "n": ("int64", [3])}


def test_what_is_no_table_of_tensors(saved):
    with pytest.raises(CheckpointError, match=r"in.pth: holds a list, not a table of named tensors"):
        saved([1, 2])
    with pytest.raises(CheckpointError, match="holds no named tensors"):
        saved({"epoch": 3})
    for error in (RuntimeError("broken zip\nmore"), EOFError("broken zip"), ValueError("broken zip")):
        with pytest.raises(CheckpointError, match=r"weights \(broken zip\); save .* they could run any code"):
            saved(error)


@pytest.mark.parametrize("version, safe", [("2.5.1", False), ("1.13.1+cu117", False), ("2.6.0", True),
                                           ("2.10.0a0", True), ("3.0.0", True)])
def test_only_a_pytorch_that_runs_nothing_of_the_file(version, safe, saved):
    table = {"a": StandIn([0.5], "float64")}
    if safe:
        assert saved(table, version)["a"].tolist() == [0.5]
    else:
        with pytest.raises(MissingDependencyError, match=f"PyTorch {version.split('+')[0]}.*torch>=2.6.*safetensors"):
            saved(table, version)
