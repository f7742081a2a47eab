# SPDX-License-Identifier: Apache-2.0
"""The way to exported files around MindSpore's own export: where they go, how they are checked, what is left behind."""

import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.config import AudioConfig, Config, FaceConfig, PreprocessConfig, save_config
from mindface_eri.deploy import exporter
from mindface_eri.deploy.exporter import compare, export
from mindface_eri.errors import BusyError, CheckpointError, ConfigError, ExportError
from mindface_eri.files import file_hash
from mindface_eri.models import build_network
from mindface_eri.runner.checkpoint import checkpoint_hash, read_checkpoint, save_checkpoint
from mindface_eri.runner.run_folder import note_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=6, stack=2))
FAU = {"columns": ["AU01", "AU02", "AU04"], "time_column": None, "unit": "s", "method": "nearest"}


def write_run(folder, model, **note):
    """A run folder of an untrained network, whose last checkpoint is another one's."""
    (folder / "checkpoints").mkdir()
    save_config(Config(preprocess=PREPROCESS, model=model), folder / "config.yaml")
    save_checkpoint(folder / "checkpoints" / "best.ckpt", build_network(model), note_of(model, **note))
    save_checkpoint(folder / "checkpoints" / "last.ckpt", build_network(dataclasses.replace(model, width=8)))
    return folder


@pytest.fixture
def run(tiny, tmp_path):
    model = tiny("eri_features", emotions=("Joy", "Awe", "Fear"), features=("fau",), feature_widths=(3,))
    return write_run(tmp_path, model, epoch=3, features={"fau": FAU})


@pytest.fixture
def stood_in(toy_graph, tiny, monkeypatch):
    """MindSpore's compiling, its export and the fresh process, stood in for; what they were asked for."""
    asked = SimpleNamespace(exports=[], runs=[], devices=[], off=4e-6, names=("fau",))
    expected = np.linspace(0.1, 0.9, 24, dtype="f").reshape(8, 3)

    def export_(network, *inputs, file_name, file_format):
        path = f"{file_name}.{file_format.lower()}"
        asked.exports.append((network.training, [(value.shape, value.dtype) for value in inputs], file_format))
        if file_format == "ONNX":
            toy_graph(path, tiny("eri_features", features=asked.names, feature_widths=(3,)), batch=inputs[0].shape[0])
        else:
            with open(path, "wb") as stream:
                stream.write(b"a graph")

    def answer(file, inputs, batch, device):
        asked.devices.append(device)
        asked.runs.append((file.name, [array.shape for array in inputs], batch))
        return np.stack([expected, expected + np.float32(asked.off)])

    monkeypatch.setattr(exporter.CellBackend, "run", lambda self, inputs: expected)
    monkeypatch.setattr(exporter.ms, "export", export_)
    monkeypatch.setattr(exporter, "rename", lambda path: None)
    monkeypatch.setattr(exporter, "run_in_fresh_process", answer)
    return asked


