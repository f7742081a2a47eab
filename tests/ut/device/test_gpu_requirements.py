# SPDX-License-Identifier: Apache-2.0
"""What a card needs, requirement by requirement, and where each library is looked for."""

import ctypes
import importlib.util
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.device import gpu
from mindface_eri.device.hardware import Requirement


class Driver:
    """Answers as libcuda does, for cards of these compute capabilities."""

    def __init__(self, *cards, version=12020, init=0, counted=0):
        self.cards, self.version, self.init, self.counted = cards, version, init, counted

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = self.version

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = len(self.cards)
        return self.counted

    def cuDeviceGetName(self, buffer, size, index):
        buffer.value = b"Card " + b"AB"[index:index + 1]

    def cuDeviceGetAttribute(self, pointer, attribute, index):
        pointer._obj.value = self.cards[index][{75: 0, 76: 1}[attribute]]


class Machine:
    """A loader that opens the files there are, and `system` libraries by their bare name."""

    def __init__(self, root):
        self.driver, self.opened, self.system, self.broken, self.root = Driver((8, 0)), [], set(), {}, root
        for folder, names in gpu.LIBRARIES.items():
            for name in names:
                self.put(f"nvidia/{folder}/lib/{name}")
        for release in ("11.1", "11.6"):
            self.put(f"plugin/libmindspore_gpu.so.{release}")

    def put(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o700)
        return path

    def toolkit(self, release):
        return self.put("own/bin/nvcc", f"#!/bin/sh\necho release {release}, V{release}.1\n").parents[1]

    def open(self, name, mode=None):
        assert mode == ctypes.RTLD_GLOBAL
        if name == "libcuda.so.1" and self.driver:
            return self.driver
        if name in self.broken or not (Path(name).is_file() if os.sep in name else name in self.system):
            raise OSError(self.broken.get(name, f"{name}: no such file"))
        self.opened.append(name)
        return None


@pytest.fixture()
def machine(tmp_path, monkeypatch):
    made = Machine(tmp_path)
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    for name, value in {"PATH": "/nowhere", "CUDA_HOME": "", "CUDA_VISIBLE_DEVICES": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpu, "ctypes", SimpleNamespace(**{**vars(ctypes), "CDLL": made.open}))
    monkeypatch.setattr(gpu, "plugin_folder", lambda: tmp_path / "plugin")
    monkeypatch.setattr(gpu, "_wheel_roots", lambda: [tmp_path / "nvidia"])
    monkeypatch.setattr(gpu, "_toolkit", None)
    return made


def imported(monkeypatch, available):
    """MindSpore stands imported, with a GPU or without."""
    devices = SimpleNamespace(gpu=SimpleNamespace(is_available=lambda: available))
    monkeypatch.setitem(sys.modules, "mindspore", SimpleNamespace(device_context=devices))
    monkeypatch.setitem(sys.modules, "mindspore.device_context", devices)


READY = [Requirement("MindSpore plugin", "for CUDA 11.1 and 11.6"), Requirement("NVIDIA driver", "for CUDA 12.2"),
         Requirement("card 0", "Card A, compute capability 8.0"), Requirement("CUDA libraries", "all open")]


def test_a_whole_machine_is_listed_from_the_plugin_to_its_loading(machine, monkeypatch):
    assert gpu.requirements() == [*READY, Requirement("plugin loads", "MindSpore is not imported yet")]
    imported(monkeypatch, True)
    machine.opened.clear()
    assert gpu.requirements() == [*READY, Requirement("plugin loads", "yes")]
    assert not machine.opened  # they are open already
    imported(monkeypatch, False)
    monkeypatch.setattr(gpu, "load_error", lambda library: f"{library}: no libcufft")
    assert gpu.requirements()[-1] == Requirement(
        "plugin loads", "libmindspore_gpu: no libcufft", "pip install 'mindface_eri[gpu]', and unset "
        "CUDA_HOME and LD_LIBRARY_PATH")
    monkeypatch.setattr(gpu, "load_error", lambda library: "")
    assert gpu.requirements()[-1] == Requirement(
        "plugin loads", "MindSpore was imported before anything could be made ready for it",
        "call mindface_eri.prepare_device() before `import mindspore`")


@pytest.mark.parametrize("card, told, cure", [
    ((5, 9), "5.9, too old: MindSpore's kernels begin with 6.0 (Pascal)", True), ((6, 0), "6.0", False),
    ((8, 9), "8.9", False), ((9, 0), "9.0: its first run is slow, as it compiles MindSpore's kernels", False),
    ((9, 9), "9.9: its first run is slow, as it compiles MindSpore's kernels", False),
    ((10, 0), "10.0, too new: cuDNN and cuBLAS for CUDA 11 end with 9.0 (Hopper)", True)])
