# SPDX-License-Identifier: Apache-2.0
"""Exported files give the checkpoint's numbers, are refused where they do not, and run without MindSpore."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, Config, FaceConfig, ModelConfig, PreprocessConfig, save_config
from mindface_eri.deploy import check_mindir, check_onnx
from mindface_eri.deploy.accepted import INT8_OPERATORS, OWN_OPERATORS, OWN_PRIMITIVES
from mindface_eri.deploy.backends import OnnxBackend
from mindface_eri.deploy.exporter import _write_parts, compare, export
from mindface_eri.deploy.parts import describe_parts
from mindface_eri.deploy.quantize import write_lowered
from mindface_eri.deploy.verify import check_inputs
from mindface_eri.errors import CheckpointError, ConfigError, DataError, ExportError
from mindface_eri.models import build_network
from mindface_eri.prediction.extraction import Taken
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.prediction.windows import plan_grid
from mindface_eri.runner.checkpoint import save_checkpoint
from mindface_eri.runner.run_folder import load_trained, note_of

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

MODEL = ModelConfig(frames=4, crop_size=32, mfcc_features=12, stem_width=8, spatial_depth=1, spatial_heads=2, width=16,
                    tcn_dilations=(1, 2), temporal_depth=1, temporal_heads=2, emotions=("Fear", "Surprise"))
PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=6, stack=2))
INPUTS = check_inputs(MODEL, seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of an untrained network whose normalisations are away from their start."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "checkpoints").mkdir()
    save_config(Config(preprocess=PREPROCESS, model=MODEL), folder / "config.yaml")
    network = build_network(MODEL)
    rng = np.random.default_rng(0)
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    for name, value in weights.items():
        if name.endswith(("moving_mean", "moving_variance", "gamma", "beta", "mfcc_mean", "mfcc_std")):
            weights[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    save_checkpoint(folder / "checkpoints" / "best.ckpt", weights, note_of(MODEL, epoch=3))
    return folder


@pytest.fixture(scope="module")
def report(run):
    return export(run, formats=("mindir", "onnx"))


@pytest.fixture(scope="module")
def answer(run):
    predictor = load_predictor(run)
    assert predictor.preprocess == PREPROCESS and predictor.emotions == MODEL.emotions
    return predictor.predict_arrays(**INPUTS)


def test_report_and_sidecar(report, run):
    assert [file.format for file in report.files] == ["mindir", "onnx"]
    for file in report.files:
        assert file.path.parent == run / "export" and 0 <= file.max_difference <= 1e-5
        said = json.loads(file.sidecar.read_text())
        assert said["max_difference"] == file.max_difference
        assert [value["shape"] for value in said["inputs"]] == [["batch", 4, 32, 32, 3], ["batch", 4, 12], ["batch", 2]]
        assert said["emotions"] == ["Fear", "Surprise"] and said["checkpoint"]["note"]["epoch"] == 3
    assert len({path.stat().st_mode for path in (run / "export").iterdir()}) == 1  # others may read all, or none
    assert sorted(path.name for path in (run / "export").iterdir()) == [
        "MODEL_CARD.md", "eri_dual_branch.mindir", "eri_dual_branch.mindir.json", "eri_dual_branch.onnx",
        "eri_dual_branch.onnx.json"]


@pytest.mark.parametrize("index", [0, 1])
def test_predictors_agree(index, report, answer):
    predictor = load_predictor(report.files[index].path)
    assert predictor.emotions == MODEL.emotions and predictor.preprocess == PREPROCESS
    np.testing.assert_allclose(predictor.predict_arrays(**INPUTS), answer, rtol=0, atol=1e-5)
    assert np.ptp(answer, axis=0).min() > 1e-4  # clips do get different answers
    pair = {name: array[2:4] for name, array in INPUTS.items()}
    np.testing.assert_allclose(predictor.predict_arrays(**pair), answer[2:4], rtol=0, atol=1e-5)


def test_the_lists_are_what_exports_hold(report, monkeypatch):
    """No more and no less; `test_accepted` exports the other networks."""
    mindir, onnx = (file.path for file in report.files)
    held = {}
    for module in (check_mindir, check_onnx):
        monkeypatch.setattr(module, "check_operators", lambda path, names, kind: held.setdefault(kind, set(names)))
    check_mindir.check_mindir(mindir)
    check_onnx.check_onnx(onnx, onnx.read_bytes())
    assert held == {"primitive": OWN_PRIMITIVES, "operator": OWN_OPERATORS}


@pytest.mark.parametrize("kind, holds", [("int8-dynamic", {"DynamicQuantizeLinear", "MatMulInteger"}),
                                         ("int8-static", {"DequantizeLinear", "QuantizeLinear"})])
def test_int8_of_an_export_is_accepted_and_close(kind, holds, report, answer, tmp_path, monkeypatch):
    given = [INPUTS[name] for name in MODEL.inputs]
    made = write_lowered(kind, report.files[1].path, tmp_path / "m.onnx", given)
    answers = OnnxBackend(made).run(given)
    assert 1e-5 < np.abs(answers - answer).max() < 0.05
    held = []
    monkeypatch.setattr(check_onnx, "check_operators", lambda path, names, kind: held.append(set(names)))
    check_onnx.read_checked(made)
    assert held[0] - OWN_OPERATORS == holds and holds <= INT8_OPERATORS


def test_fixed_batch_fills_up(run, answer, tmp_path):
    report = export(run, tmp_path, formats=("onnx",), batch=3)
    predictor = load_predictor(report.files[0].path)
    np.testing.assert_allclose(predictor.predict_arrays(**INPUTS), answer, rtol=0, atol=1e-5)


def test_compare_names_the_place():
    expected = np.full((3, 2), 0.5)
    answers = np.stack([expected, expected])
    assert compare(answers + 9e-6, expected, "f") == pytest.approx(9e-6)
    answers[1, 2, 1] += 2e-5
    with pytest.raises(ExportError, match="check clip 2, emotion 1"):
        compare(answers, expected, "f")
    answers[0, 0, 0] = np.nan
    with pytest.raises(ExportError, match="check clip 0, emotion 0"):
        compare(answers, expected, "f")


def test_onnx_predictor_does_not_import_mindspore(report):
    program = ("import sys, numpy as np\n"
               "from mindface_eri.prediction.predictor import load_predictor\n"
               f"p = load_predictor({str(report.files[1].path)!r})\n"
               "y = p.predict_arrays(np.zeros((1, 4, 32, 32, 3), np.uint8), np.zeros((1, 4, 12)))\n"
               "assert y.shape == (1, 2) and 'mindspore' not in sys.modules, sorted(sys.modules)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_predictor_refuses_wrong_arrays(report):
    predictor = load_predictor(report.files[1].path)
    frames, mfcc = INPUTS["frames"], INPUTS["mfcc"]
    with pytest.raises(DataError, match="mfcc is missing"):
        predictor.predict_arrays(frames)
    with pytest.raises(DataError, match="not normalised"):
        predictor.predict_arrays(frames.astype(np.float32), mfcc)
    with pytest.raises(DataError, match=r"shape \(2, 4, 12\)"):
        predictor.predict_arrays(frames, mfcc[:2])


def test_refusals(run, tmp_path):
    with pytest.raises(ConfigError, match="choose from"):
        export(run, formats=("tflite",))
    with pytest.raises(ConfigError, match="below 1"):
        export(run, batch=0)
    with pytest.raises(ExportError, match="Ascend only"):
        export(run, formats=("air",))
    (tmp_path / "lone.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="lone.onnx.json"):
        load_predictor(tmp_path / "lone.onnx")
    with pytest.raises(CheckpointError, match="no such"):
        load_predictor(tmp_path / "none")


@pytest.mark.slow
def test_windows_over_two_parts_answer_as_over_the_whole(run, report, make_clip, tmp_path):
    """Of a checkpoint, a MindIR and an ONNX; 10 crops that differ, in windows of 4, the first two without a face."""
    trained, grid = load_trained(run), plan_grid(9.0, 4, 3.0, 1.0)
    rng = np.random.default_rng(5)
    clip = dataclasses.replace(make_clip(10, seconds=9.0, states=[0] * 5 + [3] * 5),
                               frames=rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8),
                               mfcc=rng.normal(size=(10, 12)).astype(np.float32))

    def answer(predictor, **more):
        found, = predictor.predict(["x.mp4"], window=3.0, hop=1.0, taken=[Taken(clip, grid)], **more)
        assert not found.error, found.error
        return found

    apart, shared = load_predictor(run), load_predictor(run)
    apart._parts = lambda: None
    expected = answer(apart, attention=True)
    found = answer(shared, attention=True)
    for name in ("values", "temporal", "spatial"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-5)
    assert np.ptp(expected.values, axis=0).min() > 1e-4 and np.ptp(expected.temporal) > 1e-3
    for file in report.files:
        target = tmp_path / file.path.name
        target.write_bytes(file.path.read_bytes())
        said = json.loads(file.sidecar.read_text())
        pieces = _write_parts(trained, target, file.format, None)
        said["parts"] = describe_parts(MODEL, target, pieces, None, 0.0)
        target.with_name(f"{target.name}.json").write_text(json.dumps(said))
        predictor = load_predictor(target)
        assert predictor._parts() is not None and load_predictor(file.path)._parts() is None
        predictor._backend = None  # it is not asked
        for batch_size in (1, 3):
            np.testing.assert_allclose(answer(predictor, batch_size=batch_size).values, expected.values, rtol=0,
                                       atol=1e-5)


ABOUT = {"columns": ["AU01", "AU02", "AU04"], "time_column": "timestamp", "unit": "ms", "method": "linear"}
MULTI = dataclasses.replace(MODEL, name="eri_multi_branch", features=("fau",), feature_widths=(3,))


@pytest.mark.slow
def test_a_network_of_three_branches_leaves_the_house(tmp_path):
    network = build_network(MULTI)
    network.branch("fau").set_feature_statistics(np.array([5.0, 0.0, -1.0]), np.array([2.0, 0.0, 0.5]))
    (tmp_path / "checkpoints").mkdir()
    save_config(Config(preprocess=PREPROCESS, model=MULTI), tmp_path / "config.yaml")
    save_checkpoint(tmp_path / "checkpoints" / "best.ckpt", network, note_of(MULTI, features={"fau": ABOUT}))
    inputs = check_inputs(MULTI, {"fau": (np.array([5.0, 0, -1]), np.array([2.0, 1, 0.5]))}, seed=3)
    assert inputs["present"].shape == (8, 3) and inputs["present"][7].tolist() == [0, 0, 1]
    answer = load_predictor(tmp_path).predict_arrays(**inputs)
    assert np.ptp(answer, axis=0).min() > 1e-4
    for file in export(tmp_path, formats=("mindir", "onnx")).files:
        said = json.loads(file.sidecar.read_text())
        assert [value["name"] for value in said["inputs"]] == ["frames", "mfcc", "fau", "present"]
        assert said["inputs"][2]["columns"] == ABOUT["columns"] and said["inputs"][2]["shape"] == ["batch", 4, 3]
        assert said["inputs"][3]["meaning"].endswith("order: visual, acoustic, fau")
        predictor = load_predictor(file.path)
        np.testing.assert_allclose(predictor.predict_arrays(**inputs), answer, rtol=0, atol=1e-5)
        assert predictor.features == {"fau": ABOUT}
        with pytest.raises(DataError, match=r"takes the feature set 'fau'.*fau=FOLDER"):
            predictor.predict(["clip.mp4"])
        with pytest.raises(DataError, match="'fau': .*nowhere is no folder"):
            predictor.predict(["clip.mp4"], features={"fau": tmp_path / "nowhere"})
        with pytest.raises(DataError, match="fau is missing"):
            predictor.predict_arrays(inputs["frames"], inputs["mfcc"])
    import onnx

    graph = onnx.load(str(tmp_path / "export" / "eri_multi_branch.onnx")).graph
    assert [value.name for value in graph.input] == ["frames", "mfcc", "fau", "present"]
