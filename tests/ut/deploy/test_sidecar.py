# SPDX-License-Identifier: Apache-2.0
"""The .json beside an exported file: every field of it, what it is read back as, and what is refused."""

import hashlib
import json
import platform

import mindspore
import numpy as np
import pytest

import mindface_eri
from mindface_eri.config import AudioConfig, Config, FaceConfig, PreprocessConfig, save_config, to_dict
from mindface_eri.deploy.sidecar import Sidecar, infer_preprocess, preprocess_of, read_sidecar, write_sidecar
from mindface_eri.errors import CheckpointError
from mindface_eri.files import file_hash
from mindface_eri.runner.run_folder import RunFolder, TrainedModel

PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, margin=0.3), storage="raw",
                              audio=AudioConfig(coefficients=6, stack=2))
FAU = {"columns": ["AU01", "AU02", "AU04"], "time_column": "t", "unit": "ms", "method": "nearest"}
EMOTIONS = ("Joy", "Awe", "Fear")


@pytest.fixture
def write(tmp_path):
    """Writes a file and its description; returns the file and what the description says."""

    def written(model, *, batch=None, difference=2e-7, **more):
        file = tmp_path / f"{model.name}.onnx"
        file.write_bytes(b"a graph")
        path = write_sidecar(file, model, PREPROCESS, batch=batch, difference=difference, tolerance=3e-5,
                             digest=file_hash(file), checkpoint={"weights": "ab12", "note": {"epoch": 3}}, **more)
        assert path == tmp_path / f"{model.name}.onnx.json"
        return file, json.loads(path.read_text(encoding="utf-8"))

    return written


def test_every_field(write, tiny):
    model = tiny("eri_multi_branch", emotions=EMOTIONS, features=("fau", "gaze"), feature_widths=(3, 2))
    file, said = write(model, features={"fau": FAU, "gaze": {**FAU, "columns": ["x", "y"]}})
    other = "per-frame features at the instants of the frames, not normalised; zeros where the clip has none"
    assert said["inputs"] == [
        {"name": "frames", "shape": ["batch", 4, 32, 32, 3], "dtype": "uint8",
         "meaning": "face crops, RGB, 0 to 255, channels last; zeros where no face was found"},
        {"name": "mfcc", "shape": ["batch", 4, 12], "dtype": "float32",
         "meaning": "stacked MFCCs as librosa gives them, not normalised; zeros without sound"},
        {"name": "fau", "shape": ["batch", 4, 3], "dtype": "float32", "meaning": other, "columns": FAU["columns"]},
        {"name": "gaze", "shape": ["batch", 4, 2], "dtype": "float32", "meaning": other, "columns": ["x", "y"]},
        {"name": "present", "shape": ["batch", 4], "dtype": "float32", "meaning": "1 where the clip has the modality, "
         "0 where zeros stand for it; order: visual, acoustic, fau, gaze"}]
    assert said["output"] == {"name": "intensities", "shape": ["batch", 3], "dtype": "float32",
                              "meaning": "intensities in (0, 1), in the order of `emotions`"}
    assert said["emotions"] == list(EMOTIONS) and said["batch"] is None
    assert said["model"] == json.loads(json.dumps(to_dict(model)))
    assert said["preprocess"] == json.loads(json.dumps(to_dict(PREPROCESS)))
    assert said["features"] == {"fau": FAU, "gaze": {**FAU, "columns": ["x", "y"]}}
    assert said["checkpoint"] == {"weights": "ab12", "note": {"epoch": 3}}
    assert said["sha256"] == hashlib.sha256(b"a graph").hexdigest()
    assert (said["max_difference"], said["tolerance"]) == (2e-7, 3e-5)
    assert said["versions"] == {**mindface_eri.versions(), "mindface_eri": mindface_eri.__version__,
                                "mindspore": mindspore.__version__, "numpy": np.__version__,
                                "python": platform.python_version()}
    assert read_sidecar(file) == Sidecar(model, PREPROCESS, None, said["features"])