def test_files_are_proven_and_described(run, stood_in):
    report = export(run, formats=("mindir", "onnx"))
    folder = run / "export"
    assert [(file.path, file.sidecar, file.format) for file in report.files] == [
        (folder / f"eri_features.{kind}", folder / f"eri_features.{kind}.json", kind) for kind in ("mindir", "onnx")]
    assert report.card == folder / "MODEL_CARD.md" and report.card.is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["MODEL_CARD.md", *sorted(
        f"eri_features.{end}" for end in ("mindir", "mindir.json", "onnx", "onnx.json"))]
    assert stood_in.exports == [(False, [((-1, 4, 3), ms.float32)], "MINDIR"),
                                (False, [((97, 4, 3), ms.float32)], "ONNX")]
    assert stood_in.runs == [(f"eri_features.{kind}", [(8, 4, 3)], None) for kind in ("mindir", "onnx")]
    assert stood_in.devices == ["CPU", "CPU"]
    weights, note = read_checkpoint(run / "checkpoints" / "best.ckpt")
    for file in report.files:
        said = json.loads(file.sidecar.read_text())
        assert said["sha256"] == file_hash(file.path) and said["batch"] is None and said["features"] == {"fau": FAU}
        assert said["max_difference"] == file.max_difference == pytest.approx(4e-6, rel=0.05)
        assert said["tolerance"] == 1e-5 and said["preprocess"]["audio"]["coefficients"] == 6
        assert said["checkpoint"] == {"weights": checkpoint_hash(weights), "note": json.loads(json.dumps(note))}
    model = onnx.load(folder / "eri_features.onnx")
    assert {one.key: one.value for one in model.metadata_props} == {"emotions": "Joy,Awe,Fear", "model": "eri_features"}
    assert model.graph.output[0].name == "intensities"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_parts_are_proven_together_and_those_of_before_go(run, stood_in, monkeypatch):
    def write_parts(trained, file, kind, batch):
        pieces = [file.with_name(f"{file.stem}.{name}.{kind}") for name in ("frames", "temporal")]
        for piece in pieces:
            piece.write_text(f"{piece.name} {batch}")
        return pieces

    runs = []
    monkeypatch.setattr(exporter, "_write_parts", write_parts)
    monkeypatch.setattr(exporter, "parts_of", lambda network: ())
    monkeypatch.setattr(exporter, "describe_parts", lambda model, target, pieces, batch, apart: {
        "told": [target.name, [piece.name for piece in pieces], batch, apart]})
    answer = exporter.run_in_fresh_process

    def run_both(file, inputs, batch, device, second=None):
        runs.append((file.name, second and second.name))
        stood_in.off = 4e-6 if second is None else 7e-6
        return answer(file, inputs, batch, device)

    monkeypatch.setattr(exporter, "run_in_fresh_process", run_both)
    report = export(run, formats=("mindir",), batch=5, parts=True)
    names = [f"eri_features.{end}" for end in ("mindir", "frames.mindir", "temporal.mindir")]
    assert [file.path.name for file in report.files] == names
    assert runs == [(names[0], None), (names[1], names[2])]
    assert [round(file.max_difference, 7) for file in report.files] == pytest.approx([4e-6, 7e-6, 7e-6], rel=0.05)
    assert (run / "export" / names[2]).read_text() == f"{names[2]} 5"
    said = json.loads(report.files[1].sidecar.read_text())
    assert said["parts"]["told"] == [names[0], names[1:], 5, report.files[1].max_difference]
    stood_in.off = 4e-6
    export(run, formats=("mindir",))
    assert sorted(path.name for path in (run / "export").iterdir()) == ["MODEL_CARD.md", names[0], f"{names[0]}.json"]
    assert "parts" not in json.loads(report.files[0].sidecar.read_text())


def test_parts_of_what_has_none(run, stood_in, monkeypatch):
    with pytest.raises(ConfigError, match="eri_features cannot be exported in parts: nothing is known that it does"):
        export(run, parts=True)
    monkeypatch.setattr(exporter, "setup", lambda config: SimpleNamespace(device="Ascend"))
    monkeypatch.setattr(exporter, "use_full_float32", lambda device: None)
    with pytest.raises(ConfigError, match="the parts of an AIR could not be run here"):
        export(run, formats=("mindir", "air"), parts=True)
    assert not stood_in.exports


