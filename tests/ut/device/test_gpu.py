# SPDX-License-Identifier: Apache-2.0
"""A card by pip alone, against folders and a driver made up here: no card, driver or wheel is needed."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri import cli
from mindface_eri.config import RuntimeConfig
from mindface_eri.device import context, gpu
from mindface_eri.device.hardware import Requirement, obstacle
from mindface_eri.errors import ConfigError


class Driver:
    """Answers as libcuda does: a status of 0, and what was asked for through the pointer."""

    def __init__(self, version=12020, cards=((8, 0),), status=0):
        self.version, self.cards, self.status = version, cards, status

    def cuInit(self, flags):
        return self.status

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = len(self.cards)
        return 0

    def cuDeviceGetName(self, buffer, size, index):
        buffer.value = b"Card"
        return 0

    def cuDeviceGetAttribute(self, pointer, attribute, index):
        pointer._obj.value = self.cards[index][{75: 0, 76: 1}[attribute]]
        return 0


class Machine:
    """Wheels in a folder, MindSpore's plugins in another, and a loader that opens what is there."""

    def __init__(self, root: Path) -> None:
        self.driver, self.opened, self.root = Driver(), [], root
        for name in ("libmindspore_gpu.so.11.1", "libmindspore_gpu.so.11.6"):
            self.put(root / "plugin" / name)
        for folder, names in gpu.LIBRARIES.items():
            for name in names:
                self.put(root / "nvidia" / folder / "lib" / name)

    @staticmethod
    def put(path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o700)
        return path

    def toolkit(self, name: str, release: str) -> Path:
        self.put(self.root / name / "bin" / "nvcc",
                 f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.1'\n")
        return self.root / name

    def open(self, name, mode=None):
        if name == "libcuda.so.1" and self.driver:
            return self.driver
        if not (os.sep in name and Path(name).exists()):
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        assert mode == ctypes.RTLD_GLOBAL
        self.opened.append(name)
        return object()


@pytest.fixture()
def machine(tmp_path, monkeypatch):
    """A machine with a driver, all wheels and both plugins, on which MindSpore is not imported yet."""
    made = Machine(tmp_path)
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CUDA_HOME", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "ctypes", SimpleNamespace(**{**vars(ctypes), "CDLL": made.open}))
    monkeypatch.setattr(gpu, "plugin_folder", lambda: tmp_path / "plugin")
    monkeypatch.setattr(gpu, "_wheel_roots", lambda: [tmp_path / "nvidia"])
    monkeypatch.setattr(gpu, "_toolkit", None)
    return made


def ask(home) -> str:
    return subprocess.run([f"{home}/bin/nvcc", "--version"], capture_output=True, text=True, check=True).stdout


def test_with_driver_and_wheels_the_question_is_answered(machine):
    gpu.prepare()
    assert "release 11.6," in ask(os.environ["CUDA_HOME"])
    assert [Path(name).name for name in machine.opened] == [name for names in gpu.LIBRARIES.values() for name in names]
    assert os.stat(os.environ["CUDA_HOME"]).st_mode & 0o777 == 0o700
    assert obstacle(gpu.requirements()) is None


@pytest.mark.parametrize("late", [False, True], ids=["no driver", "MindSpore is imported"])
def test_nothing_is_done_where_it_would_not_help(machine, late, monkeypatch):
    if late:
        monkeypatch.setitem(sys.modules, "mindspore", SimpleNamespace())
    else:
        machine.driver = None
    gpu.prepare()
    assert (os.environ["CUDA_HOME"], machine.opened) == ("", [])


def test_devices_other_than_a_gpu_leave_it_alone(machine):
    for device in ("CPU", "Ascend"):
        context.prepare_device(device)
    assert machine.opened == []
    context.prepare_device("auto")
    assert machine.opened


def test_a_missing_wheel_is_named(machine):
    (machine.root / "nvidia" / "cudnn" / "lib" / "libcudnn.so.8").unlink()
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == ""
    missing = obstacle(gpu.requirements())
    assert "nvidia-cudnn-cu11" in missing.detail
    assert "nvidia-cublas-cu11" not in missing.detail
    assert missing.cure == "pip install 'mindface_eri[gpu]'"


def test_every_library_comes_from_a_wheel_that_the_extra_installs():
    text = (Path(__file__).parents[3] / "setup.py").read_text()
    for folder in gpu.LIBRARIES:
        assert f'"nvidia-{folder.replace("_", "-")}-cu11>=' in text


@pytest.mark.parametrize("release", ["11.6", "11.8"])
def test_a_toolkit_of_the_user_comes_first(machine, release, monkeypatch):
    home = machine.toolkit("own", release)
    own = machine.put(home / "lib64" / "libcudart.so.11.0")
    monkeypatch.setenv("CUDA_HOME", str(home))
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == str(home)
    assert machine.opened[0] == str(own)
    assert machine.opened[-1] == str(machine.root / "nvidia" / "cudnn" / "lib" / "libcudnn.so.8")


def test_an_nvcc_in_path_is_taken_as_a_toolkit(machine, monkeypatch):
    home = machine.toolkit("own", "11.7")
    monkeypatch.setenv("PATH", f"{home}/bin")
    gpu.prepare()
    assert os.environ["CUDA_HOME"] == str(home)


@pytest.mark.parametrize("release", ["10.1", "12.4", "nonsense"])
def test_a_toolkit_that_mindspore_cannot_use_is_passed_over(machine, release, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", str(machine.toolkit("own", release)))
    gpu.prepare()
    assert "release 11.6," in ask(os.environ["CUDA_HOME"])


def test_a_temporary_folder_without_programs_gives_way_to_the_cache(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu.os, "access", lambda path, mode: tmp_path in Path(path).parents)
    gpu.prepare()
    assert Path(os.environ["CUDA_HOME"]).parent == tmp_path


def test_processes_have_toolkits_of_their_own_which_go_with_them():
    code = ("import sys; from mindface_eri.device import gpu; toolkit = gpu._answering_folder(); "
            "print(toolkit.name); sys.stdin.read()")
    running = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for _ in range(3)]
    homes = [process.stdout.readline().strip() for process in running]
    assert len(set(homes)) == 3
    assert all("release 11.6," in ask(home) for home in homes)
    for process in running:
        process.communicate("")
    assert not any(Path(home).exists() for home in homes)


@pytest.mark.parametrize("driver, reason", [
    (None, "libcuda.so.1"), (object(), "does not answer"), (Driver(version=10020), "CUDA 10.2, too old"),
    (Driver(cards=()), "offers none"), (Driver(status=999), "error 999"),
    (Driver(cards=[(5, 2)]), "5.2, too old"), (Driver(cards=[(8, 0), (12, 0)]), "12.0, too new")])
def test_what_stands_between_is_named_with_its_cure(machine, driver, reason):
    machine.driver = driver
    missing = obstacle(gpu.requirements())
    assert reason in missing.detail
    assert missing.cure


def test_a_hidden_card_is_named_as_hidden(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine.driver = Driver(status=100, cards=())
    assert "CUDA_VISIBLE_DEVICES=''" in obstacle(gpu.requirements()).detail


@pytest.mark.parametrize("capability, compiles", [((6, 0), False), ((8, 6), False), ((9, 0), True)])
def test_a_card_in_range_is_taken(machine, capability, compiles):
    machine.driver = Driver(cards=[capability])
    assert obstacle(gpu.requirements()) is None
    assert any("compiles" in requirement.detail for requirement in gpu.requirements()) == compiles


def test_a_build_of_mindspore_without_the_plugin_is_named(machine):
    (machine.root / "plugin" / "libmindspore_gpu.so.11.6").unlink()
    assert obstacle(gpu.requirements()).name == "MindSpore plugin"


MISSING = [Requirement("driver", "not found", "install it")]


@pytest.fixture()
def no_card(monkeypatch):
    """MindSpore that can use the CPU only, and a reason for it."""
    monkeypatch.setattr(context, "available_devices", lambda: {"Ascend": False, "GPU": False, "CPU": True})
    monkeypatch.setattr(gpu, "requirements", lambda: MISSING)
    monkeypatch.setattr(context.ascend, "requirements", lambda: MISSING)


@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_a_device_out_of_reach_is_a_sentence(no_card, device):
    with pytest.raises(ConfigError, match=rf"{device}.*driver: not found; install it.*usable: CPU.*doctor --device"):
        context.setup(RuntimeConfig(device=device))


@pytest.mark.parametrize("device, said", [("auto", True), ("CPU", False)])
def test_an_idle_card_is_said_once_nobody_chose_cpu(no_card, device, said, monkeypatch, caplog):
    monkeypatch.setattr(gpu, "has_driver", lambda: True)
    monkeypatch.setattr(gpu, "prepare", lambda: None)
    assert context.setup(RuntimeConfig(device=device)).device == "CPU"
    assert ("install it" in caplog.text) == said


@pytest.mark.parametrize("arguments, device", [([], "auto"), (["--device", "CPU"], "CPU")])
def test_a_command_makes_its_device_ready_before_it_runs(arguments, device, monkeypatch):
    calls = []
    monkeypatch.setattr(context, "prepare_device", calls.append)
    monkeypatch.setattr("mindface_eri.commands.doctor.run", lambda arguments: calls.append("run"))
    assert cli.main(["doctor", *arguments]) == 0
    assert calls == [device, "run"]


def test_public_names_make_it_ready_before_mindspore_is_imported():
    code = ("import sys; import mindface_eri; from mindface_eri.device import gpu; "
            "gpu.prepare = lambda: print('mindspore' in sys.modules); mindface_eri.create_loss")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
