# SPDX-License-Identifier: Apache-2.0
"""Files of lower precision: what is compared, said and refused."""

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.datasets.records import Records
from mindface_eri.deploy import accepted, backends, lower, lowered, openvino_backend, quantize
from mindface_eri.deploy.sidecar import read_sidecar, sidecar_path, write_sidecar
from mindface_eri.device import context
from mindface_eri.errors import CheckpointError, ConfigError, DataError, ExportError, MissingDependencyError
from mindface_eri.files import file_hash
from mindface_eri.prediction.predictor import load_predictor

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

EMOTIONS = ("Joy", "Awe", "Fear")
PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=6, stack=2))


@pytest.fixture(scope="module")
def model(tiny):
    return tiny("eri_dual_branch", emotions=EMOTIONS)


@pytest.fixture(scope="module")
def graph(model, tmp_path_factory):
    """A described graph of the dual network's inputs: a convolution over frames, a product of MFCC, and a Gemm."""
    helper, kinds, rng = onnx.helper, onnx.TensorProto, np.random.default_rng(0)

    def constant(name, *shape, scale=1.0):
        return onnx.numpy_helper.from_array((scale * rng.normal(size=shape)).astype(np.float32), name)

    constants = [constant("kernel", 4, 12, 1, 1, scale=2e-3), constant("sounds", 48, 4, scale=0.2),
                 constant("last", 8, 3, scale=0.5), constant("bias", 3, scale=0.1), constant("given", 2, 3),
                 onnx.numpy_helper.from_array(np.array([-1, 12, 32, 32]), "picture"),
                 onnx.numpy_helper.from_array(np.array([-1, 48]), "flat")]
    nodes = [helper.make_node("Cast", ["frames"], ["as float"], to=kinds.FLOAT),
             helper.make_node("Reshape", ["as float", "picture"], ["pictures"]),
             helper.make_node("Conv", ["pictures", "kernel"], ["seen"]),
             helper.make_node("ReduceMean", ["seen"], ["face"], axes=[2, 3], keepdims=0),
             helper.make_node("Reshape", ["mfcc", "flat"], ["heard"]),
             helper.make_node("MatMul", ["heard", "sounds"], ["sound"]),
             helper.make_node("Concat", ["face", "sound"], ["both"], axis=1),
             helper.make_node("Gemm", ["both", "last", "bias"], ["sum"]),
             helper.make_node("MatMul", ["present", "given"], ["there"]),
             helper.make_node("Add", ["sum", "there"], ["all"]),
             helper.make_node("Sigmoid", ["all"], ["intensities"])]
    inputs = [helper.make_tensor_value_info("frames", kinds.UINT8, ["batch", 4, 32, 32, 3]),
              helper.make_tensor_value_info("mfcc", kinds.FLOAT, ["batch", 4, 12]),
              helper.make_tensor_value_info("present", kinds.FLOAT, ["batch", 2])]
    made = helper.make_model(helper.make_graph(nodes, "toy", inputs, [
        helper.make_tensor_value_info("intensities", kinds.FLOAT, ["batch", 3])], constants), ir_version=4,
                             opset_imports=[helper.make_opsetid("", 11)])
    helper.set_model_props(made, {"model": "toy"})
    file = tmp_path_factory.mktemp("toy") / "eri_dual_branch.onnx"
    onnx.save(made, file)
    write_sidecar(file, model, PREPROCESS, batch=None, difference=2e-7, tolerance=1e-5, digest=file_hash(file),
                  checkpoint={"weights": "ab12", "note": {"about": "Drawn faces."}})
    return file


def clips(count, seed):
    rng = np.random.default_rng(seed)
    # Faces and sounds that differ as clips do: by their mean, more than within.
    faces = rng.uniform(0, 200, (count, 1, 1, 1, 3)) + rng.uniform(0, 55, (count, 4, 32, 32, 3))
    sounds = rng.uniform(-2, 2, (count, 4, 12))
    return [faces.astype(np.uint8), sounds.astype(np.float32), np.ones((count, 2), np.float32)]


