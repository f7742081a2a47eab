# SPDX-License-Identifier: Apache-2.0
"""Rows of the subjects that compute, from contestants and clips whose answers and times are known."""

import dataclasses
import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.benchmark import networks, predict, training
from mindface_eri.benchmark import preprocess as taken_apart
from mindface_eri.benchmark.harness import Timing
from mindface_eri.benchmark.networks import (
    benchmark_infer,
    clip_inputs,
    export_all,
    forward_multiply_adds,
    lower_all,
    network_row,
    twin_network,
    with_yardsticks,
)
from mindface_eri.benchmark.predict import benchmark_predict
from mindface_eri.benchmark.preprocess import benchmark_preprocess, box_iou, mean_iou
from mindface_eri.benchmark.processes import Contestant, Finished
from mindface_eri.benchmark.training import PARTS, benchmark_train, peak_memory
from mindface_eri.config import AudioConfig, Config, FaceConfig, ModelConfig, PreprocessConfig, load_config
from mindface_eri.constants import FRAME_STATES
from mindface_eri.deploy import exporter
from mindface_eri.deploy.sidecar import infer_preprocess
from mindface_eri.deploy.verify import check_inputs
from mindface_eri.device import context
from mindface_eri.errors import ConfigError, ERIError, MissingDependencyError
from mindface_eri.threads import cores

TOY = ModelConfig(frames=4, crop_size=32, mfcc_features=128, stem_width=8, spatial_depth=1, spatial_heads=2, width=16,
                  tcn_dilations=(1, 2), temporal_depth=1, temporal_heads=2)