def test_each_card_is_judged_by_its_capability(machine, card, told, cure):
    machine.driver = Driver((7, 5), card)
    found = [requirement for requirement in gpu.requirements() if requirement.name.startswith("card")]
    assert found == [Requirement("card 0", "Card A, compute capability 7.5"), Requirement(
        "card 1", f"Card B, compute capability {told}", "use a card of compute capability 6.0 to 9.0; "
        "CUDA_VISIBLE_DEVICES can hide card 1" if cure else "")]


@pytest.mark.parametrize("driver, told", [
    (None, [("NVIDIA driver", "not found (libcuda.so.1)")]),
    (object(), [("NVIDIA driver", "libcuda.so.1 is there but does not answer as a driver does")]),
    (Driver((8, 0), version=10020), [("NVIDIA driver", "for CUDA 10.2, too old: MindSpore needs one for CUDA 11.0 or "
                                                       "later")]),
    (Driver((8, 0), version=11000), [("NVIDIA driver", "for CUDA 11.0"), ("card 0", "Card A, compute capability 8.0")]),
    (Driver((8, 0), init=3), [("NVIDIA driver", "for CUDA 12.2"), ("card", "the driver offers none (its error 3)")]),
    (Driver((8, 0), counted=5), [("NVIDIA driver", "for CUDA 12.2"), ("card", "the driver offers none (its error 5)")]),
    (Driver(), [("NVIDIA driver", "for CUDA 12.2"), ("card", "the driver offers none (its error 0)")])])
def test_what_the_driver_says_is_told(machine, driver, told, monkeypatch):
    machine.driver = driver
    found = [one for one in gpu.requirements() if one.name in ("NVIDIA driver", "card", "card 0")]
    assert [(requirement.name, requirement.detail) for requirement in found] == told
    assert bool(found[-1].cure) == (told[-1][0] != "card 0") and gpu.has_driver() == (driver is not None)
    assert not any(requirement.name == "plugin loads" for requirement in gpu.requirements() if found[-1].cure)
    if told[-1][0] == "card":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        assert [requirement.detail for requirement in gpu.requirements() if requirement.name == "card"] == [
            told[-1][1] + " with CUDA_VISIBLE_DEVICES='7'"]


def test_a_library_comes_from_the_users_toolkit_then_a_wheel_then_the_system(machine, monkeypatch):
    home = machine.toolkit("11.6")
    own = machine.put("own/lib64/libcurand.so.10")
    (machine.root / "nvidia/cufft/lib/libcufft.so.10").unlink()
    machine.system = {"libcufft.so.10", "libcudnn.so.8"}
    assert gpu.missing_libraries(home) == {}
    names = {Path(name).name: name for name in machine.opened}
    assert names["libcurand.so.10"] == str(own) and names["libcufft.so.10"] == "libcufft.so.10"
    assert names["libcudnn.so.8"] == str(machine.root / "nvidia/cudnn/lib/libcudnn.so.8")
    machine.opened.clear()
    gpu.missing_libraries()
    assert str(own) not in machine.opened
    assert [Path(name).name for name in machine.opened] == [
        "libcudart.so.11.0", "libnvrtc.so.11.2", "libcublasLt.so.11", "libcublas.so.11", "libcurand.so.10",
        "libcufft.so.10", "libcusparse.so.11", "libcusolver.so.11", "libcudnn.so.8"]  # each after what it needs
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert gpu.requirements()[3] == Requirement("CUDA libraries", f"all open, CUDA_HOME={home}")


def test_what_does_not_open_is_named_by_its_wheel_with_the_first_reason(machine):
    (machine.root / "nvidia/curand/lib/libcurand.so.10").unlink()
    broken = str(machine.root / "nvidia/cuda_nvrtc/lib/libnvrtc.so.11.2")
    machine.broken = {broken: "libnvrtc: file too short", "libcurand.so.10": "libcurand: not found"}
    assert gpu.missing_libraries() == {"nvidia-cuda-nvrtc-cu11": "libnvrtc: file too short",
                                       "nvidia-curand-cu11": "libcurand: not found"}
    assert gpu.requirements()[3] == Requirement(
        "CUDA libraries", "missing: nvidia-cuda-nvrtc-cu11, nvidia-curand-cu11 (libnvrtc: file too short)",
        "pip install 'mindface_eri[gpu]'")


