# SPDX-License-Identifier: Apache-2.0
"""Which Dask workers may work for a run, and what is made of what a cluster says. tests/st/test_cluster.py has one."""

import asyncio
import itertools
import os
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

import mindface_eri
from mindface_eri.datasets.build import cluster, cluster_worker, stage
from mindface_eri.datasets.build.cluster import DaskPool, wait_for_file
from mindface_eri.datasets.build.cluster_worker import Terms, fingerprint, look, prepare, release, unfit, work
from mindface_eri.datasets.build.pool import STOPPED
from mindface_eri.errors import ConfigError, MissingDependencyError
from mindface_eri.version import versions


@pytest.fixture
def terms(tmp_path):
    """Of a run that reads tmp_path/data/clip.mp4, five bytes, by that relative path."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clip.mp4").write_text("media")
    seen = look(["data/clip.mp4", "data"], str(tmp_path))
    assert seen == {"data/clip.mp4": 5, "data": None}
    return Terms("Client-1", "odd_work:work", ("a", 7), 60.0, str(tmp_path), seen, versions(), fingerprint())


@pytest.mark.parametrize("name", ["mindface_eri", "av"])
def test_another_version_is_refused_by_name(terms, name):
    assert unfit(terms) == ""
    told = unfit(replace(terms, versions={**terms.versions, name: "0.0.9"}))
    assert told == f"has {name} {versions()[name]}, this run 0.0.9; install the same there"
    without = {key: value for key, value in terms.versions.items() if key != "av"}
    assert unfit(replace(terms, versions={**without, "python": "2.7"})) == "", "what is not there, and what matters not"


def test_a_worker_without_what_takes_clips_apart_is_refused(terms, monkeypatch):
    ours = {key: value for key, value in versions().items() if key not in ("dlib", "mindspore")}
    monkeypatch.setattr(cluster_worker, "versions", lambda: ours)
    assert unfit(terms) == f"has no dlib, this run {versions()['dlib']}; install the same there"
    assert unfit(replace(terms, versions={k: v for k, v in terms.versions.items() if k != "dlib"})) == ""


def test_a_worker_that_cannot_write_is_refused(terms, monkeypatch, tmp_path):
    terms = replace(terms, written="data")
    assert unfit(terms) == ""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write elsewhere
    assert unfit(terms) == f"cannot write below {tmp_path}/data; mount it there for writing, too"


def test_what_was_kept_for_a_run_that_was_killed_is_ended_and_a_new_run_is_spared(terms, pools, monkeypatch):
    worker, other = DaskWorker(), replace(terms, run="Client-2")
    asyncio.run(prepare(terms, ["Client-1"], dask_worker=worker))
    asyncio.run(prepare(other, ["Client-2"], dask_worker=worker))  # asked for before Client-1 connected
    assert not pools[0].closed
    monkeypatch.setattr(cluster_worker, "_YOUNG", -1.0)
    asyncio.run(prepare(other, ["Client-2"], dask_worker=worker))
    assert pools[0].closed and not pools[1].closed and work("Client-1", 21) == STOPPED


def test_other_files_of_the_same_version_are_refused(terms, tmp_path, monkeypatch):
    for folder, text in (("one", "x = 1"), ("two", "x = 2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(text)
    prints = []
    for folder in ("one", "two", "one"):
        monkeypatch.setattr(mindface_eri, "__file__", str(tmp_path / folder / "__init__.py"))
        prints.append(fingerprint())
    assert prints[0] == prints[2] != prints[1]
    assert unfit(terms) == "has mindface_eri of the same version, but other files in it; install the same there"


def test_a_worker_without_the_folders_is_refused(terms, tmp_path):
    assert unfit(replace(terms, folder="/nowhere")) == ("does not see /nowhere/data/clip.mp4; it needs the folders of "
                                                        "this run, under the same names")
    (tmp_path / "data" / "clip.mp4").write_text("another")
    assert unfit(terms).startswith(f"sees another {tmp_path}/data/clip.mp4; ")


class DaskWorker:
    """Stands for a worker of Dask with three threads."""

    def __init__(self):
        self.state, self.resources = self, {}
        self.nthreads = 3

    async def set_resources(self, **resources):
        self.resources.update(resources)


@pytest.fixture
def pools(monkeypatch):
    """The pools that are made: what of, what they were asked, and whether they were closed."""
    made = []

    class Pool:
        def __init__(self, *given):
            self.given, self.closed = given, False
            made.append(self)

        def __call__(self, task):
            return "done", "", task * 2

        def close(self):
            self.closed = True

    monkeypatch.setattr(cluster_worker, "WorkerPool", Pool)
    monkeypatch.setattr(cluster_worker, "_pools", {})
    return made


def test_a_worker_lends_a_run_processes_and_takes_them_back(terms, pools, tmp_path):
    worker, other = DaskWorker(), replace(terms, run="Client-2", folder="/nowhere", seen={})
    for run, clients in ((terms, ["Client-1"]), (terms, ["Client-1"]), (other, ["Client-1", "Client-2"])):
        assert asyncio.run(prepare(run, clients, dask_worker=worker)) == ""
    assert [pool.given for pool in pools] == [(3, "odd_work:work", ("a", 7), 60.0, folder)
                                              for folder in (str(tmp_path), None)]
    assert worker.resources == {"Client-1": 3, "Client-2": 3} and work("Client-1", 21) == ("done", "", 42)
    asyncio.run(release("Client-1", dask_worker=worker))
    assert pools[0].closed and not pools[1].closed and worker.resources == {"Client-1": 0, "Client-2": 3}
    assert work("Client-1", 21) == STOPPED
    asyncio.run(release("Client-1", dask_worker=worker))


def test_a_worker_that_does_not_fit_lends_nothing(terms, pools):
    worker = DaskWorker()
    assert "0.0.9" in asyncio.run(prepare(replace(terms, versions={"numpy": "0.0.9"}), [], dask_worker=worker))
    assert pools == [] and worker.resources == {}


class Client:
    """Stands for Dask's client of a cluster: its workers, of which some refuse, and its answers."""

    id = "Client-7"

    def __init__(self, workers, answers=()):
        self.workers, self.answers, self.log = dict(workers), iter(answers), []

    def scheduler_info(self, n_workers):
        return {"workers": {address: {"nthreads": 2, "resources": {} if said is not True else {self.id: 2}}
                            for address, said in self.workers.items()}}

    def run_on_scheduler(self, function):
        if self.workers.get("scheduler") == "bare":
            raise ModuleNotFoundError("No module named 'mindface_eri'")
        return [self.id]

    def run(self, function, *given, workers=None, on_error):
        self.log.append((function.__name__, workers))
        found = {address: self.workers[address] for address in workers or ()}
        self.workers.update({address: True for address, said in found.items() if said == ""})
        return found

    def submit(self, function, run, task, *, key, pure, resources):
        assert (function, run, pure, resources) == (work, self.id, False, {self.id: 1})
        self.log.append((key, task))
        return self

    def result(self):
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, futures, force):
        self.log.append(("cancel", len(futures)))

    def close(self):
        self.log.append("close")


