# SPDX-License-Identifier: Apache-2.0
"""What predict hands over, refuses, prints and ends with."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.commands import predict as command
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.threads import cores

JOBS = "mindface_eri.prediction.jobs.find_jobs"
LOAD = "mindface_eri.prediction.predictor.load_predictor"
WRITER = "mindface_eri.report.writer.Writer"
ROW = {"File_ID": "a", "Fear": 0.25}
WORDS = ["predict", "a.mp4", "b.mp4", "--model", "m"]


def answer(name="a", **more):
    """What is said of a clip; by default that its fear is a quarter."""
    return Prediction(name, ("Fear",), intensities=np.array([0.25]), **more)


class Net:
    """Gives `answers`; `calls` are what it was asked for, each argument of a predictor's by name."""

    emotions = ("Fear",)

    def __init__(self, *features, answers=None):
        self.model, self.calls = SimpleNamespace(name="eri_net", features=features), []
        self.answers = [answer()] if answers is None else answers

    def predict(self, *arguments, **options):
        bound = inspect.signature(Predictor.predict).bind(self, *arguments, **options)
        bound.apply_defaults()
        self.calls.append({name: value for name, value in bound.arguments.items() if name not in ("self", "notify")})
        yield from self.answers


@pytest.fixture
def job(stand_in):
    jobs = [Job("a", Path("a.mp4"), Path("a.wav")), Job("b", Path("b.mp4"))]
    net = Net()
    return SimpleNamespace(jobs=jobs, net=net, found=stand_in(JOBS, jobs), loaded=stand_in(LOAD, net), calls=net.calls)


def test_without_options_one_clip_at_a_time_in_one_worker(job, status):
    code, out, _ = status(*WORDS)
    assert code == 0 and out.splitlines()[0] == "| File_ID |  Fear |" and "| a       | 0.250 |" in out
    assert job.found == [{"paths": ["a.mp4", "b.mp4"]}]
    assert job.loaded == [{"path": Path("m"), "which": "best", "device": "auto", "threads": 0}]
    assert job.calls == [{"clips": job.jobs, "window": 0.0, "hop": 0.0, "whole": False, "batch_size": 1, "workers": 1,
                          "clip_limit": 3600.0, "attention": False, "moving": False, "features": {}, "person": None,
                          "people": None, "taken": None}]


def test_without_a_model_the_package_s_own_answers_and_is_what_pictures_name(job, stand_in, status, monkeypatch):
    made = stand_in(WRITER, Look())
    stand_in("mindface_eri.prediction.default_model.default_model", Path("own.onnx"))
    assert status("predict", "a.mp4", "--report", "r")[0] == 0
    assert job.loaded[0]["path"] is None and made[0]["model"] == Path("own.onnx")


def test_options_reach_the_prediction(job, status):
    given = {"window": 4.5, "hop": 0.5, "batch_size": 8, "workers": 2, "clip_limit": 7.5, "person": "her.jpg"}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert status(*WORDS, *words)[0] == 0
    assert {name: job.calls[0][name] for name in (*given, "whole")} == {**given, "whole": False}
    status(*WORDS, "--whole", "--workers", "1000")
    assert job.calls[1]["whole"] is True and job.calls[1]["workers"] == 4 * cores()  # more would only fill the memory


@pytest.mark.parametrize("device", ["auto", "CPU", "GPU", "Ascend"])
def test_the_device_is_the_one_asked_for(job, status, device):
    assert status(*WORDS, "--device", device)[0] == 0
    assert job.loaded[0]["device"] == device


def test_answers_go_where_and_how_they_are_asked_for(job, status, tmp_path):
    assert status(*WORDS, "--format", "csv")[1] == "File_ID,Fear\na,0.250000\n"
    assert json.loads(status(*WORDS, "--format", "json")[1]) == [ROW]
    assert status(*WORDS, "--out", tmp_path / "x.csv", "--format", "json")[1] == f"1 rows in {tmp_path / 'x.csv'}\n"
    assert (tmp_path / "x.csv").read_text() == "File_ID,Fear\na,0.250000\n"


def test_a_timeline_has_a_row_a_segment(job, status):
    job.net.answers = [answer(segments=np.array([[0, 2], [2, 3.5]]), values=np.array([[0.5], [np.nan]]), window=2.0)]
    code, out, _ = status(*WORDS, "--format", "csv")
    assert (code, out) == (0, "File_ID,start,end,Fear,error\na,0.000000,2.000000,0.500000,\n"
                              "a,2.000000,3.500000,,neither face nor sound here\n")  # a window may fail, a clip not


def test_a_clip_that_failed_is_status_1(job, status):
    job.net.answers = [answer(), Prediction("b", ("Fear",), error="no picture")]
    code, out, err = status(*WORDS, "--format", "csv")
    assert (code, out) == (1, "File_ID,Fear,error\na,0.250000,\nb,,no picture\n")
    assert err.splitlines()[-1] == "1 of 2 answered; 1 failed, reasons in the last column"
    assert "answered" not in status(*WORDS[:2], "--model", "m", "--format", "json")[1]


