# SPDX-License-Identifier: Apache-2.0
"""Answers of a Dask cluster's workers, which this process stands for."""

from dataclasses import replace
from pathlib import Path

import pytest

from mindface_eri.datasets.build.pool import Pool
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.prediction import cluster
from mindface_eri.prediction import predictor as predictor_module
from mindface_eri.prediction.cluster import Asked, predict_on_cluster, run_task
from mindface_eri.prediction.jobs import Job

OPTIONS = {"window": 0.0, "hop": 0.0, "whole": False, "batch_size": 1, "attention": False, "moving": False,
           "features": {}, "person": None}
JOBS = [Job(name, Path(f"{name}.mp4")) for name in ("a", "crash", "c")]


@pytest.fixture
def workers(monkeypatch, predictor):
    """`workers.made` is what the cluster was asked for; clips called crash end their process."""
    class Workers(Pool):
        threads, slots = 2, 1
        made: list = []

        def __init__(self, *given, **options):
            self.made.append((*given, options))
            self.closed = 0
            Workers.last = self

        def __call__(self, job):
            crash = "failed", "crash", "ended with status 7"
            return crash if job.name == "crash" else run_task(self.made[-1][2], job)

        def close(self):
            self.closed += 1

    Workers.made = []
    monkeypatch.setattr(cluster, "DaskPool", Workers)
    monkeypatch.setattr(cluster, "_predictor", lambda model, device: predictor)
    return Workers


def test_each_clip_is_answered_as_here_and_in_its_place(workers, predictor, media, tmp_path):
    media(3.0)
    here = list(predictor.predict(JOBS, **OPTIONS))
    there = list(predict_on_cluster("s:1", predictor, Path("m.onnx"), JOBS, device="CPU", clip_limit=7.0, **OPTIONS))
    assert [one.name for one in there] == ["a", "crash", "c"]
    assert [one.rows() for one in there[::2]] == [one.rows() for one in here[::2]]
    assert there[1].rows() == [{"File_ID": "crash", "error": "crash.mp4: ended with status 7"}]
    assert there[1].path == Path("crash.mp4") and all(one.clip is None for one in there)
    assert workers.made == [("s:1", "mindface_eri.prediction.cluster:run_task", Asked("m.onnx", "CPU", False, OPTIONS),
                             7.0, {"shared": [Path("m.onnx"), Path("a.mp4")]})]
    assert workers.last.closed == 1


def test_clips_come_where_they_are_drawn_and_options_reach_the_workers(workers, predictor, media, tmp_path,
                                                                        monkeypatch):
    media(10.0)
    monkeypatch.setattr(predictor_module, "check_person", lambda follow: None)
    (tmp_path / "who.png").touch()
    options = {**OPTIONS, "window": 3.0, "features": {"x": tmp_path}, "person": str(tmp_path / "who.png")}
    [found] = predict_on_cluster("s:1", predictor, None, JOBS[:1], clips=True, **{**options, "person": None})
    assert found.clip is not None and found.window == 3.0
    answers = predict_on_cluster("s:1", predictor, None, JOBS[:1], **options)
    assert workers.made[-1][2].model is None
    assert workers.made[-1][4] == {"shared": [tmp_path / "who.png", tmp_path, Path("a.mp4")]}
    next(answers)
    answers.close()
    assert workers.last.closed >= 1, "who wants no more ends the work"


def test_what_no_worker_could_do_is_refused_here(workers, predictor):
    with pytest.raises(ConfigError, match="batch_size 0"):
        predict_on_cluster("s:1", predictor, None, JOBS, **{**OPTIONS, "batch_size": 0})
    with pytest.raises(ConfigError, match="a limit of 0 s"):
        predict_on_cluster("s:1", predictor, None, JOBS, clip_limit=0.0, **OPTIONS)
    with pytest.raises(ConfigError):
        predict_on_cluster("s:1", predictor, None, JOBS, people={"a": "b"}, **OPTIONS)
    predictor.model = replace(predictor.model, name="eri_statistics", normalise_by_person=True)
    with pytest.raises(ConfigError, match="leave --scheduler out"):
        predict_on_cluster("s:1", predictor, None, JOBS, **OPTIONS)
    assert workers.made == []


def test_a_model_that_a_worker_cannot_load_is_a_reason(workers, monkeypatch):
    def fail(*_):
        raise CheckpointError("m: no such file")

    monkeypatch.setattr(cluster, "_predictor", fail)
    assert run_task(Asked("m", "CPU", False, OPTIONS), JOBS[0]) == ("fatal", "model", "m: no such file")


def test_a_worker_loads_the_network_once_with_one_thread(monkeypatch):
    loaded = []
    monkeypatch.setattr(cluster, "load_predictor", lambda *given, **options: loaded.append((given, options)) or "net")
    cluster._predictor.cache_clear()
    assert [cluster._predictor("m", "CPU") for _ in range(2)] == ["net"] * 2
    assert loaded == [(("m",), {"device": "CPU", "threads": 1})]
    cluster._predictor.cache_clear()