@pytest.mark.parametrize("release, taken", [("11.0", False), ("11.1", True), ("11.5", True), ("11.10", True),
                                            ("12.1", False), ("10.6", False)])
def test_a_plugin_serves_its_release_and_later_ones_of_the_same_generation(machine, release, taken, monkeypatch):
    home = machine.toolkit(release)
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert gpu.own_toolkit() == ((home, release) if taken else None)
    monkeypatch.setenv("CUDA_HOME", "")
    assert gpu.own_toolkit() is None
    monkeypatch.setenv("PATH", f"{home}/bin")
    assert gpu.own_toolkit() == ((home, release) if taken else None)
    monkeypatch.setattr(gpu, "plugin_folder", lambda: None)
    assert gpu.own_toolkit() is None
    assert gpu.requirements()[0] == Requirement(
        "MindSpore plugin", "none for CUDA 11.6 in this build of MindSpore",
        "install MindSpore's wheel for Linux on x86-64: pip install 'mindspore>=2.7.1,<2.11'")


def test_an_nvcc_that_does_not_answer_is_no_toolkit(machine, monkeypatch):
    home = machine.toolkit("11.6")
    (home / "bin" / "nvcc").chmod(0o600)
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert gpu.own_toolkit() is None


def test_a_toolkit_of_the_user_serves_even_where_a_wheel_is_missing(machine, monkeypatch):
    (machine.root / "nvidia/cufft/lib/libcufft.so.10").unlink()
    home = machine.toolkit("11.6")
    monkeypatch.setenv("CUDA_HOME", str(home))
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == str(home)
    assert "nvidia-cufft-cu11" in gpu.requirements()[3].detail
    machine.put("own/lib64/libcufft.so.10")
    assert gpu.requirements()[3] == Requirement("CUDA libraries", f"all open, CUDA_HOME={home}")


@pytest.fixture()
def quiet():
    """MindSpore's own log, whose filters are put back."""
    log = logging.getLogger(f"ME.mindspore.log.{os.getpid()}")
    kept = list(log.filters)
    log.filters.clear()
    yield log
    log.filters[:] = kept


def test_mindspore_does_not_warn_of_what_ldd_cannot_see(machine, quiet, monkeypatch):
    gpu.prepare()
    said = {name: quiet.filter(logging.LogRecord("x", 30, f"/a/{name}", 1, "said", (), None))
            for name in ("_check_version.py", "context.py")}
    assert not said["_check_version.py"] and said["context.py"]
    quiet.filters.clear()
    monkeypatch.setenv("CUDA_HOME", str(machine.toolkit("11.6")))
    gpu.prepare()
    assert quiet.filters == []  # of the user's own toolkit, its warnings are of use


def test_where_no_folder_takes_programs_nothing_is_promised(machine, monkeypatch):
    monkeypatch.setattr(gpu.os, "access", lambda path, mode: False)
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == ""
    monkeypatch.setattr(gpu.tempfile, "TemporaryDirectory", lambda **_: (_ for _ in ()).throw(OSError("read-only")))
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == ""


def test_a_temporary_folder_that_cannot_be_made_gives_way_to_the_cache_too(machine, monkeypatch, tmp_path):
    true = gpu.tempfile.TemporaryDirectory

    def make(prefix, dir):
        if dir is None:
            raise OSError("read-only")
        return true(prefix=prefix, dir=dir)

    monkeypatch.setattr(gpu.tempfile, "TemporaryDirectory", make)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    gpu.prepare()
    assert Path(os.environ["CUDA_HOME"]).parent == tmp_path


def test_the_cache_is_in_the_home_unless_named(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(gpu.Path, "home", lambda: tmp_path)
    (tmp_path / ".cache").mkdir()
    monkeypatch.setattr(gpu.os, "access", lambda path, mode: tmp_path / ".cache" in Path(path).parents)
    gpu.prepare()
    home = Path(os.environ["CUDA_HOME"])
    assert home.parent == tmp_path / ".cache" and home.name.startswith("mindface_eri_cuda_")


def test_wheels_are_found_in_every_place_of_their_namespace(monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "a"), str(tmp_path / "b")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "nvidia" else None)
    assert gpu._wheel_roots() == [tmp_path / "a", tmp_path / "b"]
    spec.submodule_search_locations = None
    assert gpu._wheel_roots() == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu._wheel_roots() == []
