# SPDX-License-Identifier: Apache-2.0
"""What needs MindSpore says so where it is not installed; tests/st/test_wheel.py runs what does not."""

import os
import re
import subprocess
import sys

import pytest

import mindface_eri
from mindface_eri.cli import main
from mindface_eri.demo import run_demo
from mindface_eri.device import hardware
from mindface_eri.device.hardware import WITH_MINDSPORE, has_mindspore, require_mindspore
from mindface_eri.doctor import _devices
from mindface_eri.errors import MissingDependencyError
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.recipes import recipes_folder

SAID = re.escape(f"needs MindSpore, which a light installation leaves out: {WITH_MINDSPORE}")


@pytest.fixture
def light(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore", None)


def test_mindspore_is_looked_for_and_not_imported(light, monkeypatch):
    assert not has_mindspore()
    with pytest.raises(MissingDependencyError, match=f"^what {SAID}$"):
        require_mindspore("what")
    monkeypatch.setitem(sys.modules, "mindspore", sys)  # a module without a proper spec
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda name: sys)
    assert has_mindspore() and require_mindspore("what") is None


def test_a_public_name_says_which_extra_brings_it():
    code = ("import sys\nsys.modules['mindspore'] = None\nimport mindface_eri\n"
            "mindface_eri.extract_clip, mindface_eri.load_predictor, mindface_eri.preprocess_dataset\n"
            "try: mindface_eri.create_model\n"
            "except mindface_eri.errors.MissingDependencyError as error: print(error)")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(f"mindface_eri.create_model {SAID}\n", run.stdout)


@pytest.mark.parametrize("python, more", [((3, 9), ""), ((3, 12), ""), ((3, 13), ", with Python 3.9 to 3.12")])
def test_the_extra_is_no_cure_where_python_has_no_mindspore(python, more):
    assert hardware._with_mindspore(python).partition(":")[0] == f"pip install 'mindface_eri[train]'{more}"


def test_the_demonstration_says_it_before_minutes_of_drawing(light, tmp_path):
    with pytest.raises(MissingDependencyError, match=f"the demonstration {SAID}"):
        run_demo(tmp_path / "demo", recipes=recipes_folder())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["librosa", "torch"])
def test_a_benchmark_says_which_extra_has_what_it_compares_with(name, monkeypatch, capsys):
    def run(arguments):
        raise ModuleNotFoundError(f"No module named '{name}'", name=f"{name}.feature")

    monkeypatch.setattr("mindface_eri.commands.benchmark.run", run)
    assert main(["benchmark", "features"]) == 1
    said = f"mindface-eri benchmark: error: needs {name}: pip install 'mindface_eri[bench]'\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", ["run.ckpt", "net.mindir"])
def test_only_onnx_files_predict_without_it(light, tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(MissingDependencyError, match=f"{name} {SAID}"):
        load_predictor(tmp_path / name)


def test_a_command_that_needs_it_ends_with_a_sentence(light, monkeypatch, capsys):
    def run(arguments):
        raise ModuleNotFoundError("No module named 'mindspore'", name="mindspore.dataset")

    monkeypatch.setattr("mindface_eri.commands.summary.run", run)
    assert main(["summary"]) == 1
    assert re.fullmatch(f"mindface-eri summary: error: {SAID}\n", capsys.readouterr().err)


@pytest.mark.parametrize("device, status", [
    ("auto", "note"), ("CPU", "note"), ("GPU", "missing"), ("Ascend", "missing")])
def test_doctor_notes_it_and_asks_for_it_where_a_device_is_wanted(light, device, status):
    found, = _devices(device)
    assert (found.status, found.cure) == (status, WITH_MINDSPORE)
    assert found.detail == "none without MindSpore: .onnx files only"


@pytest.mark.parametrize("version, form", [("2.7.2", "python"), ("2.8.0", None), ("2.10.0rc1", None), (None, None)])
def test_old_mindspore_reads_messages_in_the_form_that_it_knows(monkeypatch, tmp_path, version, form):
    monkeypatch.delenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", raising=False)
    (tmp_path / "mindspore").mkdir()
    (tmp_path / "mindspore" / "__init__.py").touch()
    if version:
        (tmp_path / "mindspore" / "version.py").write_text(f"# of 1.2\n__version__ = '{version}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    mindface_eri._admit_old_mindspore()
    assert os.environ.pop("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", None) == form
