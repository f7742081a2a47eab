# SPDX-License-Identifier: Apache-2.0
"""The processes that take tasks one at a time: answers, crashes, limits, ends, and what each is told."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from mindface_eri.datasets.build import workers
from mindface_eri.datasets.build.workers import STOPPED, Worker, WorkerPool
from mindface_eri.errors import ConfigError

ODD = '''
import ctypes, os, pathlib, sys, threading

class Odd:
    def __reduce__(self):
        return exec, ("import nowhere",)

def work(settings, path):
    if "answer" in path:
        return "done", "", Odd()
    print("chatter")
    state = pathlib.Path(path + ".tries")
    tries = int(state.read_text()) + 1 if state.exists() else 1
    state.write_text(str(tries))
    if "told" in path:
        told = os.environ["OMP_NUM_THREADS"], settings, "mindspore" in sys.modules, os.environ.get("AT_START")
        return "done", "", " ".join(map(str, told))
    if "once" in path and tries == 1 or "always" in path:
        print("first words\\nlast words", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    if "kill" in path:
        os.kill(os.getpid(), 9)
    if "hold" in path:
        pathlib.Path(path + ".pid").write_text(str(os.getpid()))
        ctypes.PyDLL(None).sleep(60)  # keeps Python's lock: no other thread runs
    if "hang" in path:
        threading.Event().wait(60)
    if "late" in path:
        threading.Event().wait(0.3)
    return "done", os.path.basename(path), f"try {tries} in {os.getpid()}"
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    (path / "odd_work.py").write_text(ODD)
    (path / "sitecustomize.py").write_text("import os\nos.environ['AT_START'] = 'here'\n")  # Python imports it first
    return path


@pytest.fixture(scope="module")
def pool(folder):
    """One worker for the whole module; `sys.path` is what it finds the function by."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    made = WorkerPool(1, "odd_work:work", ("a", 7), 60.0)
    yield made
    made.close()
    patch.undo()
    assert made("x") == STOPPED == ("fatal", "stopped", "the run was stopped")


def test_a_worker_has_the_settings_the_path_one_thread_and_no_mindspore(pool, folder):
    assert pool(f"{folder}/told") == ("done", "", "1 ('a', 7) False here")


def test_a_process_is_kept_from_clip_to_clip(pool, folder):
    one, two = (pool(f"{folder}/same") for _ in range(2))
    assert one[2].startswith("try 1 in ") and two[2] == one[2].replace("try 1", "try 2")
    assert int(one[2].split()[-1]) != os.getpid()


def test_a_crash_is_tried_once_more(pool, folder):
    assert pool(f"{folder}/once")[2].startswith("try 2 in ")
    assert pool(f"{folder}/always") == (
        "failed", "crash", "the worker process ended with status 3: last words (at both attempts)")
    assert (folder / "always.tries").read_text() == "2"
    assert pool(f"{folder}/after")[2].startswith("try 1 in "), "another process took its place"


