# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the package: which file is taken, what is said, and that it tells smiles."""

import importlib.util
import json
import logging
import subprocess
import sys

import numpy as np
import pytest

from mindface_eri.deploy.sidecar import read_sidecar, sidecar_path
from mindface_eri.errors import CheckpointError, MissingDependencyError
from mindface_eri.prediction import default_model as module
from mindface_eri.prediction.default_model import NOTE, default_model
from mindface_eri.prediction.predictor import load_predictor

FOLDER = module._FOLDER
FILES = [FOLDER / f"eri_statistics.{kind}" for kind in ("onnx", "mindir")]


@pytest.fixture
def installed(monkeypatch):
    """`installed(names)`: all else of onnxruntime and MindSpore is not."""
    def only(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in names else None)
    return only


def face(lift=0.0, frames=32, size=100.0, where=(150.0, 160.0), turn=0.0):
    """Landmarks of a plain face (1, frames, 68, 2) whose mouth's corners go up and out until the middle, and back."""
    points = np.zeros((68, 2))
    across = np.linspace(-1, 1, 17)
    points[:17] = np.stack([across, 1.15 - 1.2 * np.abs(across) ** 2.2], 1)  # chin and jaw
    for side, first in ((-1, 17), (1, 22)):
        x = np.linspace(0.82, 0.22, 5) if side < 0 else np.linspace(0.22, 0.82, 5)
        points[first:first + 5] = np.stack([side * x, -0.42 - 0.3 * np.sin(np.pi * (x - 0.1))], 1)
    points[27:31] = np.stack([np.zeros(4), np.linspace(-0.15, 0.3, 4)], 1)
    points[31:36] = np.stack([np.linspace(-0.2, 0.2, 5), [0.36, 0.4, 0.43, 0.4, 0.36]], 1)
    for side, first in ((-1, 36), (1, 42)):
        around = np.pi + np.arange(6) * np.pi / 3
        points[first:first + 6] = np.stack([0.45 * side + 0.17 * np.cos(around), -0.15 + 0.07 * np.sin(around)], 1)
    for first, count, width, height in ((48, 12, 0.4, 0.12), (60, 8, 0.33, 0.03)):
        around = np.pi + np.arange(count) * 2 * np.pi / count
        points[first:first + count] = np.stack([width * np.cos(around), 0.68 + height * np.sin(around)], 1)
    made = np.repeat(points[None], frames, 0)
    strength = lift * np.sin(np.pi * np.linspace(0, 1, frames)) ** 2
    for corner, side in ((48, -1), (54, 1), (60, -1), (64, 1)):
        made[:, corner] += strength[:, None] * (0.17 * side, -0.12)
    for cheek in (49, 53, 59, 55, 61, 63, 67, 65):
        made[:, cheek] += 0.5 * strength[:, None] * np.array([0.17 * np.sign(points[cheek, 0]), -0.12])
    cosine, sine = np.cos(turn), np.sin(turn)
    return (size * made @ [[cosine, sine], [-sine, cosine]] + where)[None].astype(np.float32)


def test_onnx_where_it_runs_and_mindir_elsewhere(installed):
    installed("onnxruntime", "mindspore")
    assert [default_model(device).suffix for device in ("auto", "CPU", "GPU", "Ascend")] == [
        ".onnx", ".onnx", ".mindir", ".mindir"]
    installed("onnxruntime")
    assert default_model().suffix == ".onnx"
    with pytest.raises(MissingDependencyError, match="onnxruntime or MindSpore: pip install"):
        default_model("GPU")
    installed("mindspore")
    assert default_model() == FILES[1]
    installed()
    with pytest.raises(MissingDependencyError):
        default_model()


def test_an_installation_without_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="lacks the model that comes with the package; install it again, or name"):
        load_predictor()


def test_the_files_are_small_one_model_and_what_the_card_says():
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_000_000
    weights = set()
    for file in FILES:
        about = read_sidecar(file)  # its hash is the one that was written
        assert (about.model.inputs, about.model.emotions, about.batch) == (("landmarks",), ("Smile",), None)
        said = json.loads(sidecar_path(file).read_text(encoding="utf-8"))
        assert said["max_difference"] < 1e-6
        weights.add(said["checkpoint"]["weights"])
    assert len(weights) == 1 and f"hash {weights.pop()}" in card
    for words in ("CC BY 4.0", "DeBruine", "10.6084/m9.figshare.5047666", "morph", "not what a person feels"):
        assert words in card
    assert "FILL IN" not in card


def test_it_says_what_it_is_and_no_other_does(caplog):
    pytest.importorskip("onnxruntime")
    with caplog.at_level(logging.WARNING):
        own = load_predictor()
    assert [record.getMessage() for record in caplog.records] == [NOTE] and own.note == NOTE
    assert own.emotions == ("Smile",) and own.model.inputs == ("landmarks",)
    caplog.clear()
    named = load_predictor(FILES[0])
    assert named.note == "" and not caplog.records
    clip = face(0.8)
    assert own.predict_arrays(landmarks=clip) == named.predict_arrays(landmarks=clip)


def test_a_mouth_that_comes_to_smile_is_told_from_one_that_does_not():
    """In any size, place and turn of the picture; onnxruntime and MindSpore alike."""
    pytest.importorskip("onnxruntime")
    clips = np.concatenate([face(0.0), face(0.5), face(1.0), face(1.0, size=40, where=(900, 80), turn=0.4)])
    found = [load_predictor(file, device="CPU").predict_arrays(landmarks=clips)[:, 0] for file in FILES]
    still, half, whole, elsewhere = found[0]
    assert still + 0.3 < half < whole and still < 0.4 and whole > 0.8
    assert elsewhere == pytest.approx(whole, abs=1e-3)
    assert np.allclose(found[0], found[1], atol=1e-6)


CODE = """
import sys
from mindface_eri.prediction.predictor import load_predictor
load_predictor()
print(sorted({"mindspore", "torch", "matplotlib", "onnxruntime"} & set(sys.modules)))
"""


def test_it_is_light():
    pytest.importorskip("onnxruntime")
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout == "['onnxruntime']\n" and run.stderr == f"{NOTE}\n"
