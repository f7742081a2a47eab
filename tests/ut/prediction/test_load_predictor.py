# SPDX-License-Identifier: Apache-2.0
"""What `load_predictor` makes of a run folder, a checkpoint and an exported file."""

import dataclasses
import json

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.config import AudioConfig, Config, FaceConfig, PreprocessConfig, save_config
from mindface_eri.deploy.sidecar import infer_preprocess, write_sidecar
from mindface_eri.errors import CheckpointError
from mindface_eri.files import file_hash
from mindface_eri.models import build_network
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.runner.checkpoint import read_checkpoint, save_checkpoint
from mindface_eri.runner.run_folder import note_of

PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32, margin=0.3),
                              audio=AudioConfig(coefficients=6, stack=2, hop_length=256))
FAU = {"columns": ["AU01"], "time_column": None, "unit": "s", "method": "nearest"}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A run of an acoustic network whose best checkpoint answers 0.5, and whose last one sigmoid(1), sigmoid(-2)."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "checkpoints").mkdir()
    model = tiny("eri_acoustic", emotions=("Joy", "Awe"))
    save_config(Config(preprocess=PREPROCESS, model=model), folder / "config.yaml")
    weights = {p.name: p.asnumpy() for p in build_network(model).get_parameters()}
    weights["head.regression.weight"] = np.zeros((2, 16), "f")
    for which, bias in (("best", [0, 0]), ("last", [1, -2])):
        weights["head.regression.bias"] = np.array(bias, "f")
        save_checkpoint(folder / "checkpoints" / f"{which}.ckpt", weights, note_of(model, features={"fau": FAU}))
    return folder


def answer(predictor):
    return predictor.predict_arrays(mfcc=np.ones((1, 4, 12)))[0].tolist()


def test_the_best_checkpoint_of_a_run_unless_the_last_is_asked_for(run, pynative):
    best = load_predictor(run)
    assert ms.get_context("mode") == ms.PYNATIVE_MODE  # what the process did before stays
    assert (best.emotions, best.model.name) == (("Joy", "Awe"), "eri_acoustic")
    assert best.preprocess == PREPROCESS and best.features == {"fau": FAU}
    assert answer(best) == [0.5, 0.5] == answer(load_predictor(run, which="best"))
    last = pytest.approx([0.7310586, 0.1192029])
    assert answer(load_predictor(run, which="last")) == last
    assert answer(load_predictor(run / "checkpoints" / "last.ckpt")) == last
    assert load_predictor(run / "checkpoints" / "last.ckpt").preprocess == PREPROCESS


def test_a_lone_checkpoint_is_taken_apart_as_the_paper_does(tiny, tmp_path):
    model = tiny("eri_acoustic", mfcc_features=256)
    save_checkpoint(tmp_path / "one.ckpt", build_network(model), note_of(model))
    predictor = load_predictor(str(tmp_path / "one.ckpt"))
    assert predictor.preprocess == infer_preprocess(model) and predictor.features == {}


def test_nothing_usable(run, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such run folder or file"):
        load_predictor(tmp_path / "nowhere")
    (tmp_path / "x.pth").touch()
    with pytest.raises(CheckpointError, match="x.pth: not a run folder, .ckpt, .mindir or .onnx file"):
        load_predictor(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no checkpoints/best.ckpt in it"):
        load_predictor(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoints/middle.ckpt in it"):
        load_predictor(run, which="middle")
    (tmp_path / "x.mindir").touch()
    with pytest.raises(CheckpointError, match="x.mindir.json: is missing"):
        load_predictor(tmp_path / "x.mindir")


def test_a_damaged_checkpoint(run, tmp_path):
    content = bytearray((run / "checkpoints" / "best.ckpt").read_bytes())
    for change in (lambda: content.__setitem__(len(content) // 2, content[len(content) // 2] ^ 1),
                   lambda: content.__delitem__(slice(-40, None))):
        change()
        (tmp_path / "one.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match="one.ckpt: is damaged or no MindSpore checkpoint .*take another"):
            load_predictor(tmp_path / "one.ckpt")


def describe(file, model, **more):
    return write_sidecar(file, model, PREPROCESS, difference=0.0, tolerance=1e-5, digest=file_hash(file), checkpoint={},
                         **{"batch": None, **more})


def test_an_exported_file_is_as_its_description_says(toy_graph, tiny, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    made, session = [], onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda path, options, **more: made.append(
        options.intra_op_num_threads) or session(path, options, **more))
    model = tiny(emotions=("Joy", "Awe", "Fear"))
    file = toy_graph(tmp_path / "toy.onnx", model, batch=2)
    describe(file, model, batch=2, features={"fau": FAU})
    predictor = load_predictor(str(file), threads=3)
    assert (predictor.model, predictor.preprocess, predictor.features) == (model, PREPROCESS, {"fau": FAU})
    given = {"frames": np.full((3, 4, 32, 32, 3), 9, np.uint8), "mfcc": np.full((3, 4, 12), 0.25)}
    assert predictor.predict_arrays(**given).tolist() == [[9, 0.25, 11]] * 3
    load_predictor(file)
    assert made == [3, 0]


def test_a_description_of_another_file_is_noticed(toy_graph, tiny, tmp_path):
    file = toy_graph(tmp_path / "toy.onnx", tiny())
    path = describe(file, tiny())
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "sha256": said["sha256"][::-1]}))
    with pytest.raises(CheckpointError, match="is not the file that toy.onnx.json describes"):
        load_predictor(file)


def test_a_checkpoint_of_another_network_than_its_note_says(run, tiny, tmp_path):
    weights, _ = read_checkpoint(run / "checkpoints" / "best.ckpt")
    model = dataclasses.replace(tiny("eri_acoustic"), emotions=("Joy", "Awe"), temporal_depth=2)
    save_checkpoint(tmp_path / "one.ckpt", weights, note_of(model))
    with pytest.raises(CheckpointError, match="one.ckpt: does not fit this network .*blocks.1.* is missing"):
        load_predictor(tmp_path / "one.ckpt")