@pytest.fixture
def join(monkeypatch, tmp_path):
    """A pool over a stand-in for Dask's client."""
    made = []

    def connect(client, **options):
        monkeypatch.setattr(cluster, "_connect", lambda address: client)
        made.append(DaskPool("tcp://s:1", "a:b", None, **options))
        return made[-1]
    yield connect
    for pool in made:
        pool.close()


def test_only_workers_that_fit_count_and_the_others_are_told_of_once(join, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "_PAUSE", 0.01)
    client = Client({"tcp://a": "", "tcp://b": "has av 1, this run 2", "tcp://c": RuntimeError("no\nlines")})
    pool = join(client, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "a file that workers must see"
    assert pool.slots == 4
    client.workers["tcp://d"] = ""
    deadline = threading.Event()
    while pool.slots != 8 and not deadline.wait(0.01):
        pass
    pool.close()
    pool.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == ["the worker tcp://b has av 1, this run 2; the others go on without it",
                    "the worker tcp://c cannot be asked (RuntimeError: no); install this run's mindface_eri there; the "
                    "others go on without it"]
    assert client.log[-3:] == [("cancel", 0), ("release", None), "close"] and not list(tmp_path.iterdir())
    assert pool("x") == STOPPED


@pytest.mark.parametrize("workers, said", [
    ({"tcp://a": "has av 1"}, "none of 1 workers can be used: tcp://a has av 1"),
    ({}, r"no worker has joined within 0 s; start some \(`dask worker tcp://s:1`\)"),
    ({"scheduler": "bare"}, "the scheduler has another mindface_eri than this run, or none .*; install the same")])
def test_a_run_without_a_worker_does_not_begin(join, monkeypatch, workers, said, tmp_path):
    monkeypatch.setattr(cluster, "_WAIT", 0)
    client = Client(workers)
    with pytest.raises(ConfigError, match=said):
        join(client, folder=tmp_path)
    assert client.log[-1] == "close" and not list(tmp_path.iterdir())


def test_what_is_made_of_what_a_task_ends_with(join):
    killed = pytest.importorskip("distributed").KilledWorker("clip", "worker", 3)
    pool = join(Client({"tcp://a": ""}, [
        ("done", "", 1), killed, ("done", "", 2), killed, killed, killed, ("failed", "crash", "why"), OSError("gone")]))
    assert [pool(i) for i in range(5)] == [
        ("done", "", 1), ("done", "", 2),
        ("failed", "killed", "Dask workers died while they had it, twice over (out of memory?)"),
        ("failed", "crash", "why"),
        ("fatal", "scheduler", "the scheduler tcp://s:1 is gone, or cannot do it (OSError: gone)")]
    keys = [key for key, *_ in pool._client.log if str(key).startswith("clip-")]
    assert len(set(keys)) == len(keys) == 8


def test_replies_come_in_the_order_of_the_tasks_and_few_are_begun(join):
    pool, begun = join(Client({"tcp://a": ""}, (("done", "", i) for i in itertools.count()))), []

    def tasks():
        for i in range(100):
            begun.append(i)
            yield i
    replies = pool.map(tasks())
    assert next(replies)[0] == "done" and len(begun) == 2 * pool.slots == 8
    replies.close()
    assert pool(1) == STOPPED, "who asks no more wants nothing done"


def test_dask_that_is_missing_or_does_not_answer(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'mindface_eri\[cluster\]'"):
            DaskPool("tcp://127.0.0.1:1", "a:b", None)
    with pytest.raises(ConfigError, match="a limit of 0 s"):
        DaskPool("tcp://127.0.0.1:1", "a:b", None, 0)
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="no such file; `dask scheduler --scheduler-file` writes it"):
        DaskPool(os.fspath(tmp_path / "s.json"), "a:b", None)
    for address in ("tcp://127.0.0.1:1", "odd://x", "a b"):
        monkeypatch.setattr(cluster, "_CONNECT", "0.1s")
        with pytest.raises(ConfigError, match="no Dask scheduler answers there.*`dask scheduler`"):
            DaskPool(address, "a:b", None)


def test_who_is_stopped_waits_for_no_clip(monkeypatch):
    ended, waited = threading.Event(), []

    class Waiting:
        pool = SimpleNamespace(threads=2, slots=2, close=ended.set)

        def __call__(self, position):
            waited.append(ended.wait(5))
            return position, 0

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "wait", stop)
    with pytest.raises(KeyboardInterrupt):
        list(stage._threads([0, 1, 2], Waiting()))
    assert waited == [True, True]


def test_a_file_may_come_a_little_later(tmp_path, monkeypatch):
    threading.Timer(0.05, (tmp_path / "late").touch).start()
    assert wait_for_file(tmp_path / "late")
    monkeypatch.setattr(cluster, "ARRIVAL", 0)
    assert not wait_for_file(tmp_path / "never")