@pytest.fixture
def asked(graph, model, tmp_path, monkeypatch):
    """A copy of the graph; run, records and card are stood in, and what was read is noted."""
    file = tmp_path / graph.name
    for path in (graph, sidecar_path(graph)):
        shutil.copy(path, tmp_path)
    noted = SimpleNamespace(file=file, read=[], cards=[])
    trained = SimpleNamespace(run=None, model=model)

    def read(records, taken, split):
        noted.read.append(split)
        return clips(20, 1)

    monkeypatch.setattr(lower, "load_trained", lambda run: trained)
    monkeypatch.setattr(lower, "resolve_records", lambda records, config: SimpleNamespace(hash="f00d"))
    monkeypatch.setattr(lower, "check_records", lambda records, emotions, of: noted.read.append(emotions))
    monkeypatch.setattr(lower, "_read", read)
    monkeypatch.setattr(lower, "write_model_card", lambda folder, of: noted.cards.append((folder, of)))
    noted.lower = lambda *kinds, **more: lower.lower("run", file, kinds, "records", **more)
    noted.trained = trained
    return noted


def test_int8_is_close_to_float32_and_says_so(asked, caplog):
    static, dynamic = asked.lower("int8-static", "int8-dynamic", tolerance=0.04)
    assert asked.read == [EMOTIONS, "val", "train"] and asked.cards == [(asked.file.parent, asked.trained)]
    float32, given = load_predictor(asked.file), clips(20, 1)
    expected = float32.predict_arrays(*given)
    assert np.ptp(expected, axis=0).min() > 0.2 and float32.precision == "float32"
    for made, kind, holds in ((static, "int8-static", {"QuantizeLinear", "DequantizeLinear"}),
                              (dynamic, "int8-dynamic", {"DynamicQuantizeLinear", "MatMulInteger"})):
        assert made.path == asked.file.with_name(f"eri_dual_branch.{kind}.onnx")
        predictor = load_predictor(made.path)
        apart = np.abs(predictor.predict_arrays(*given) - expected)
        assert 1e-5 < apart.max() <= made.precision.max_difference < 0.04
        said = json.loads(made.sidecar.read_text())
        assert said["precision"]["kind"] == kind and said["precision"]["runtime"] == "onnxruntime"
        assert (said["max_difference"], said["tolerance"]) == (made.precision.max_difference, 0.04)
        assert said["emotions"] == list(EMOTIONS) and said["sha256"] == file_hash(made.path)
        assert all(0.99 <= said["precision"]["pearson"][name] < 1 for name in EMOTIONS)
        assert said["precision"]["records"] == "f00d" and said["precision"]["clips"] == 20
        assert read_sidecar(made.path).precision == made.precision
        assert predictor.precision == kind and predictor.note.startswith(f"Drawn faces. {made.path.name} computes in")
        assert caplog.messages[-1] == made.precision.sentence(made.path)
        stored = onnx.load(made.path)
        assert {entry.key: entry.value for entry in stored.metadata_props} == {"model": "toy", "precision": kind}
        assert {node.op_type for node in stored.graph.node} & accepted.INT8_OPERATORS == holds
    assert static.precision.calibration_clips == 20 and dynamic.precision.calibration_clips == 0
    assert read_sidecar(asked.file).precision is None
    assert sorted(os.listdir(asked.file.parent)) == sorted(
        [*(f"eri_dual_branch.{kind}onnx{end}" for kind in ("", "int8-static.", "int8-dynamic.") for end in ("", ".json")
           )])


@pytest.mark.parametrize("bounds, said", [({"tolerance": 1e-4}, "an intensity by 0.0"),
                                          ({"least_pearson": 0.9999999}, "Pearson for ")])