def test_a_fixed_batch_is_fixed_everywhere(run, stood_in, tmp_path):
    report = export(run, tmp_path / "out", batch=5, formats=("onnx", "mindir", "onnx"))
    assert [file.path.name for file in report.files] == ["eri_features.onnx", "eri_features.mindir"]
    assert [shapes for _, shapes, _ in stood_in.exports] == [[((5, 4, 3), ms.float32)]] * 2
    assert [batch for *_, batch in stood_in.runs] == [5, 5]
    assert json.loads(report.files[1].sidecar.read_text())["batch"] == 5
    graph = onnx.load(tmp_path / "out" / "eri_features.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 5


def test_inputs_get_their_names_back(run, stood_in):
    stood_in.names = ("inputs0",)  # as MindSpore numbers them
    file, = export(run, formats=("onnx",)).files
    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["fau"]
    assert session.run(None, {"fau": np.full((2, 4, 3), 0.75, "f")})[0].tolist() == [[0.75]] * 2
    assert json.loads(file.sidecar.read_text())["sha256"] == file_hash(file.path)  # of the file as it lies there


@pytest.mark.parametrize("change, error, message", [
    ({"off": 2e-5}, ExportError, r"eri_features.mindir: differs from the checkpoint by 2.0\de-05 \(check clip \d, "
     r"emotion \d\), the limit is 1e-05; the file was not kept"),
    ({"off": float("nan")}, ExportError, "differs from the checkpoint by nan")])
def test_what_lay_there_stays_where_the_new_file_is_not_kept(change, error, message, run, stood_in):
    folder = run / "export"
    (folder / ".eri_features.mindir.work").mkdir(parents=True)
    (folder / ".eri_features.mindir.work" / "half.mindir").touch()  # an export was killed
    (folder / "eri_features.mindir").write_text("old")
    vars(stood_in).update(change)
    with pytest.raises(error, match=message):
        export(run, formats=("mindir",))
    assert [path.name for path in folder.iterdir()] == ["eri_features.mindir"]
    assert (folder / "eri_features.mindir").read_text() == "old"
    stood_in.off = 0.0
    export(run, formats=("mindir",))
    assert (folder / "eri_features.mindir").read_bytes() == b"a graph"


@pytest.mark.parametrize("error", [RuntimeError("no such operator\nand more"), ValueError("no such operator"),
                                   TypeError("no such operator")])
def test_what_mindspore_cannot_export(error, run, stood_in, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(exporter.ms, "export", fail)
    with pytest.raises(ExportError, match=rf"eri_features.mindir: MindSpore {ms.__version__} could not export it: "
                                          "no such operator$"):
        export(run, formats=("mindir",))
    assert not (run / "export").exists()


def test_the_device_asked_for_gives_both_answers(run, stood_in, monkeypatch):
    with pytest.raises(ConfigError, match="runtime.device is GPU, which cannot be used here"):
        export(run, device="GPU")
    asked = []
    monkeypatch.setattr(exporter, "setup", lambda runtime: asked.append(runtime) or SimpleNamespace(device="Ascend"))
    full = []
    monkeypatch.setattr(exporter, "use_full_float32", full.append)
    export(run, formats=("mindir", "onnx"), device="Ascend")
    assert [runtime.device for runtime in asked] == full == ["Ascend"]
    assert stood_in.devices == ["Ascend", "CPU"]  # ONNX is run by the processor, wherever it came from


@pytest.mark.parametrize("settled, taken", [(None, "CPU"), ("CPU", "CPU"), ("GPU", "GPU")])
def test_without_a_word_the_processor_gives_them_unless_another_device_computes_already(
        settled, taken, run, stood_in, monkeypatch):
    asked = []
    monkeypatch.setattr(exporter, "use_full_float32", asked.append)
    monkeypatch.setattr(exporter, "computing_on", lambda: settled)
    monkeypatch.setattr(exporter, "setup", lambda runtime: SimpleNamespace(device=runtime.device))
    export(run, formats=("mindir",))
    assert asked == stood_in.devices == [taken]


def test_air_is_written_on_ascend_and_nobody_runs_it(run, stood_in, monkeypatch):
    with pytest.raises(ExportError, match="AIR files can be written on Ascend only, and this process computes on CPU; "
                                          "name that device"):
        export(run, formats=("mindir", "air"))
    assert not stood_in.exports
    monkeypatch.setattr(exporter, "setup", lambda config: SimpleNamespace(device="Ascend"))
    monkeypatch.setattr(exporter, "use_full_float32", lambda device: None)
    file, = export(run, formats=("air",)).files
    assert np.isnan(file.max_difference) and file.format == "air" and not stood_in.runs
    assert json.loads(file.sidecar.read_text())["max_difference"] is None


@pytest.mark.parametrize("options, message", [
    ({"formats": ("mindir", "tflite")}, "formats mindir, tflite: choose from mindir, onnx, air"),
    ({"formats": ()}, "formats none: choose from"), ({"batch": 0}, "batch 0 is below 1; leave it out"),
    ({"batch": -2}, "batch -2 is below 1")])
def test_options_that_mean_nothing(options, message, run):
    with pytest.raises(ConfigError, match=message):
        export(run, **options)
    with pytest.raises(CheckpointError, match="nowhere: no such"):
        export(run / "nowhere", batch=1)


def test_a_lone_checkpoints_files_lie_beside_it(tiny, tmp_path, stood_in):
    model = tiny("eri_features", features=("fau",), feature_widths=(3,), mfcc_features=256)
    save_checkpoint(tmp_path / "one.ckpt", build_network(model), note_of(model, features={"fau": FAU}))
    report = export(tmp_path / "one.ckpt", formats=("mindir",))
    assert report.files[0].path == tmp_path / "eri_features.mindir" and report.card.parent == tmp_path
    assert json.loads(report.files[0].sidecar.read_text())["preprocess"]["audio"]["stack"] == 2  # 256 / the paper's 128


def test_another_export_is_waited_for(run, stood_in):
    (run / "export").mkdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, str(run / "export" / ".lock")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(BusyError, match=r"export: another process \(another export\) is at work there"):
            export(run)
        other.stdin.close()
    file, = export(run).files
    assert file.format == "mindir"  # unless more is asked for


def test_checks_use_the_statistics_of_the_training_set(tiny, tmp_path, monkeypatch):
    model = tiny("eri_multi_branch", features=("fau", "gaze"), feature_widths=(3, 1))
    network = build_network(model)
    wanted = {"mfcc": [np.arange(12) + 50.0, np.arange(12) + 1.0], "gaze": [np.array([7.0]), np.array([8.0])],
              "fau": [np.array([1.0, 2, 3]), np.array([4.0, 5, 6])]}
    for prefix, name in (("acoustic.mfcc", "mfcc"), ("feature_branches.0.feature", "fau"),
                         ("feature_branches.1.feature", "gaze")):
        for kind, value in zip(("mean", "std"), wanted[name]):
            network.parameters_dict()[f"{prefix}_{kind}"].set_data(ms.Tensor(value, ms.float32))
    save_checkpoint(tmp_path / "one.ckpt", network, note_of(model))
    seen, made = [], {name: np.full(1, i) for i, name in enumerate(("present", "fau", "frames", "gaze", "mfcc"))}
    monkeypatch.setattr(exporter, "check_inputs", lambda *given: seen.append(given) or made)
    monkeypatch.setattr(exporter.CellBackend, "run", lambda self, inputs: seen.append(inputs) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(tmp_path / "one.ckpt")
    (config, statistics), inputs = seen
    assert config == model and [value.item() for value in inputs] == [2, 4, 1, 3, 0]  # in the order of the call
    assert {name: [v.tolist() for v in pair] for name, pair in statistics.items()} == {
        name: [v.tolist() for v in pair] for name, pair in wanted.items()}


def test_the_tolerance_is_the_callers():
    expected = np.array([[0.25, 0.5], [0.75, 0.125], [0.5, 0.5]])
    answers = np.stack([expected, expected])
    answers[0, 1, 0] -= 0.0625
    answers[1, 0, 1] += 0.03125
    assert compare(answers, expected, "f", 0.0625) == 0.0625
    with pytest.raises(ExportError, match=r"f: differs from the checkpoint by 6.25e-02 \(check clip 1, emotion 0\), "
                                          "the limit is 6e-02"):
        compare(answers, expected, "f", tolerance=0.06)
