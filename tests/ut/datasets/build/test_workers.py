# SPDX-License-Identifier: Apache-2.0
"""The processes that take clips apart: answers, crashes, limits, ends, and what each is told."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mindface_eri.datasets.build import workers
from mindface_eri.datasets.build.workers import DEFAULT_EXTRACTOR, STOPPED, Worker, WorkerPool
from mindface_eri.preprocess.clip import extract_clip

ODD = '''
import os, pathlib, sys, threading
from mindface_eri.errors import MediaError

def extract(path, config, *, audio_path=None):
    print("chatter")
    state = pathlib.Path(path + ".tries")
    tries = int(state.read_text()) + 1 if state.exists() else 1
    state.write_text(str(tries))
    if "told" in path:
        raise MediaError(f"{os.environ['OMP_NUM_THREADS']} {config.frames} {'mindspore' in sys.modules} {audio_path} "
                         f"{os.environ.get('AT_START')}")
    if "once" in path and tries == 1 or "always" in path:
        print("first words\\nlast words", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    if "kill" in path:
        os.kill(os.getpid(), 9)
    if "hang" in path:
        threading.Event().wait(60)
    raise MediaError(f"try {tries} in {os.getpid()}")
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    (path / "odd_extractor.py").write_text(ODD)
    (path / "sitecustomize.py").write_text("import os\nos.environ['AT_START'] = 'here'\n")  # Python imports it first
    return path


@pytest.fixture(scope="module")
def pool(folder):
    """One worker for the whole module; `sys.path` is what it finds the extractor by."""
    from mindface_eri.config import PreprocessConfig

    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    made = WorkerPool(1, PreprocessConfig(frames=7), "odd_extractor:extract", 60.0)
    yield made
    made.close()
    patch.undo()
    assert made({"video": "x", "audio": None}) == STOPPED == ("fatal", "stopped", "the run was stopped")


def task(folder, name, **changes):
    return {"video": str(folder / name), "audio": None, "target": str(folder / "x.npz"), "preview": None, "id": name,
            **changes}


def test_a_worker_has_the_configuration_the_path_one_thread_and_no_mindspore(pool, folder):
    assert pool(task(folder, "told")) == ("failed", "media", "1 7 False None here")
    assert pool(task(folder, "told", audio="a.wav")) == ("failed", "media", "1 7 False a.wav here")


def test_a_process_is_kept_from_clip_to_clip(pool, folder):
    one, two = (pool(task(folder, "same")) for _ in range(2))
    assert one[2].startswith("try 1 in ") and two[2] == one[2].replace("try 1", "try 2")
    assert int(one[2].split()[-1]) != os.getpid()


def test_a_crash_is_tried_once_more(pool, folder):
    assert pool(task(folder, "once"))[2].startswith("try 2 in ")
    assert pool(task(folder, "always")) == (
        "failed", "crash", "the extracting process ended with status 3: last words (at both attempts)")
    assert (folder / "always.tries").read_text() == "2"
    assert pool(task(folder, "after"))[2].startswith("try 1 in "), "another process took its place"


def test_the_limit_is_of_one_clip_and_given_up_at_once(folder, tiny, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    worker = Worker(tiny, "odd_extractor:extract", 0.6)
    first = worker(task(folder, "calm"))[2].split()[-1]
    os.kill(int(first), signal.SIGINT)  # Ctrl-C is for the main process
    time.sleep(0.8)
    assert worker(task(folder, "calm"))[2] == f"try 2 in {first}", "the first clip's limit does not go on"
    assert worker(task(folder, "hang")) == ("failed", "timeout", "was not done after 0.6 s; --clip-limit gives more")
    assert (folder / "hang.tries").read_text() == "1"
    reply = worker(task(folder, "kill"))
    assert reply == ("failed", "crash", "the extracting process was killed by signal 9 (out of memory?): chatter "
                                        "(at both attempts)")
    worker.close()
    assert worker(task(folder, "kill")) == STOPPED and (folder / "kill.tries").read_text() == "2"


def test_a_pool_that_is_closed_in_the_middle_of_a_clip_is_stopped(folder, tiny, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    made = WorkerPool(1, tiny, "odd_extractor:extract", 60.0)
    with ThreadPoolExecutor(1) as thread:
        reply = thread.submit(made, task(folder, "hang long"))
        while not (folder / "hang long.tries").exists():
            time.sleep(0.02)
        made.close()
        assert reply.result(20) == STOPPED
    assert (folder / "hang long.tries").read_text() == "1"


def test_an_extractor_that_is_not_there_stops_the_run(tiny):
    pool = WorkerPool(1, tiny, "odd_extractor_that_is_not_there:extract")
    state, stage, reason = pool({"video": "x", "audio": None})
    pool.close()
    assert (state, stage) == ("fatal", "dependency")
    assert "odd_extractor_that_is_not_there:extract cannot be imported: No module" in reason and "doctor" in reason


def test_a_process_that_never_starts_is_told_as_such(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert Worker(tiny, "x:y", 9.0)({}) == ("fatal", "start", "the extracting process ended with status 1")


def test_a_process_that_dies_while_it_starts_is_tried_once_more(tmp_path, monkeypatch):
    starter = tmp_path / "python"
    starter.write_text(f'#!/bin/sh\nmkdir "{tmp_path}/first" && kill -9 $$\nexec "{sys.executable}" "$@"\n')
    starter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(starter))
    worker = Worker("operator:concat", ("done", ""), 60.0)
    assert worker(("b",)) == ("done", "", "b")
    worker.close()


def test_workers_are_lent_to_one_caller_at_a_time(tiny, monkeypatch):
    used = []

    def attempt(worker, clip):
        used.append(worker)
        if clip == "odd":
            raise ValueError(clip)
        return "done", "", clip

    monkeypatch.setattr(workers.Worker, "__call__", attempt)
    pool = WorkerPool(2, tiny, "x:y")
    assert [pool(clip) for clip in "abc"] == [("done", "", "a"), ("done", "", "b"), ("done", "", "c")]
    assert used[0] is not used[1] and used[2] is used[0]
    with pytest.raises(ValueError):
        pool("odd")
    assert [pool(clip)[2] for clip in "de"] == ["d", "e"], "given back after an error too"


def test_the_usual_extractor_is_the_libraries_own():
    module, _, name = DEFAULT_EXTRACTOR.partition(":")
    assert getattr(sys.modules[module], name) is extract_clip


def test_the_worker_ends_with_its_input():
    hello = pickle.dumps({"sys_path": sys.path, "extractor": "os:x", "config": None})
    done = subprocess.run([sys.executable, "-m", "mindface_eri.datasets.build.workers"], input=hello, timeout=60, check=False,
                          stdout=subprocess.PIPE)
    assert done.returncode == 0 and pickle.loads(done.stdout) == workers.READY