def test_a_file_worse_than_its_bound_is_not_kept(bounds, said, asked):
    with pytest.raises(ExportError, match=f"int8-dynamic.onnx: differs from float32 on 20 clips: .*{said}"):
        asked.lower("int8-dynamic", **bounds)
    assert sorted(os.listdir(asked.file.parent)) == ["eri_dual_branch.onnx", "eri_dual_branch.onnx.json"]
    assert asked.cards == []


@pytest.mark.parametrize("kinds, more, said", [
    (["int8-static"], {}, "static quantization takes the scales .* from real clips"),
    (["int8-dynamic"], {}, "compared with float32 on clips like those to come"),
    (["int4"], {"clips": "r"}, "precision int4: choose from int8-dynamic, int8-static, bf16"), ([], {}, "none"),
    (["int8-static"], {"clips": "r", "tolerance": 0.0}, "both lie between 0 and 1"),
    (["int8-static"], {"clips": "r", "least_pearson": 1.0}, "both lie between 0 and 1")])
def test_what_cannot_be_asked(kinds, more, said):
    with pytest.raises(ConfigError, match=said):
        lower.lower("run", "m.onnx", kinds, **more)


def test_gaps_are_of_one_modality_each(model):
    given = clips(10, 0)
    frames, mfcc, present = lower._with_gaps(model, given)
    assert len(frames) == len(mfcc) == len(present) == 10 + 8 + 8
    for whole, array in zip(given, (frames, mfcc, present)):
        np.testing.assert_array_equal(array[:10], whole)
    assert not frames[10:18].any() and not mfcc[18:].any()
    np.testing.assert_array_equal(frames[18:], given[0][:8])
    np.testing.assert_array_equal(mfcc[10:18], given[1][:8])
    assert present[10:].tolist() == [[0, 1]] * 8 + [[1, 0]] * 8
    alone = dataclasses.replace(model, name="eri_acoustic")
    assert [len(array) for array in lower._with_gaps(alone, [mfcc])] == [26]


def test_gaps_and_batches_count_in_the_difference_alone(model):
    """An answer (2, N, E) that is off in one clip without sound, asked for alone, is found; correlations stay."""
    expected = np.linspace(0.1, 0.9, 30, dtype=np.float32).reshape(10, 3)
    answers = np.stack([expected, expected])
    answers[1, 9, 2] -= 0.25
    stated = _as("int8-dynamic", model, answers, expected)
    assert stated.max_difference == pytest.approx(0.25) and set(stated.mean_difference.values()) == {0.0}
    assert min(stated.pearson.values()) == pytest.approx(1)
    answers[0, 3, 1] = np.nan
    broken = _as("int8-dynamic", model, answers, expected)
    with pytest.raises(ExportError, match="by nan"):
        lower._check(Path("f"), broken)


def _as(kind, model, answers, expected):
    float32 = lower._Float32(model, None, SimpleNamespace(hash="x"), [], expected, 8)
    return lower._stated(kind, answers, float32, 0.3, 0.9, 0)


def test_clips_are_taken_evenly_and_the_last_with_them(model, monkeypatch):
    table = tuple({"id": f"c{i}", "split": "val" if i else "train"} for i in range(200))
    records = Records(Path("r"), EMOTIONS, PREPROCESS, "hash", table, (), np.zeros((200, 3), np.float32),
                      np.zeros(1), np.ones(1))
    taken = {}

    def create(view, **more):
        taken.update(more)
        rows = [{name: np.full((1, 2), float(i[1:])) for name in more["columns"]} for i in more["ids"]]
        return SimpleNamespace(create_dict_iterator=lambda **options: iter(rows))

    monkeypatch.setattr(lower, "create_dataset", create)
    frames, mfcc, present = lower._read(records, model, "val")
    assert len(frames) == 64 and taken["ids"][0] == "c1" and taken["ids"][-1] == "c199" and not taken["shuffle"]
    assert set(np.diff(frames[:, 0])) <= {2.0, 3.0, 4.0} and taken["columns"] == ("frames", "mfcc", "present")
    with pytest.raises(DataError, match="1 clips in split 'train' say nothing .* at least 8"):
        lower._read(records, model, "train")