def test_the_limit_is_of_one_clip_and_given_up_at_once(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    worker = Worker("odd_work:work", None, 0.6)
    first = worker(f"{folder}/calm")[2].split()[-1]
    os.kill(int(first), signal.SIGINT)  # Ctrl-C is for the main process
    time.sleep(0.8)
    assert worker(f"{folder}/calm")[2] == f"try 2 in {first}", "the first clip's limit does not go on"
    assert worker(f"{folder}/hang") == ("failed", "timeout", "took longer than 0.6 s; --clip-limit gives more")
    assert (folder / "hang.tries").read_text() == "1"
    assert worker(f"{folder}/hold")[1] == "timeout", "also where Python's lock is held"
    reply = worker(f"{folder}/kill")
    assert reply == ("failed", "killed", "the worker process was killed by signal 9 (out of memory?): chatter "
                                         "(at both attempts)")
    worker.close()
    assert worker(f"{folder}/kill") == STOPPED and (folder / "kill.tries").read_text() == "2"


def test_a_pool_that_is_closed_in_the_middle_of_a_clip_is_stopped(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    made = WorkerPool(1, "odd_work:work", None, 60.0)
    with ThreadPoolExecutor(1) as thread:
        reply = thread.submit(made, f"{folder}/hang long")
        tries = folder / "hang long.tries"
        while not (tries.exists() and tries.read_text()):
            time.sleep(0.02)
        made.close()
        assert reply.result(20) == STOPPED
    assert tries.read_text() == "1"


def test_a_process_that_never_starts_is_told_as_such(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert Worker("x:y", None, 9.0)({}) == (
        "fatal", "start", "the worker process ended with status 1 (at each of 4 starts)")


def test_a_process_that_is_killed_while_it_starts_is_started_again(tmp_path, monkeypatch):
    starter = tmp_path / "python"
    kills = "".join(f'mkdir "{tmp_path}/{k}" 2>/dev/null && kill -9 $$\n' for k in range(3))
    starter.write_text(f'#!/bin/sh\n{kills}exec "{sys.executable}" "$@"\n')
    starter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(starter))
    worker = Worker("operator:concat", ("done", ""), 60.0)
    assert worker(("b",)) == ("done", "", "b")
    worker.close()


def test_a_process_that_cannot_be_started_is_told_as_such(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert Worker("x:y", None, 9.0)({})[:2] == ("fatal", "start")


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_must_leave_some_time(limit):
    with pytest.raises(ConfigError, match="give more than 0"):
        Worker("x:y", None, limit)


def test_an_answer_that_cannot_be_read_costs_its_clip_alone(pool, folder):
    assert pool(f"{folder}/odd answer") == ("failed", "killed", "ModuleNotFoundError: No module named 'nowhere' "
                                                 "(at both attempts)")
    assert pool(f"{folder}/next")[0] == "done"


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from mindface_eri.datasets.build.workers import WorkerPool
WorkerPool(1, "odd_work:work", None, 60.0)(sys.argv[1] + "/hold of an orphan")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that holds Python's lock lives on")
def test_a_process_ends_with_its_parent_also_where_it_holds_pythons_lock(folder):
    told = folder / "hold of an orphan.pid"
    with subprocess.Popen([sys.executable, "-c", PARENT, folder]) as parent:
        while not (told.exists() and told.read_text()):
            assert parent.poll() is None
            time.sleep(0.02)
        parent.kill()
    end = time.monotonic() + 3
    while _runs(int(told.read_text())):
        assert time.monotonic() < end
        time.sleep(0.02)


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_workers_are_lent_to_one_caller_at_a_time(monkeypatch):
    used = []

    def attempt(worker, clip):
        used.append(worker)
        if clip == "odd":
            raise ValueError(clip)
        return "done", "", clip

    monkeypatch.setattr(workers.Worker, "__call__", attempt)
    pool = WorkerPool(2, "x:y", None)
    assert [pool(clip) for clip in "abc"] == [("done", "", "a"), ("done", "", "b"), ("done", "", "c")]
    assert used[0] is not used[1] and used[2] is used[0]
    with pytest.raises(ValueError):
        pool("odd")
    assert [pool(clip)[2] for clip in "de"] == ["d", "e"], "given back after an error too"


def test_the_worker_ends_with_its_input():
    hello = pickle.dumps({"sys_path": sys.path, "target": "os:getcwd", "settings": None})
    done = subprocess.run([sys.executable, "-m", "mindface_eri.datasets.build.workers"], input=hello, timeout=60,
                          check=False, stdout=subprocess.PIPE)
    assert done.returncode == 0 and pickle.loads(done.stdout) == workers.READY


@pytest.fixture
def many(folder, monkeypatch):
    """Pools of two, whose processes are known by `alive`, and closed at the end of the test."""
    monkeypatch.syspath_prepend(str(folder))
    made, started = [], []
    popen = subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def make(limit=60.0):
        made.append(WorkerPool(2, "odd_work:work", None, limit))
        made[-1].alive = lambda: [process for process in started if process.poll() is None]
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def names(replies):
    return [stage if state == "done" else (state, stage) for state, stage, _ in replies]


def test_answers_come_in_the_order_of_the_tasks_and_one_that_dies_costs_itself_alone(many, folder):
    pool = many(limit=1.5)
    tasks = ["late a", "b", "always c", "d", "hang e", "f", "late g", "h"]
    replies = list(pool.map(f"{folder}/map {task}" for task in tasks))
    assert names(replies) == ["map late a", "map b", ("failed", "crash"), "map d", ("failed", "timeout"), "map f",
                              "map late g", "map h"]
    assert replies[2][2] == "the worker process ended with status 3: last words (at both attempts)"
    assert names(pool.map([f"{folder}/map again"])) == ["map again"], "it can be used once more"
    assert len(pool.alive()) <= 2
    pool.close()
    assert pool.alive() == []


def test_no_more_than_two_tasks_a_worker_are_begun_and_not_taken(many, folder):
    asked = []

    def tasks():
        for k in range(9):
            asked.append(k)
            yield f"{folder}/few {k}"

    replies = many().map(tasks())
    assert asked == []
    for taken in range(9):
        assert names([next(replies)]) == [f"few {taken}"]
        assert len(asked) <= min(taken + 4, 9)
    assert next(replies, None) is None and list(many().map([])) == []


def test_who_stops_asking_leaves_no_process_behind(many, folder):
    pool = many()
    replies = pool.map(f"{folder}/{name}" for name in ("left a", "hang left", "hang left too", "left d"))
    assert names([next(replies)]) == ["left a"]
    began = time.monotonic()
    replies.close()
    assert time.monotonic() - began < 20 and pool.alive() == [], "nobody waits for those that hang"
    assert pool(f"{folder}/left e") == STOPPED


def test_tasks_that_cannot_be_told_end_the_processes_too(many, folder):
    def tasks():
        yield f"{folder}/hang told of"
        yield f"{folder}/hang told of too"
        raise KeyError("no more")

    pool = many()
    with pytest.raises(KeyError):
        list(pool.map(tasks()))
    assert pool.alive() == []


def test_a_process_that_starts_while_its_pool_is_closed_does_not_stay(many, folder, monkeypatch):
    """`close` looks for a process before there is one: whoever starts it has to end it."""
    pool, begun, go = many(), threading.Event(), threading.Event()
    start = Worker._start

    def slowly(worker):
        begun.set()
        go.wait(20)
        start(worker)

    monkeypatch.setattr(Worker, "_start", slowly)
    with ThreadPoolExecutor(1) as thread:
        reply = thread.submit(pool, f"{folder}/hang for ever")
        assert begun.wait(20)
        pool.close()
        go.set()
        assert reply.result(20) == STOPPED
    assert pool.alive() == []
