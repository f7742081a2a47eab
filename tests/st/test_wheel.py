# SPDX-License-Identifier: Apache-2.0
"""A source distribution has what is tracked, and builds a wheel. From that, without the source tree and without
MindSpore: preprocess, predict from ONNX, recipes, doctor, and what each command says that cannot go on; then an
installation that has MindSpore packs what the light one left."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.records import open_records
from mindface_eri.device.hardware import WITH_MINDSPORE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
sys.modules["mindspore"] = None  # as where it is not installed
import mindface_eri
from mindface_eri.cli import main
print("STATUS", [main(words) for words in json.loads(sys.argv[1])], "of", mindface_eri.__file__)
"""


def tracked():
    """Paths of the repository's files."""
    if not (ROOT / ".git").exists():
        pytest.skip("is itself a source distribution")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, made of a copy: setuptools writes beside what it builds."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "setup.py", "--quiet", "sdist"], cwd=folder, check=True, capture_output=True)
    packed, = (folder / "dist").iterdir()
    return packed


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Where a wheel is installed: what it holds, and nothing else of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", *folder.glob("*.whl")], check=True)
    return folder / "site"


def test_a_source_distribution_has_all_that_the_tests_read(sdist):
    with tarfile.open(sdist) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    assert sorted(set(tracked()) - packed) == [".gitignore"]


def test_the_installed_command_finds_its_recipes(wheel, tmp_path):
    words = [wheel / "bin" / "mindface-eri", "recipes", "copy", "small_both"]
    run = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path,
                         env={**os.environ, "PYTHONPATH": str(wheel)})
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "small_both.yaml").read_bytes() == (ROOT / "configs" / "small_both.yaml").read_bytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A graph with the inputs of the network that the package's recipe of the demonstration makes; sums `present`."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from mindface_eri.config import load_config, to_dict
    from mindface_eri.deploy.sidecar import sidecar_path

    config, helper, kinds = load_config("demo_fusion"), onnx.helper, onnx.TensorProto
    made, size = config.preprocess, config.preprocess.face.size
    inputs = [helper.make_tensor_value_info("frames", kinds.UINT8, ["b", made.frames, size, size, 3]),
              helper.make_tensor_value_info("mfcc", kinds.FLOAT, ["b", made.frames, made.audio.features]),
              helper.make_tensor_value_info("present", kinds.FLOAT, ["b", 2])]
    weight = helper.make_tensor("weight", kinds.FLOAT, [2, 7], [1.0] * 14)
    graph = helper.make_graph([helper.make_node("MatMul", ["present", "weight"], ["sum"]),
                               helper.make_node("Sigmoid", ["sum"], ["intensities"])], "toy", inputs,
                              [helper.make_tensor_value_info("intensities", kinds.FLOAT, ["b", 7])], [weight])
    path = tmp_path_factory.mktemp("model") / "toy.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)]), path)
    sidecar_path(path).write_text(json.dumps({"model": to_dict(config.model), "preprocess": to_dict(made),
                                              "batch": None}))
    return path


def test_what_a_light_installation_does_and_what_it_says_of_the_rest(wheel, model, tmp_path):
    import soundfile

    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.sin(np.arange(8000) * (0.1 + 0.1 * (name == "b"))), 16000)
    (tmp_path / "c.wav").write_text("not a sound")
    (tmp_path / "data_info.csv").write_text("File_ID,Split,Joy\na,train,0.25\nb,val,0.5\nc,val,1\n")
    out = tmp_path / "out"
    words = ["preprocess", str(tmp_path), str(out), "--config", "demo_fusion", "--workers", "1"]
    commands = [
        words, ["predict", str(tmp_path / "a.wav"), "--model", str(model), "--format", "csv"], ["recipes"], ["doctor"],
        ["train", "--config", "demo_fusion", "--data", str(out), "--out", str(tmp_path / "run")],
        ["predict", str(tmp_path / "a.wav"), "--model", str(tmp_path / "a.wav")],
        ["evaluate", str(tmp_path)]]
    run = subprocess.run([sys.executable, "-c", CODE, json.dumps(commands)], capture_output=True, text=True,
                         check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(wheel)}, timeout=300)
    printed, statuses = run.stdout.rsplit("STATUS ", 1)
    assert statuses.strip() == f"[1, 0, 0, 0, 1, 1, 1] of {wheel / 'mindface_eri' / '__init__.py'}", run.stderr
    assert f"2 clips in {out} (0 were there), 1 failed" in printed and "They wait for MindSpore" in printed
    assert "\na,0.731059,0.731059" in printed  # sound alone: sigmoid(1)
    assert "demo_fusion" in printed and "all that the route needs is here, up to training" in printed
    assert "-> pip install 'mindface_eri[train]'" in printed
    assert "c,val,media," in (out / "failures.csv").read_text() and not (out / "dataset.json").exists()
    assert run.stderr.count(f"needs MindSpore, which a light installation leaves out: {WITH_MINDSPORE}") == 3
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).unlink()  # they stay where they were recorded
    assert main([*words, "--resume"]) == 1
    records = open_records(out)
    assert records.ids() == ("a", "b") and records.labels().ravel().tolist() == [0.25, 0.5]
    assert [np.ptp(clip["mfcc"]) > 0 for clip in records.read(records.ids(), ["mfcc"])] == [True, True]
    assert "c,val,media," in (out / "failures.csv").read_text()