def test_a_description_that_is_not_understood(asked):
    made, = asked.lower("int8-dynamic")
    content = json.loads(made.sidecar.read_text())
    content["precision"]["kind"] = "int2"
    made.sidecar.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="precision.kind is 'int2', which this version does not know"):
        load_predictor(made.path)


def test_the_sentence_tells_of_another_version(asked):
    made, = asked.lower("int8-dynamic")
    told = dataclasses.replace(made.precision, runtime_version="0.9", max_difference=0.01234,
                               pearson={"Joy": 0.99999, "Awe": 0.98769}).sentence("x/m.onnx")
    assert told.startswith("m.onnx computes in int8 (dynamic), not in float32: on 20 clips its intensities were up to "
                           "0.0123 off, and correlated with float32's by at least 0.9876. That was in onnxruntime 0.9;")
    assert "That was" not in made.precision.sentence("m.onnx")


class Core:
    """OpenVINO's, of a processor with `capabilities`, which computes in `computes`."""

    capabilities, computes, settings = ["FP32", "BF16"], "bf16", None

    def get_property(self, device, name):
        return type(self).capabilities

    def read_model(self, content):
        return content

    def compile_model(self, model, device, settings):
        type(self).settings = {**settings, "isa": os.environ.get("ONEDNN_MAX_CPU_ISA")}
        if model == b"bad":
            raise RuntimeError("Exception from core.cpp:\n\nno primitive for Softmax\n")
        return SimpleNamespace(get_property=lambda name: SimpleNamespace(to_string=lambda: type(self).computes),
                               infer_new_request=lambda inputs: {0: inputs[0] * 2})


@pytest.fixture
def openvino(monkeypatch):
    core = type("Mine", (Core,), {})
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=core))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(openvino_backend, "read_checked", lambda path: b"bad" if "bad" in str(path) else b"graph")
    return core


