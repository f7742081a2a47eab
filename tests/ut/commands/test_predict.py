# SPDX-License-Identifier: Apache-2.0
"""What predict hands over, refuses, prints and ends with."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.commands import predict as command
from mindface_eri.threads import cores

JOBS = "mindface_eri.prediction.jobs.find_jobs"
LOAD = "mindface_eri.prediction.predictor.load_predictor"
ANSWER = "mindface_eri.prediction.jobs.predict_jobs"
WRITER = "mindface_eri.report.writer.Writer"
ROW = {"File_ID": "a", "Fear": 0.25}
WORDS = ["predict", "a.mp4", "b.mp4", "--model", "m"]


def predictor(*features):
    calls, rows = [], [ROW, {**ROW, "File_ID": "b"}]
    return SimpleNamespace(model=SimpleNamespace(name="eri_net", features=features), emotions=("Fear",), calls=calls,
                           predict=lambda clips, folders: calls.append((clips, folders)) or rows)


@pytest.fixture
def job(stand_in):
    jobs = [SimpleNamespace(source=Path("a.mp4"), separate_sound=Path("a.wav")),
            SimpleNamespace(source=Path("b.mp4"), separate_sound=None)]
    net = predictor()
    return SimpleNamespace(jobs=jobs, net=net, found=stand_in(JOBS, jobs), loaded=stand_in(LOAD, net),
                           calls=stand_in(ANSWER, [ROW]))


def test_without_options_one_clip_at_a_time_in_one_process(job, status):
    code, out, _ = status(*WORDS)
    assert code == 0 and out.splitlines()[0] == "| File_ID |  Fear |" and "| a       | 0.250 |" in out
    assert job.found == [{"paths": ["a.mp4", "b.mp4"]}] and job.loaded[0]["path"] == Path("m")
    call = dict(job.calls[0])
    assert isinstance(call.pop("notify"), command._Progress)
    assert call == {"jobs": job.jobs, "predictor": job.net, "window": 0.0, "hop": 0.0, "whole": False, "batch_size": 1,
                    "workers": 1, "look": None}


def test_options_reach_the_prediction(job, status):
    assert status(*WORDS, "--window", "4.5", "--hop", "0.5", "--batch-size", "8", "--workers", "2")[0] == 0
    told = {name: job.calls[0][name] for name in ("window", "hop", "whole", "batch_size", "workers")}
    assert told == {"window": 4.5, "hop": 0.5, "whole": False, "batch_size": 8, "workers": 2}
    status(*WORDS, "--whole", "--workers", "1000")
    assert job.calls[1]["whole"] is True and job.calls[1]["workers"] == 4 * cores()  # more would only fill the memory


def test_answers_go_where_and_how_they_are_asked_for(job, status, tmp_path):
    assert status(*WORDS, "--format", "csv")[1] == "File_ID,Fear\na,0.250000\n"
    assert json.loads(status(*WORDS, "--format", "json")[1]) == [ROW]
    assert status(*WORDS, "--out", tmp_path / "x.csv", "--format", "json")[1] == f"1 rows in {tmp_path / 'x.csv'}\n"
    assert (tmp_path / "x.csv").read_text() == "File_ID,Fear\na,0.250000\n"


@pytest.mark.parametrize("row, code", [({"File_ID": "a", "error": "no picture"}, 1),
                                       ({"File_ID": "a", "error": "no face", "start": 0.0, "end": 4.0}, 0)])
def test_a_clip_that_failed_is_status_1_but_a_window_is_not(job, stand_in, status, row, code):
    stand_in(ANSWER, [ROW, row])
    assert status(*WORDS)[0] == code


class Look:
    """Stands for the writer of pages, overlays and figures."""

    failures = ()

    def finish(self):
        return [Path("one.html"), Path("two.html")]


@pytest.mark.parametrize("option, kind", [("--report", "report"), ("--overlay", "overlay"), ("--figure", "figure")])
def test_pictures_are_written_along(job, stand_in, status, option, kind):
    look = Look()
    made = stand_in(WRITER, look)
    code, out, shown = status(*WORDS, option, "folder")
    wanted = {"jobs": job.jobs, "predictor": job.net, "model": Path("m"), "report": None, "overlay": None,
              "figure": None, kind: Path("folder")}
    assert code == 0 and made == [wanted] and job.calls[0]["look"] is look
    assert shown == "wrote one.html\nwrote two.html\n" and "wrote" not in out
    look.failures = ["a: no face"]
    code, _, shown = status(*WORDS, option, "folder")
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
    net = predictor("fau", "gaze")
    stand_in(LOAD, net)
    folders = {"fau": str(tmp_path / "fau"), "gaze": str(tmp_path / "gaze")}
    words = [word for name, folder in folders.items() for word in ("--features", f"{name}={folder}")]
    code, out, shown = status(*WORDS, *words)
    assert code == 0 and not job.calls and out.count("0.250") == 2
    assert net.calls == [([(Path("a.mp4"), Path("a.wav")), (Path("b.mp4"), None)], folders)]
    assert shown == (f"mindface-eri predict: {folders['fau']} has no file for 1 of 2 clips; they are answered without "
                     "fau\n")
    net.predict = lambda clips, folders: [ROW, {"File_ID": "b", "error": "no picture"}]
    code, _, shown = status(*WORDS, *words)
    assert (code, shown) == (1, "")  # of a clip that failed nothing is missed
    for option in ("report", "overlay", "figure", "window", "hop"):
        code, _, shown = status(*WORDS, *words, f"--{option}", "3")
        assert code == 2 and f"--{option}: eri_net takes features of other programs" in shown


@pytest.mark.parametrize("total, terminal, shown", [(2, True, True), (1, True, False), (2, False, False)])
def test_a_bar_is_for_several_clips_on_a_terminal(total, terminal, shown, monkeypatch):
    monkeypatch.setattr(command.sys, "stderr", SimpleNamespace(
        isatty=lambda: terminal, write=lambda text: None, flush=lambda: None))
    progress = command._Progress(total)
    assert (not progress.bar.disable) == shown
    for _ in range(total if shown else 0):
        assert not progress.bar.disable
        progress(None, None)
    assert progress.bar.n == (total if shown else 0) and progress.bar.disable  # it closes itself at the end
