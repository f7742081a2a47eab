# SPDX-License-Identifier: Apache-2.0
"""What benchmark measures on, with what settings, and how it tells."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from mindface_eri.benchmark.harness import Row, Timing
from mindface_eri.benchmark.route import SMALL
from mindface_eri.commands import benchmark as command
from mindface_eri.config import Config
from mindface_eri.threads import VARIABLES, cores

ROOM = "mindface_eri.benchmark"
A, B = Path("a"), Path("b")
ROWS = [Row("one clip", Timing((0.5, 0.25, 0.75)))]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Threads are set in the process's environment: in a copy here."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize("words, target, expected", [
    ("preprocess a b", "preprocess.benchmark_preprocess",
     {"paths": [A, B], "repeats": 3, "config": Config().preprocess}),
    ("preprocess a --repeats 5", "preprocess.benchmark_preprocess", {"paths": [A], "repeats": 5}),
    ("features", "features.benchmark_features", {"repeats": 3, "config": Config().preprocess}),
    ("features --repeats 5", "features.benchmark_features", {"repeats": 5}),
    ("data", "data.benchmark_data", {"records": [], "clips": 256, "workers": cores(), "repeats": 3}),
    ("data a b --clips 9 --workers 5 --repeats 7", "data.benchmark_data",
     {"records": [A, B], "clips": 9, "workers": 5, "repeats": 7}),
    ("infer", "networks.benchmark_infer", {"model": Config().model, "repeats": 3, "threads": cores()}),
    ("infer --threads 7 --repeats 5", "networks.benchmark_infer", {"repeats": 5, "threads": 7}),
    ("train", "training.benchmark_train", {"model": Config().model, "repeats": 3, "threads": cores()}),
    ("train --threads 7 --repeats 5", "training.benchmark_train", {"repeats": 5, "threads": 7}),
    ("kernels", "kernels.benchmark_kernels", {"model": Config().model, "repeats": 3, "threads": cores()}),
    ("kernels --threads 7 --repeats 5", "kernels.benchmark_kernels", {"repeats": 5, "threads": 7}),
    ("predict", "predict.benchmark_predict", {"paths": [], "repeats": 3, "threads": cores(), "config": Config()}),
    ("predict a b --threads 7 --repeats 5", "predict.benchmark_predict",
     {"paths": [A, B], "repeats": 5, "threads": 7}),
    ("timeline a --threads 7 --repeats 5", "timeline.benchmark_timeline",
     {"paths": [A], "repeats": 5, "threads": 7, "config": Config()}),
    ("route", "route.benchmark_route", {"corpus": None, "workers": cores(), "config": SMALL, "clips": 32}),
    ("route a --clips 8 --workers 5", "route.benchmark_route",
     {"corpus": A, "workers": 5, "config": SMALL, "clips": 8}),
    ("growth", "growth.benchmark_growth", {"sizes": (50, 500, 2000), "corpus": None, "workers": cores()}),
    ("growth a --clips 3 6 --workers 5", "growth.benchmark_growth", {"sizes": [3, 6], "corpus": A, "workers": 5}),
])
def test_options_reach_the_subject(words, target, expected, stand_in, status):
    calls = stand_in(f"{ROOM}.{target}", ROWS)
    assert status("benchmark", *words.split())[0] == 0
    assert {name: calls[0][name] for name in expected} == expected


@pytest.mark.parametrize("subject, target, read", [
    ("preprocess a", "preprocess.benchmark_preprocess", lambda call: call["config"].frames),
    ("features", "features.benchmark_features", lambda call: call["config"].frames),
    ("data", "data.benchmark_data", lambda call: call["config"].frames),
    ("infer", "networks.benchmark_infer", lambda call: call["model"].frames),
    ("train", "training.benchmark_train", lambda call: call["model"].frames),
    ("kernels", "kernels.benchmark_kernels", lambda call: call["model"].frames),
    ("predict", "predict.benchmark_predict", lambda call: call["config"].model.frames),
    ("timeline", "timeline.benchmark_timeline", lambda call: call["config"].model.frames),
    ("route", "route.benchmark_route", lambda call: call["config"].model.frames)])
def test_the_recipe_reaches_the_subject(subject, target, read, stand_in, status, tmp_path):
    calls = stand_in(f"{ROOM}.{target}", ROWS)
    words = ["benchmark", *subject.split()]
    assert status(*words, "--set", "model.frames=8", "--set", "preprocess.frames=8")[0] == 0
    (tmp_path / "r.yaml").write_text("model: {frames: 16}\npreprocess: {frames: 16}\n")
    assert status(*words, "--config", tmp_path / "r.yaml")[0] == 0
    assert [read(call) for call in calls] == [8, 16]


def test_without_videos_a_drawn_clip_is_preprocessed(stand_in, status):
    drawn, calls = stand_in(f"{ROOM}.clips.drawn_clip", A), stand_in(f"{ROOM}.preprocess.benchmark_preprocess", ROWS)
    assert status("benchmark", "preprocess")[0] == 0
    assert calls[0]["paths"] == [A] and not Path(drawn[0]["folder"]).exists()


def test_libraries_are_held_to_the_threads_before_they_start(stand_in, status):
    stand_in(f"{ROOM}.networks.benchmark_infer", ROWS)
    machine = stand_in(f"{ROOM}.machine.describe", {"threads": 7})
    stand_in(f"{ROOM}.machine.sentence", "a machine"), stand_in(f"{ROOM}.harness.find_torch", None)
    out = status("benchmark", "infer", "--threads", "7", "--repeats", "2")[1]
    assert {os.environ[name] for name in VARIABLES} == {"7"} and machine[0]["threads"] == 7
    assert out.startswith("infer, 2 rounds; a machine\n\n| ") and "| one clip" in out
    assert "no ratios: PyTorch is not installed; pip install 'mindface_eri[bench]'" in out
    out = status("benchmark", "infer", "--json")[1]
    assert json.loads(out) == {"machine": {"threads": 7}, "subject": "infer", "rows": [
        json.loads(json.dumps(ROWS[0].as_dict()))]}


@pytest.mark.parametrize("subject, target, told", [
    ("features", "features.benchmark_features", False), ("growth", "growth.benchmark_growth", False),
    ("preprocess a", "preprocess.benchmark_preprocess", False),
    ("timeline a", "timeline.benchmark_timeline", False), ("data", "data.benchmark_data", True),
    ("predict", "predict.benchmark_predict", True), ("route", "route.benchmark_route", True)])
@pytest.mark.parametrize("torch", [None, "torch"])
def test_ratios_are_missed_only_where_pytorch_would_give_them(subject, target, told, torch, stand_in, status):
    stand_in(f"{ROOM}.{target}", ROWS), stand_in(f"{ROOM}.harness.find_torch", torch)
    assert ("no ratios" in status("benchmark", *subject.split())[1]) == (told and torch is None)


@pytest.mark.parametrize("words, said", [
    ("infer --repeats 0", "--repeats 0: must be at least 1"), ("infer --threads 0", "--threads 0: must be at least 1"),
    ("data --workers 0", "--workers 0: must be at least 1"), ("growth --clips 4 2", "--clips 2: must be at least 3"),
    ("infer a", "benchmark infer takes no paths; these do: preprocess (video files), predict (video files), "
                "timeline (video files), data (folders of records), route (a data set), growth (a generated corpus)"),
    ("features a", "features takes no paths"), ("train a", "train takes no paths"),
    ("route a b", "benchmark route takes one path, a data set; 2 were given"),
    ("growth a b", "benchmark growth takes one path, a generated corpus; 2 were given")])
def test_what_cannot_be_measured_is_wrong_usage(words, said, status, monkeypatch):
    monkeypatch.setattr("mindface_eri.commands.benchmark._measure", lambda *_: ROWS)  # nothing is, were it accepted
    code, out, shown = status("benchmark", *words.split())
    assert (code, out) == (2, "") and said in shown


@pytest.mark.parametrize("returned, code", [([0] * 9, 0), ([0, 0, 3, 0, 0, 0, 0, 0, 0], 1)])
def test_one_subject_that_fails_fails_the_whole_and_stops_no_other(returned, code, status, monkeypatch):
    codes = iter(returned)
    monkeypatch.setattr(command, "_wait", lambda words, variables: next(codes))
    assert status("benchmark", "--threads", "1")[0] == code
    assert not list(codes)


@pytest.mark.parametrize("ours, seen", [(True, None), (False, "AVX2")])
def test_a_subject_starts_without_what_was_set_for_this_process(ours, seen, status, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr("mindface_eri.device.context._isa_is_ours", ours)
    found = []
    monkeypatch.setattr(command, "_wait", lambda words, variables: found.append(variables) or 0)
    assert status("benchmark", "--threads", "1")[0] == 0
    assert [each.get("ONEDNN_MAX_CPU_ISA") for each in found] == [seen] * 9 and all("PATH" in each for each in found)


def test_a_subject_that_is_stopped_stops_the_whole_and_has_said_so(status, monkeypatch):
    monkeypatch.setattr(command, "_wait", lambda words, variables: 130)
    assert status("benchmark", "--threads", "1") == (130, "", "")
    monkeypatch.undo()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with pytest.raises(KeyboardInterrupt):
        command._wait([sys.executable, "-c",
                       "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"])