def test_openvino_is_asked_for_bfloat16_without_the_limit_of_mindspore(openvino, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr(context, "_isa_is_ours", True)
    backend = backends.open_backend("m.onnx", 3, "auto", "openvino")
    assert openvino.settings == {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY",
                                 "INFERENCE_NUM_THREADS": 3, "isa": None}
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2" and backend.attention([]) is None
    assert backend.run([np.arange(3)]).tolist() == [0, 2, 4]
    monkeypatch.setattr(context, "_isa_is_ours", False)
    with pytest.raises(ConfigError, match="which ONEDNN_MAX_CPU_ISA=AVX2 rules out; unset it"):
        openvino_backend.OpenVinoBackend("m.onnx")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core_bf16")
    openvino_backend.OpenVinoBackend("m.onnx")
    assert openvino.settings["isa"] == "avx512_core_bf16" and "INFERENCE_NUM_THREADS" not in openvino.settings


def test_a_processor_without_bfloat16_is_refused(openvino):
    with pytest.raises(CheckpointError, match=r"bad.onnx: OpenVINO cannot compute it \(no primitive for Softmax\)"):
        openvino_backend.OpenVinoBackend("bad.onnx")
    openvino.computes = "f32"
    with pytest.raises(ConfigError, match="m.onnx: OpenVINO does not compute it in bf16 on this processor"):
        openvino_backend.OpenVinoBackend("m.onnx")
    openvino.capabilities = ["FP32"]
    with pytest.raises(ConfigError, match=r"m.onnx: is for processors with bfloat16 .* which this one has not"):
        openvino_backend.OpenVinoBackend("m.onnx")
    openvino.computes = "f32"
    openvino_backend.OpenVinoBackend("m.onnx", precision="f32")


def test_without_openvino_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    said = r"m.onnx is computed by OpenVINO: pip install 'mindface_eri\[openvino\]'"
    with pytest.raises(MissingDependencyError, match=said):
        openvino_backend.OpenVinoBackend("m.onnx")
    monkeypatch.setattr(lowered.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"bfloat16 is computed by OpenVINO: pip install"):
        lowered.check_asked(["bf16"], "records")


def with_openvino(monkeypatch):
    """Whether OpenVINO computes in bfloat16 here, where the limit on oneDNN is not the user's, as it is in tests."""
    try:
        openvino = openvino_backend.import_openvino("m.onnx")
    except MissingDependencyError:
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setattr(context, "_isa_is_ours", True)
    with context.without_isa_limit():  # which is read once a process
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_openvino_gives_float32s_numbers(graph, monkeypatch):
    with_openvino(monkeypatch)
    given = clips(20, 1)
    expected = backends.OnnxBackend(graph).run(given)
    answers = openvino_backend.OpenVinoBackend(graph, precision="f32").run(given)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


def test_bfloat16_is_close_to_float32_and_says_so(asked, monkeypatch):
    if not with_openvino(monkeypatch):
        pytest.skip("this processor has no bfloat16")
    made, = asked.lower("bf16")
    assert 1e-5 < made.precision.max_difference < 0.05 and made.path.name == "eri_dual_branch.bf16.onnx"
    predictor, given = load_predictor(made.path), clips(20, 1)
    assert predictor.precision == "bf16" and "bfloat16" in predictor.note
    apart = np.abs(predictor.predict_arrays(*given) - load_predictor(asked.file).predict_arrays(*given)).max()
    assert 1e-5 < apart <= made.precision.max_difference
    assert file_hash(made.path) != file_hash(asked.file)


def test_openvino_reports_to_nobody(graph):
    """In a process of its own, which would look the reporter's host up, and write into the home folder."""
    pytest.importorskip("openvino_telemetry", reason="OpenVINO is not installed")
    program = ("import sys\nreached = []\n"
               "sys.addaudithook(lambda event, of: reached.append(of) if event.startswith('socket.') else None)\n"
               "from mindface_eri.deploy.openvino_backend import OpenVinoBackend\n"
               f"OpenVinoBackend({str(graph)!r}, precision='f32')\n"
               "import openvino\n"
               "assert hasattr(openvino, 'convert_model') and 'openvino_telemetry' not in sys.modules\n"
               "assert not reached, reached\n")
    home = {**os.environ, "HOME": str(graph.parent), "CI": "", "JENKINS_URL": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=home)
    assert done.returncode == 0, done.stderr
    assert not (graph.parent / "intel").exists()


def test_a_fixed_batch_is_calibrated_in_full_calls(graph, tmp_path):
    model, given = onnx.load(graph), clips(10, 1)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    reader = quantize._reader(model, given)
    calls = list(iter(reader.get_next, None))
    assert [len(call["mfcc"]) for call in calls] == [4, 4, 4] and list(calls[0]) == ["frames", "mfcc", "present"]
    np.testing.assert_array_equal(calls[2]["mfcc"], given[1][[8, 9, 9, 9]])
    made = quantize.write_lowered("int8-static", fixed, tmp_path / "made.onnx", given)
    answers = lower._answers(backends.OnnxBackend(made), given, 4)
    assert np.abs(answers - backends.OnnxBackend(graph).run(given)).max() < 0.04


def test_what_onnxruntime_cannot_quantize(graph, tmp_path):
    with pytest.raises(ExportError, match="branch.onnx: onnxruntime could not make int8-static of it") as found:
        quantize.write_lowered("int8-static", graph, tmp_path / "made.onnx", [array[:, :1] for array in clips(8, 1)])
    assert "take float32, or another kind" in str(found.value)


def test_advice_is_kept_back_and_the_rest_is_not(caplog):
    with quantize._without_advice():
        logging.warning("Please consider to run pre-processing before quantization.")
        logging.warning("something else")
    logging.warning("Please consider to run pre-processing before quantization.")
    assert [message[:6] for message in caplog.messages] == ["someth", "Please"]
