# SPDX-License-Identifier: Apache-2.0
"""What a worker process does, and what it is given."""

import gc
import weakref

import pytest

from mindface_eri.prediction.extraction import take_apart
from mindface_eri.prediction.jobs import Job
from mindface_eri.prediction.windows import Windows
from mindface_eri.preprocess.rolling import Sound
from mindface_eri.serve import decoding
from mindface_eri.serve.decoding import Bounds, Settings, Task, hold_memory, run_task
from mindface_eri.serve.window import Look, run_window


@pytest.fixture
def limits(monkeypatch):
    """What a process would be held to."""
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    held = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, pair: held.append((what, pair)))
    monkeypatch.setattr(decoding, "make_ready", lambda: held.append("ready"))
    return held


def test_memory_is_held_before_anything_is_done(limits):
    import resource

    hold_memory(1.5)
    assert limits == [(resource.RLIMIT_DATA, (1_500_000_000, 1_500_000_000))]
    assert run_task(Settings(None, Bounds(1, 1, 2)), None) == ("done", "", None)
    assert limits[1:] == [(resource.RLIMIT_DATA, (2_000_000_000, 2_000_000_000)), "ready"]


def test_a_clip_is_taken_apart_as_predict_does(limits, sound, predictor, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sound(1.0))
    job, windows = Job("a", path), Windows(0.5, 0.25)
    state, _, taken = run_task(Settings(predictor.preprocess, Bounds(9, 9, 9)), Task(job, windows, tmp_path))
    expected = take_apart(predictor.preprocess, windows, job)
    assert state == "done" and taken.grid == expected.grid
    assert taken.clip.content_hash() == expected.clip.content_hash()
    assert (tmp_path / decoding.STAGE).read_text() == "face and sound"


def test_what_the_clip_before_took_is_given_back(limits, monkeypatch, tmp_path):
    class Picture:
        """One in a cycle of references."""

    monkeypatch.setattr(decoding, "take_apart", lambda *given: decoding.Taken(None, error="x"))
    settings = Settings(None, Bounds(9, 9, 9))
    gc.disable()
    try:
        for work, task in ((run_task, Task(Job("a", tmp_path / "a"), Windows(), tmp_path)),
                           (run_window, Look((64, 48), 3.0, 4.0, [], Sound()))):
            picture = Picture()
            picture.itself, gone = picture, weakref.ref(picture)
            del picture
            work(settings, task)
            assert gone() is None
    finally:
        gc.enable()


def test_whom_to_follow_reaches_the_recipe(limits, sound, predictor, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(decoding, "take_apart", lambda *given: seen.append(given[0]) or decoding.Taken(None, error="x"))
    (tmp_path / "a.wav").write_bytes(sound(0.2))
    task = Task(Job("a", tmp_path / "a.wav"), Windows(), tmp_path, "largest")
    assert run_task(Settings(predictor.preprocess, Bounds(9, 9, 9)), task) == ("failed", "unusable", "x")
    assert seen[0].face.follow == "largest" and predictor.preprocess.face.follow == "longest"


def test_what_is_taken_apart_already_is_answered(sound, predictor, tmp_path):
    paths = [tmp_path / f"{seed}.wav" for seed in range(2)]
    for seed, path in enumerate(paths):
        path.write_bytes(sound(0.7, seed))
    parts = [take_apart(predictor.preprocess, Windows(), Job(path.stem, path)) for path in paths]
    parts.append(decoding.Taken(None, error="broken"))
    jobs = [Job("b", paths[0]), Job("a", paths[1]), Job("c", tmp_path / "nowhere")]
    answers = list(predictor.predict(jobs, taken=parts))
    rows = [row["Fear"] for prediction in predictor.predict(paths) for row in prediction.rows()]
    assert [answer.name for answer in answers] == ["b", "a", "c"] and answers[2].error == "broken"
    assert [answer.rows()[0]["Fear"] for answer in answers[:2]] == rows and rows[0] != rows[1]


def test_settings_reach_the_workers(serve):
    with serve(workers=3, clip_limit=7.0, max_seconds=8.0, max_megapixels=2.0, memory=5.0, live=2) as client:
        assert client.pool.limit == 7.0 and client.pool.settings.bounds == Bounds(8.0, 2.0, 5.0)
        assert client.cameras.free == 2 and client.cameras._all[0].settings.bounds == Bounds(12.0, 2.0, 5.0)
        assert client.engine.settings.processes == 3