def test_a_fixed_batch_and_a_difference_that_nobody_measured(write, tiny):
    model = tiny("eri_acoustic", emotions=EMOTIONS)
    file, said = write(model, batch=5, difference=float("nan"))
    assert said["inputs"][0]["shape"] == [5, 4, 12] and said["output"]["shape"] == [5, 3] and said["batch"] == 5
    assert said["max_difference"] is None and said["features"] == {}
    assert read_sidecar(file) == Sidecar(model, PREPROCESS, 5, {})


def test_another_file_than_the_one_described(write, tiny, tmp_path):
    file, said = write(tiny())
    file.write_bytes(b"a grape")
    with pytest.raises(CheckpointError, match="onnx: is not the file that eri_dual_branch.onnx.json describes, or was "
                                              "damaged since; copy both again, or export again"):
        read_sidecar(file)
    del said["sha256"]
    (tmp_path / "eri_dual_branch.onnx.json").write_text(json.dumps(said))  # of a version that wrote none
    assert read_sidecar(file).model == tiny()
    (tmp_path / "eri_dual_branch.onnx.json").unlink()
    with pytest.raises(CheckpointError, match="onnx.json: is missing; keep the .json that the export wrote beside "
                                              "eri_dual_branch.onnx"):
        read_sidecar(file)


@pytest.mark.parametrize("change, message", [
    (lambda said: said.pop("model"), "'model'"), (lambda said: said.pop("preprocess"), "'preprocess'"),
    (lambda said: said.pop("batch"), "'batch'"), (lambda said: said.update(batch=0), "batch is 0"),
    (lambda said: said.update(batch="3"), "batch is '3'"), (lambda said: said.update(batch=1.5), "batch is 1.5"),
    (lambda said: said["model"].update(width="x"), "model.width"),
    (lambda said: said["model"].update(emotions=["Fear", "Joy", "Fear"]), "names one twice: Fear, Joy, Fear"),
    (lambda said: said["preprocess"].update(nose=1), "preprocess.nose"), (lambda said: said.update(features=3), "int"),
    (lambda said: said.update(features=None), "NoneType")])
def test_a_description_that_says_nothing_usable(change, message, write, tiny, tmp_path):
    file, said = write(tiny())
    change(said)
    (tmp_path / "eri_dual_branch.onnx.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=rf"onnx.json: cannot be used \(.*{message}.*\); export again"):
        read_sidecar(file)


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_a_description_that_is_none(text, write, tiny, tmp_path):
    file, _ = write(tiny())
    (tmp_path / "eri_dual_branch.onnx.json").write_text(text)
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_sidecar(file)


def test_preprocessing_of_a_lone_checkpoint_is_the_papers_at_its_sizes(tiny):
    wanted = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=128, stack=3))
    assert infer_preprocess(tiny(mfcc_features=384)) == wanted
    assert infer_preprocess(tiny(mfcc_features=128)).audio.stack == 1
    with pytest.raises(CheckpointError, match="takes 200 MFCC features, which 128 coefficients a frame do not explain; "
                                              "put the run's config.yaml beside its checkpoints"):
        infer_preprocess(tiny(mfcc_features=200))


def test_preprocessing_of_a_run_is_its_own(tiny, tmp_path):
    model = tiny(mfcc_features=12)
    save_config(Config(preprocess=PREPROCESS, model=model), tmp_path / "config.yaml")
    trained = TrainedModel(tmp_path / "best.ckpt", model, {}, {}, RunFolder(tmp_path))
    assert preprocess_of(trained) == PREPROCESS
    model = tiny(mfcc_features=256)
    assert preprocess_of(TrainedModel(tmp_path / "best.ckpt", model, {}, {})) == infer_preprocess(model)


def test_preprocessing_of_a_lone_checkpoint_is_what_its_note_says(tiny, tmp_path):
    note = {"preprocess": to_dict(PREPROCESS)}
    assert preprocess_of(TrainedModel(tmp_path / "best.ckpt", tiny(mfcc_features=12), {}, note)) == PREPROCESS
