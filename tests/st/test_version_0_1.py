# SPDX-License-Identifier: Apache-2.0
"""What version 0.1 wrote is read, and gives the numbers that it gave: records, runs, MindIR, ONNX, a clip's answer."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import mindface_eri
from mindface_eri.cli import main

ARCHIVE = Path(__file__).parents[1] / "data" / "version_0_1.tar.xz"
MODELS = {"run": "runs/fusion", "mindir": "runs/fusion/export/eri_dual_branch.mindir",
          "onnx": "runs/fusion/export/eri_dual_branch.onnx"}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder, and what was expected then."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder, json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def arrays():
    """Inputs of the expected intensities: both modalities, the picture alone, the sound alone."""
    random = np.random.default_rng(5)
    return {"frames": random.integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8),
            "mfcc": random.normal(size=(3, 4, 16)).astype(np.float32),
            "present": np.array([[1, 1], [1, 0], [0, 1]], np.float32)}


@pytest.mark.parametrize("kind", MODELS)
def test_intensities_of_arrays_and_of_a_clip(old, arrays, kind):
    folder, expected = old
    predictor = mindface_eri.load_predictor(folder / MODELS[kind])
    np.testing.assert_allclose(predictor.predict_arrays(**arrays), expected[kind]["arrays"], atol=1e-6)
    (row,) = next(predictor.predict([folder / "clip.mp4"])).rows()
    before = {**expected[kind]["rows"][0], "File_ID": "clip"}
    assert list(row) == list(before)
    # Other versions of FFmpeg and dlib may decode and fit a little differently.
    assert [row[name] for name in ("Joy", "Fear")] == pytest.approx([before["Joy"], before["Fear"]], abs=2e-3)


def test_a_run_of_one_branch(old, arrays):
    folder, expected = old
    predictor = mindface_eri.load_predictor(folder / "runs" / "acoustic")
    np.testing.assert_allclose(predictor.predict_arrays(mfcc=arrays["mfcc"]), expected["acoustic"]["arrays"], atol=1e-6)


def test_records_and_their_evaluation(old):
    folder, expected = old
    records = mindface_eri.open_records(folder / "records")
    assert records.hash == expected["records_hash"]
    result = mindface_eri.evaluate(folder / "runs" / "fusion", folder / "records", "train",
                                   out=folder / "predictions.csv")
    assert list(result.ids) == expected["train"]["ids"]
    np.testing.assert_allclose(result.predictions, expected["train"]["predictions"], atol=1e-6)
    np.testing.assert_array_equal(result.labels, np.float32(expected["train"]["labels"]))


def test_a_clip_taken_apart(old):
    folder, expected = old
    config = mindface_eri.load_config(folder / "recipe.yaml")
    assert (config.model.frames, config.model.crop_size, config.model.mfcc_features) == (4, 32, 16)
    clip = mindface_eri.extract_clip(folder / "clip.mp4", config)
    np.testing.assert_allclose(clip.timestamps, expected["clip"]["timestamps"], atol=1e-6)
    np.testing.assert_allclose(clip.boxes, expected["clip"]["boxes"], atol=2.0)  # pixels: it is looked for more often
    np.testing.assert_allclose(clip.mfcc, expected["clip"]["mfcc"], atol=0.5)


def test_its_commands_go_on(old, capsys):
    """`evaluate` on the old run, and `predict` from the old MindIR."""
    folder, _ = old
    assert main(["evaluate", str(folder / "runs/fusion"), "--data", str(folder / "records"), "--split", "train"]) == 0
    assert "| Joy" in capsys.readouterr().out
    assert main(["predict", str(folder / "clip.mp4"), "--model", str(folder / MODELS["mindir"])]) == 0
    assert "| clip" in capsys.readouterr().out