def test_the_last_line_counts_clips_not_the_windows_of_a_timeline(job, status):
    timeline = {"segments": np.array([[0, 2], [2, 3.5]]), "values": np.array([[0.5], [np.nan]]), "window": 2.0}
    job.net.answers = [answer("long", **timeline), answer(), Prediction("b", ("Fear",), error="x"), answer("c")]
    code, _, err = status(*WORDS)
    assert code == 1 and err.endswith("3 of 4 answered; 1 failed, reasons in the last column\n")


class Look:
    """Stands for the writer of pages, overlays and figures."""

    failures = ()

    def targets(self):
        return [Path("folder")]

    def __init__(self, attention=False, moving=False):
        self.attention, self.moving, self.seen = attention, moving, []

    def __call__(self, prediction):
        self.seen.append(prediction)

    def finish(self):
        return [Path("one.html"), Path("two.html")]


@pytest.mark.parametrize("option, attention, moving", [
    ("report", True, False), ("overlay", False, True), ("figure", True, True)])
def test_pictures_are_written_along(job, stand_in, status, option, attention, moving):
    look = Look(attention, moving)
    made = stand_in(WRITER, look)
    code, out, shown = status(*WORDS, f"--{option}", "folder")
    wanted = {"names": ["a", "b"], "predictor": job.net, "model": Path("m"), "report": None, "overlay": None,
              "figure": None, option: Path("folder")}
    assert code == 0 and made == [wanted] and look.seen == job.net.answers
    assert (job.calls[0]["attention"], job.calls[0]["moving"]) == (attention, moving)  # what the pictures need
    assert shown == "wrote one.html\nwrote two.html\n" and "wrote" not in out
    look.failures = ["a: no face"]
    code, _, shown = status(*WORDS, f"--{option}", "folder")
    assert code == 1 and shown.endswith("mindface-eri predict: a: no face\n")


@pytest.mark.parametrize("words, said", [
    ("--batch-size 0", "--batch-size 0: must be at least 1"), ("--workers 0", "--workers 0: must be at least 1"),
    ("--window -1", "--window -1.0: must be at least 0"), ("--hop -0.5", "--hop -0.5: must be at least 0"),
    ("--whole --window 3", "--whole asks for one row"), ("--whole --hop 3", "--whole asks for one row"),
    ("--features fau=f", "--features fau: eri_net takes no other features than those of the clip")])
def test_what_does_not_go_together_is_wrong_usage(job, status, words, said):
    code, out, shown = status(*WORDS, *words.split())
    assert (code, out, job.calls) == (2, "", []) and said in shown


def test_networks_of_feature_sets_get_their_folders(job, stand_in, status, tmp_path):
    for name in ("fau", "gaze"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("")
    (tmp_path / "gaze" / "b.csv").write_text("")
    net = Net("fau", "gaze", answers=[answer("a"), answer("b")])
    stand_in(LOAD, net)
    folders = {"fau": str(tmp_path / "fau"), "gaze": str(tmp_path / "gaze")}
    words = [word for name, folder in folders.items() for word in ("--features", f"{name}={folder}")]
    code, out, shown = status(*WORDS, *words)
    assert code == 0 and out.count("0.250") == 2
    assert (net.calls[0]["clips"], net.calls[0]["features"]) == (job.jobs, folders)
    assert shown == (f"mindface-eri predict: {folders['fau']} has no file for 1 of 2 clips; they are answered without "
                     "fau\n")
    net.answers = [answer("a"), Prediction("b", ("Fear",), error="no picture")]
    code, _, shown = status(*WORDS, *words)
    assert (code, shown.count("\n")) == (1, 1) and "fau" not in shown  # of a clip that failed nothing is missed
    net.answers = [answer("a")]
    look = Look(attention=True)
    stand_in(WRITER, look)
    for option, value in (("report", "r"), ("overlay", "o"), ("figure", "f"), ("window", 3), ("hop", 3)):
        assert status(*WORDS, *words, f"--{option}", value)[0] == 0  # as for any other network
        assert net.calls[-1]["features"] == folders
    assert look.seen == 3 * net.answers


@pytest.mark.parametrize("total, terminal, shown", [(2, True, True), (1, True, False), (2, False, False)])
def test_a_bar_is_for_several_clips_on_a_terminal(total, terminal, shown, monkeypatch):
    monkeypatch.setattr(command.sys, "stderr", SimpleNamespace(
        isatty=lambda: terminal, write=lambda text: None, flush=lambda: None))
    progress = command._Progress(total)
    assert (not progress.bar.disable) == shown
    for _ in range(total if shown else 0):
        assert not progress.bar.disable
        progress()
    assert progress.bar.n == (total if shown else 0) and progress.bar.disable  # it closes itself at the end