PREPROCESS = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=16))
SECONDS = {"ours": 2.0, "theirs": 6.0, "limit": 0.5, "checkpoint": 2.0, "mindir": 3.0, "onnx": 1.0, "track": 2.0,
           "every-frame": 4.0}


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the parts below, whose times are `SECONDS`."""
    seen = []

    def in_turns(calls, repeats, **more):
        seen.append((list(calls), repeats, more))
        return {name: Timing((SECONDS[name],)) for name in calls}, {name: call() for name, call in calls.items()}

    for module in (networks, predict, taken_apart):
        monkeypatch.setattr(module, "in_turns", in_turns)
    monkeypatch.setattr(context, "setup", lambda config: seen.append(("threads", config.threads)))
    return seen


def test_the_limit_is_the_fastest_product_of_the_work(asked, monkeypatch):
    works, seconds = [], iter([0.75])
    monkeypatch.setattr(networks, "matmul_seconds", lambda work: works.append(work) or next(seconds))
    times = with_yardsticks({"ours": int}, lambda: works.append("twin"), 6e9, 4)
    assert asked == [(["ours", "theirs", "limit"], 4, {"warmups": 2})] and works == ["twin", 6e9]
    assert times["limit"].samples == (0.75,) and times["ours"].samples == (2.0,)
    monkeypatch.setattr(networks, "in_turns", lambda calls, *_, **__: ({}, [calls["limit"]() for _ in range(3)]))
    seconds = iter([0.5, 0.25, 0.75])
    assert with_yardsticks({}, None, 1.0, 1) == {"limit": Timing((0.25,))}


def test_a_contestant_beside_the_twin():
    times = {name: Timing((seconds,)) for name, seconds in SECONDS.items()}
    one = network_row("x", "mindir", times, "told")
    assert (one.ours.median, one.theirs.median, one.bound.median) == (3.0, 6.0, 0.5)
    assert (one.yardstick, one.limit, one.note) == ("eager PyTorch twin", "matrix-multiply peak", "told")
    assert network_row("x", "ours", {"ours": Timing((1.0,))}).note == ""


def test_inputs_are_the_two_ordinary_clips_over_and_over():
    made = check_inputs(TOY)
    frames, mfcc, present = clip_inputs(TOY, 3)
    assert np.array_equal(frames, made["frames"][[0, 1, 0]]) and np.array_equal(mfcc, made["mfcc"][[0, 1, 0]])
    assert present.tolist() == [[1, 1]] * 3
    assert [array.shape for array in clip_inputs(dataclasses.replace(TOY, name="eri_acoustic"), 1)] == [(1, 4, 128)]


def test_inference_by_hand(asked, monkeypatch):
    runs = []
    contestants = {name: SimpleNamespace(run=lambda inputs, name=name: runs.append((name, len(inputs), len(inputs[0]))))
                   for name in ("checkpoint", "mindir", "onnx")}
    monkeypatch.setattr(networks, "export_all",
                        lambda model, folder, threads: asked.append((model, threads)) or contestants)
    monkeypatch.setattr(networks, "twin_network", lambda model, threads: asked.append((model, threads)))
    lowered = []
    monkeypatch.setattr(networks, "lower_all", lambda model, folder, threads: lowered.append((model, threads)) or {})
    works = []
    monkeypatch.setattr(networks, "matmul_seconds", lambda work: works.append(work) or 0.25)
    rows = benchmark_infer(TOY, repeats=4, threads=3)
    assert [row.what for row in rows] == [f"eri_dual_branch, one clip: {name}" for name in contestants]
    assert [(row.ours.median, row.bound.median, row.theirs) for row in rows] == [(t, 0.25, None) for t in (2, 3, 1)]
    assert runs == [(name, 3, 1) for name in contestants] and works == [forward_multiply_adds(TOY)]
    assert asked == [("threads", 3), (TOY, 3), (TOY, 3), ([*contestants, "limit"], 4, {"warmups": 2})]
    monkeypatch.setattr(networks, "twin_network",
                        lambda model, threads: lambda inputs: runs.append(("twin", len(inputs))))
    assert [row.speedup for row in benchmark_infer(TOY)] == [3, 2, 6] and ("twin", 3) in runs
    assert asked[-1][1] == 3 and asked[-3] == ("threads", cores()) and lowered == [(TOY, 3), (TOY, cores())]
    del contestants["onnx"]
    benchmark_infer(TOY)
    assert len(lowered) == 2


@pytest.mark.parametrize("lacking", [None, ConfigError("no bf16"), MissingDependencyError("no OpenVINO")])
def test_lower_precision_of_the_file_that_was_exported(lacking, monkeypatch, tmp_path):
    def open_(path, threads, precision):
        if lacking is not None and (precision == "bf16" or isinstance(lacking, MissingDependencyError)):
            raise lacking
        return path, threads, precision

    monkeypatch.setattr("mindface_eri.deploy.quantize.write_lowered",
                        lambda kind, file, made, given: (kind, file, made.parent, [len(array) for array in given]))
    monkeypatch.setattr(networks, "OnnxBackend", lambda path, threads: (path, threads))
    monkeypatch.setattr(networks, "OpenVinoBackend", open_)
    found, file = lower_all(TOY, tmp_path, 3), tmp_path / "export" / "eri_dual_branch.onnx"
    for kind in ("int8-dynamic", "int8-static"):
        assert found.pop(f"onnx, {kind}") == ((kind, file, tmp_path, [2, 2, 2]), 3)
    kinds = ["f32", "bf16"][:2 if lacking is None else int(isinstance(lacking, ConfigError))]
    assert found == {f"openvino, {kind}": (file, 3, kind) for kind in kinds}


@pytest.mark.parametrize("onnx", [True, False])
def test_what_is_exported_is_the_checkpoint(onnx, monkeypatch, tmp_path):
    asked = []

    def export(folder, formats):
        asked.append((folder, formats))
        return SimpleNamespace(files=[SimpleNamespace(format=kind, path=folder / f"x.{kind}") for kind in formats])

    monkeypatch.setattr(exporter, "export", export)
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime") if onnx else None)
    monkeypatch.setitem(sys.modules, "onnx", ModuleType("onnx"))
    monkeypatch.setattr(networks, "OnnxBackend", lambda path, threads: (path.name, threads))
    monkeypatch.setattr(networks, "CellBackend", lambda network: network)
    monkeypatch.setattr("mindspore.load", Path)
    monkeypatch.setattr("mindspore.nn.GraphCell", lambda graph: ("graph", graph.name))
    found = export_all(TOY, tmp_path, 3)
    formats = ["mindir", "onnx"] if onnx else ["mindir"]
    assert asked == [(tmp_path, formats)] and list(found) == ["checkpoint", *formats]
    assert found["mindir"] == ("graph", "x.mindir") and found.get("onnx", ("x.onnx", 3)) == ("x.onnx", 3)
    assert not any("bn1" in name for name, _ in found["checkpoint"].parameters_and_names())  # folded, as predictors are
    config = load_config(tmp_path / "config.yaml")
    assert config.model == TOY and config.preprocess == infer_preprocess(TOY)


def test_without_pytorch_there_is_no_twin(monkeypatch):
    asked = []
    monkeypatch.setattr(networks, "find_torch", asked.append)
    assert twin_network(TOY, 3) is None and asked == [3]


def test_from_a_clip_to_its_intensities(asked, monkeypatch):
    clip = SimpleNamespace(frames=np.ones((4, 2)), mfcc=np.full((4, 3), 7.0))
    got = []
    backends = {name: SimpleNamespace(run=lambda inputs, name=name: got.append((name, inputs)))
                for name in ("mindir", "onnx")}
    monkeypatch.setattr(predict, "export_all",
                        lambda model, folder, threads: asked.append((model.name, threads)) or backends)
    monkeypatch.setattr(predict, "twin_network", lambda model, threads: lambda inputs: got.append(("twin", inputs)))
    monkeypatch.setattr(predict, "extract_clip", lambda path, config: asked.append((path, config)) or clip)
    monkeypatch.setattr(predict, "literal_clip", lambda path, config: asked.append(("plain", path, config)) or clip)
    config = Config(model=TOY, preprocess=PREPROCESS)
    row, = benchmark_predict(["a/one.mp4"], repeats=2, threads=4, config=config)
    assert (row.what, row.speedup) == ("one.mp4 to intensities, onnx", 3.0)
    assert row.yardstick == "plain OpenCV and dlib script, eager PyTorch twin"
    assert asked == [("threads", 4), ("eri_dual_branch", 4), (["ours", "theirs"], 2, {}), ("a/one.mp4", PREPROCESS),
                     ("plain", "a/one.mp4", PREPROCESS)]
    assert [name for name, _ in got] == ["onnx", "twin"]
    for _, (frames, mfcc, present) in got:
        assert frames.shape == (1, 4, 2) and (mfcc == 7).all() and mfcc.shape == (1, 4, 3)
        assert present.tolist() == [[1, 1]] and present.dtype == np.float32
    del backends["onnx"]
    monkeypatch.setattr(predict, "twin_network", lambda *_: None)
    monkeypatch.setattr(predict, "drawn_clip", lambda folder: Path(folder) / "drawn.mp4")
    row, = benchmark_predict(config=dataclasses.replace(config, model=dataclasses.replace(TOY, name="eri_acoustic")))
    assert (row.what, row.theirs, len(got[-1][1])) == ("drawn.mp4 to intensities, mindir", None, 1)


def seen(boxes, states):
    return SimpleNamespace(boxes=np.array(boxes, float), detected=np.array([FRAME_STATES.index(s) for s in states]),
                           found_share=0.755, width=640, height=360)


def test_agreement_counts_where_both_follow_a_face():
    square, half, away = [0, 0, 4, 4], [2, 0, 6, 4], [9, 9, 10, 10]
    held, between, found = FRAME_STATES[-3:]
    one = seen([square] * 4, [found, between, found, held])
    other = seen([half, square, away, square], [found, found, between, found])
    assert mean_iou(one, other) == pytest.approx((8 / 24 + 1 + 0) / 3)
    assert np.isnan(mean_iou(one, seen([square] * 4, ["none"] * 4)))
    np.testing.assert_allclose(box_iou(np.array([[0, 0, 2, 8.0]]), np.array([[1, 2, 5, 4.0]])), [2 / 22])


def test_modes_side_by_side(asked, monkeypatch):
    face = FRAME_STATES[-1]
    clips = {"track": seen([[0, 0, 4, 4]], [face]), "every-frame": seen([[2, 0, 6, 4]], [face])}
    monkeypatch.setattr(taken_apart, "extract_clip",
                        lambda path, config: asked.append(config) or clips[config.face.mode])
    monkeypatch.setattr(taken_apart, "literal_clip",
                        lambda path, config: asked.append((path, config)) or SimpleNamespace(found_share=0.5))
    monkeypatch.setattr(taken_apart, "read_frames", lambda path: iter("abc"))
    track, every = benchmark_preprocess(["a/one.mp4"], repeats=4, config=PREPROCESS)
    assert (track.what, every.what) == tuple(f"one.mp4, 640x360, 3 frames: {mode}" for mode in ("track", "every-frame"))
    times = [(row.ours.median, row.theirs.median, row.bound.median) for row in (track, every)]
    assert times == [(2, 6, 0.5), (4, 6, 0.5)]
    assert track.note == "boxes' IoU 0.333; a face in 76% of frames, plain script 50%" and every.note == ""
    assert (track.yardstick, track.limit) == ("plain OpenCV and dlib script", "bare decoding")
    calls, track_config, every_config, (path, plain) = asked
    assert calls == (["track", "every-frame", "theirs", "limit"], 4, {})
    assert [config.face for config in (track_config, every_config)] == [dataclasses.replace(PREPROCESS.face, mode=mode)
                                                                        for mode in ("track", "every-frame")]
    assert (path, plain) == ("a/one.mp4", PREPROCESS)
    benchmark_preprocess(["b.mp4"])
    assert asked[-4][1] == 3 and asked[-1] == ("b.mp4", PreprocessConfig())


class Fake:
    """A contestant that starts nothing."""

    started = None

    def __init__(self, module, part, batch, recipe, side, threads):
        Fake.started.append((module.rpartition(".")[2], part, batch, load_config(recipe).model, side, threads))

    def __call__(self):
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Fake.started.append("ended")


@pytest.mark.parametrize("torch_there", [False, True])
def test_training_steps_by_hand(torch_there, asked, monkeypatch):
    monkeypatch.setattr(Fake, "started", [])
    monkeypatch.setattr(training, "Contestant", Fake)
    monkeypatch.setattr(training, "find_torch", lambda: torch_there)
    monkeypatch.setattr(training, "peak_memory", lambda part, batch, model: 3 << 30)
    works = []
    monkeypatch.setattr(networks, "matmul_seconds", lambda work: works.append(work) or 0.25)
    parts = (("acoustic", 3), ("fusion", 5), ("end to end", 2))
    rows = benchmark_train(parts, model=TOY, repeats=4, threads=1)
    assert [row.what for row in rows] == ["training step, acoustic, batch 3", "training step, fusion, batch 5",
                                          "training step, end to end, batch 2"]
    assert {row.note for row in rows} == {"peak memory 3,072 MiB"} and rows[0].ours.median == 2.0
    assert {row.speedup for row in rows} == {3.0 if torch_there else None}
    sides = ["ours", *["twin"] * torch_there]
    assert asked == [(["ours", *["theirs"] * torch_there, "limit"], 4, {"warmups": 2})] * 3
    assert Fake.started == [event for part, batch in parts for event in (
        *(("training", part, batch, TOY, side, 1) for side in sides), *["ended"] * len(sides))]
    assert works == [3 * batch * forward_multiply_adds(TOY, part) for part, batch in parts]
    assert PARTS == (("acoustic", 64), ("fusion", 64), ("visual", 2), ("end to end", 2))


def test_a_process_takes_turns(monkeypatch, capsys):
    """Without convolutions, on so many threads; once for each line that it is sent."""
    done, calls = [], []
    monkeypatch.setattr(context, "setup", lambda config: calls.append(config.threads))
    monkeypatch.setattr(context, "compute_without_convolutions", lambda: calls.append("products"))
    monkeypatch.setattr(training, "_our_step", lambda part, *_: lambda: done.append(part))
    monkeypatch.setattr(training, "_twin_step", lambda part, *rest: lambda: done.append((part, rest[-1])))
    monkeypatch.setattr(training, "load_config", lambda path: SimpleNamespace(model=TOY))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    training._main("fusion", 3, "recipe", "ours", 2)
    assert done == ["fusion"] * 2 and calls == ["products", 2] and capsys.readouterr().out == "done\n" * 2
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    training._main("visual", 3, "recipe", "twin", 2)
    training._main("visual", 3, "recipe")  # for its memory
    assert done[2:] == [("visual", 2), "visual", "visual"] and calls[2:] == [0]


def test_a_contestant_has_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "worker_of_turns.py").write_text(
        "import os, sys\nfrom mindface_eri.benchmark.processes import take_turns\n"
        "def call():\n    print('MindSpore says something')\n"
        "    print(os.environ.get('ONEDNN_MAX_CPU_ISA'), *sys.argv[1:], file=open(sys.argv[1], 'a'))\n"
        "    if sys.argv[2] == 'fail': sys.exit('no more')\ntake_turns(call)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr(context, "_isa_is_ours", True)
    told = tmp_path / "told"
    with Contestant("worker_of_turns", told, "go") as turn:
        turn()
        turn()
    assert turn.process.poll() is not None and told.read_text().split() == ["None", str(told), "go"] * 2
    with Contestant("worker_of_turns", told, "fail") as turn, pytest.raises(ERIError, match="status 1: no more"):
        turn()


def test_memory_of_a_part_is_that_of_its_own_process(monkeypatch):
    asked = []

    def run(module, part, batch, recipe):
        asked.append((module, part, batch, load_config(recipe)))
        return Finished(1.0, 1.0, 77, "")

    monkeypatch.setattr(training, "run_module", run)
    assert peak_memory("fusion", 5, TOY) == 77
    recipe = Config(model=TOY, preprocess=infer_preprocess(TOY))
    assert asked == [("mindface_eri.benchmark.training", "fusion", 5, recipe)]


@pytest.mark.parametrize("part, batch", [("fusion", 3), ("acoustic", 2)])
def test_a_step_teaches_its_part(part, batch, pynative):
    ms.set_seed(5)
    model = dataclasses.replace(TOY, dropout=0.0, temporal_dropout=0.0, p_both=1.0, stem_checkpoint=None)
    step = training._our_step(part, model, *training._training_inputs(part, model, batch))
    losses = [float(step()) for _ in range(4)]  # nothing is dropped by chance: each step is a little better
    assert 0.01 < losses[0] < 0.3 and losses[-1] < losses[0]
