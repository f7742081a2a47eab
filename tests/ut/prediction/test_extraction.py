# SPDX-License-Identifier: Apache-2.0
"""Clips taken apart here or by workers: their order, what fails, how many wait, and that no process is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.datasets.build import workers as pool_module
from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.prediction import extraction
from mindface_eri.prediction.extraction import Taken, take_all_apart, take_apart
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Windows


def act(settings, job):
    """In the place of `run_task`: says where it runs; files called `hang` take a minute."""
    (job.video.parent / f"{job.name}.part").write_text(str(os.getpid()))
    (job.video.parent / f"{job.name}.part").rename(job.video.with_suffix(".pid"))
    if job.name.startswith("hang"):
        time.sleep(60)
    return "done", "", Taken(None, error="taken")


def jobs_of(*names):
    return [Job(name, Path(f"{name}.mp4")) for name in names]


def test_a_clip_is_sampled_as_its_windows_want_it(media, predictor):
    config = predictor.preprocess
    asked = media(10.0)
    job = Job("x", Path("v.mp4"), Path("s.wav"))
    for windows, samples, grid in ((Windows(), 4, None), (Windows(window=3.0, hop=1.0), 11, (11, 1, 0)),
                                   (Windows(moving=True), 7, (7, 1, 2)), (Windows(whole=True), 4, None)):
        taken = take_apart(config, windows, job)
        assert len(taken.clip.timestamps) == samples and taken.error == ""
        assert (taken.grid and (taken.grid.samples, taken.grid.stride, taken.grid.coarse)) == grid
    assert asked == [(Path("v.mp4"), config, Path("s.wav"))] * 4
    take_apart(config, Windows(), Job("x", None, Path("s.wav")))
    assert asked[4] == (Path("s.wav"), config, None)


@pytest.mark.parametrize("error, said", [
    (MediaError("a.mp4: broken"), "a.mp4: broken"), (MissingDependencyError("faces need dlib"), "faces need dlib"),
    (ZeroDivisionError("by an odd file"), "a.mp4: ZeroDivisionError: by an odd file"),
    (MemoryError(), "a.mp4: takes more memory than there is")])
def test_whatever_goes_wrong_is_a_reason(error, said, predictor, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(extraction, "extract_clip", fail)
    assert take_apart(predictor.preprocess, Windows(), Job("a", Path("a.mp4"))) == Taken(None, error=said)


def test_a_clip_taken_apart_already_is_taken_as_it_is(media, predictor, make_clip):
    asked, clip = media(10.0), make_clip()
    taken = take_apart(predictor.preprocess, Windows(moving=True), Job("0", clip=clip))
    assert taken.clip is clip and taken.grid is None and asked == []
    other = take_apart(predictor.preprocess, Windows(), Job("0", clip=make_clip(5)))
    assert other.clip is None and "0: frames of (5, 32, 32, 3)" in other.error


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_takes_too_long_is_given_up(acting, predictor, tmp_path, workers):
    names = ("quick", "hang", "quick2")
    found = list(predictor.predict([tmp_path / f"{name}.mp4" for name in names], workers=workers, clip_limit=0.5))
    assert [one.error for one in found] == [
        "taken", f"{tmp_path}/hang.mp4: took longer than 0.5 s; --clip-limit gives more", "taken"]


@pytest.fixture()
def threads(monkeypatch):
    """Workers that are threads, in the place of processes, which take seconds to start."""
    seen = SimpleNamespace(made=0, closed=0, begun=[])

    class Worker:
        def __init__(self, target, settings, limit, folder=None):
            seen.made += 1
            self.settings, self.target = settings, target

        def __call__(self, job):
            seen.begun.append(job.name)
            assert self.target == "mindface_eri.prediction.extraction:run_task"
            return ("failed", "crash", "it crashed") if job.name == "crash" else extraction.run_task(self.settings, job)

        def close(self):
            seen.closed += 1

    monkeypatch.setattr(pool_module, "Worker", Worker)
    return seen


@pytest.fixture()
def clips(monkeypatch, make_clip):
    """Files whose name says their brightness."""
    def extract(path, config, *, audio_path=None, instants=None):
        clip = make_clip(instants(3.0))
        return type(clip)(**{**vars(clip), "frames": np.full_like(clip.frames, int(path.stem))})

    monkeypatch.setattr(extraction, "extract_clip", extract)


def shades(taken):
    return [one.error or int(one.clip.frames[0, 0, 0, 0]) for one in taken]


def test_workers_keep_the_order_and_are_no_more_than_the_clips(threads, clips, predictor):
    config = predictor.preprocess
    jobs = jobs_of("9", "8", "crash", "7", "6", "5", "4")
    assert shades(take_all_apart(jobs, config, Windows(), 2, 9.0)) == [9, 8, "crash.mp4: it crashed", 7, 6, 5, 4]
    assert threads.made == 2 and threads.closed >= 2
    assert shades(take_all_apart(jobs[:2], config, Windows(), 8, 9.0)) == [9, 8]
    assert threads.made == 4
    assert shades(take_all_apart(jobs[:1], config, Windows(), 8, 9.0)) == [9]
    assert threads.made == 5
    assert shades(take_all_apart(jobs[:2], config, Windows(), 0, 9.0)) == [9, 8]
    assert threads.made == 5, "this process is one too"


def test_clips_that_are_given_are_not_sent_to_workers(threads, clips, predictor, make_clip):
    jobs = [Job("0", clip=make_clip()), *jobs_of("7"), Job("2", clip=make_clip())]
    assert shades(take_all_apart(jobs, predictor.preprocess, Windows(), 4, 9.0)) == [40, 7, 40]
    assert threads.made == 1 and threads.begun == ["7"]
    assert shades(take_all_apart(jobs[::2], predictor.preprocess, Windows(), 4, 9.0)) == [40, 40]
    assert threads.made == 1


def test_only_a_few_clips_wait_in_memory(threads, clips, predictor):
    """Two workers have at most four clips on their way, and one more for each that is taken; one alone has none."""
    jobs = jobs_of(*map(str, range(8)))
    for taken, one in enumerate(take_all_apart(jobs, predictor.preprocess, Windows(), 2, 9.0)):
        assert one.clip.frames[0, 0, 0, 0] == taken
        assert len(threads.begun) <= min(4 + taken, 8)
    assert sorted(threads.begun) == [str(k) for k in range(8)]


def test_each_clip_is_taken_apart_when_it_is_asked_for(media, predictor):
    asked = media(3.0)
    answers = predictor.predict(["a.mp4", "b.mp4", "c.mp4"])
    assert asked == []
    for count in (1, 2, 3):
        next(answers)
        assert len(asked) == count


def test_an_end_before_the_last_clip_closes_the_pool(threads, clips, predictor):
    taken = take_all_apart(jobs_of("1", "2", "3", "4", "5", "6"), predictor.preprocess, Windows(), 2, 9.0)
    next(taken)
    taken.close()
    assert threads.closed >= 2 and len(threads.begun) <= 4


def gone(pid):
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def pids(folder, *names):
    """Of the processes that the clips are in, once they are."""
    wanted = [folder / f"{name}.pid" for name in names]
    end = time.monotonic() + 60
    while not all(path.exists() for path in wanted):
        assert time.monotonic() < end
        time.sleep(0.02)
    return [int(path.read_text()) for path in wanted]


@pytest.fixture()
def acting(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    monkeypatch.setattr(extraction, "run_task", act)


def test_an_iterator_that_is_closed_leaves_no_process(acting, predictor, tmp_path):
    answers = predictor.predict([tmp_path / "quick.mp4", tmp_path / "hang.mp4", tmp_path / "hang2.mp4"], workers=2)
    assert next(answers).error == "taken"
    found = pids(tmp_path, "quick", "hang")
    answers.close()
    assert all(map(gone, found))


def test_an_error_of_the_caller_leaves_no_process_though_its_traceback_lives(acting, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "_flush", lambda waiting, asked: iter([1 / 0]))
    answers = predictor.predict([tmp_path / "quick.mp4", tmp_path / "hang.mp4", tmp_path / "hang2.mp4"], workers=2)
    with pytest.raises(ZeroDivisionError) as error:
        next(answers)
    assert error.traceback and all(map(gone, pids(tmp_path, "quick")))
    assert all(gone(int(path.read_text())) for path in tmp_path.glob("*.pid"))


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_extraction
from mindface_eri.config import ModelConfig, PreprocessConfig
from mindface_eri.prediction import extraction
from mindface_eri.prediction.predictor import Predictor
extraction.run_task = test_extraction.act
for one in Predictor(None, ModelConfig(), PreprocessConfig()).predict(sys.argv[1:], workers=2):
    print(one.name, flush=True)
"""


@pytest.mark.parametrize("names", [("quick", "hang"), ("hang", "hang2", "quick")])
def test_ctrl_c_ends_the_workers_and_at_once(names, tmp_path):
    """Also while the last clip is waited for."""
    script = SCRIPT.format(tests=os.path.dirname(__file__))
    run = subprocess.Popen([sys.executable, "-c", script, *(str(tmp_path / f"{name}.mp4") for name in names)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        found = pids(tmp_path, *names[:2])
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode != 0 and "KeyboardInterrupt" in said
    assert all(map(gone, found))
