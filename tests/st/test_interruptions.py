# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, SIGKILL and a second process at any moment: no half file under a final name, no process left, --resume."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindface_eri.datasets.records import open_records
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.runner.run_folder import load_trained

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds for a stopped process to go; a machine that does nothing else needs one or two


def start(words, log):
    """The command in a process, and its children, of their own."""
    return subprocess.Popen([sys.executable, "-m", "mindface_eri.cli", *map(str, words)], stdout=log, stderr=log,
                            start_new_session=True)


def alive(session):
    """Processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until_gone(session):
    end = time.monotonic() + PATIENCE
    while alive(session):
        assert time.monotonic() < end, f"processes {alive(session)} are still there"
        time.sleep(0.05)


def job(name, tiny, out):
    """A command, and what reads its result whole."""
    if name == "preprocess":
        return ("preprocess", tiny.corpus, out, "--config", tiny.recipe, "--workers", 2, "--resume"), \
            lambda: list(open_records(out).read(open_records(out).ids()))
    if name == "train":
        return ("train", "--config", tiny.recipe, "--data", tiny.records, "--out", out, "--resume"), \
            lambda: load_trained(out).build()
    if name == "export":
        return ("export", "--checkpoint", tiny.trained, "--format", "onnx", "--out", out), \
            lambda: load_predictor(out / "eri_acoustic.onnx")
    return ("predict", tiny.corpus / "test", "--model", tiny.model, "--report", out, "--out", out / "rows.csv"), \
        lambda: [page.read_text(encoding="utf-8").index("</html>") for page in out.glob("*.html")]


def visible_files_are_whole(out):
    hidden = re.compile(r"(^|/)(\.|work(/|$))")
    for path in [path for path in out.rglob("*") if not hidden.search(path.relative_to(out).as_posix())]:
        if path.suffix in (".html", ".json", ".yaml", ".csv"):
            assert path.read_bytes().strip(), path
        if path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path
        if path.suffix == ".ckpt":
            load_trained(path) if path.stem != "state" else None
        if path.suffix == ".onnx":
            load_predictor(path)


@pytest.mark.parametrize("name", ["preprocess", "train", "export", "predict"])
def test_stopped_at_any_moment(name, tiny, tmp_path):
    rng = random.Random(name)
    words, check = job(name, tiny, tmp_path / "out")
    with open(tmp_path / "log", "w+b") as log:
        for number in (signal.SIGTERM, signal.SIGKILL):
            process = start(words, log)
            while not (tmp_path / "out").exists() and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1.5))
            process.send_signal(number)
            assert process.wait(timeout=PATIENCE) in (0, 1, 130, -number)  # -SIGTERM before anything was begun
            wait_until_gone(process.pid)
            visible_files_are_whole(tmp_path / "out")
        assert start(words, log).wait() == 0
        check()
        log.seek(0)
        said = log.read().decode()
    assert "Traceback" not in said, said[-3000:]
    left = [path for path in (tmp_path / "out").rglob("*") if re.search(r"\.(tmp|part|lock|work)|^work$", path.name)]
    assert not left if name in ("preprocess", "train") else all(path.name.startswith(".") for path in left)


def workers_of(process):
    """The worker processes of a command that are there now."""
    found = []
    for number in alive(process.pid):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += [number] * (b"datasets.build.workers" in Path(f"/proc/{number}/cmdline").read_bytes())
    return found


@pytest.mark.parametrize("seconds", [0, 2])  # while it starts, and later: maybe at work, maybe not yet
def test_a_killed_worker_is_replaced_and_every_clip_answered(seconds, tiny, tmp_path):
    rows = tmp_path / "rows.json"
    with open(tmp_path / "log", "w+b") as log:
        process = start(("predict", tiny.corpus, "--model", tiny.model, "--workers", 2, "--out", rows), log)
        while not (found := workers_of(process)):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(seconds)
        for worker in found[:1]:
            with contextlib.suppress(ProcessLookupError):  # it is done already
                os.kill(worker, signal.SIGKILL)
        assert process.wait(timeout=5 * PATIENCE) == 0
        wait_until_gone(process.pid)
        log.seek(0)
        assert b"Traceback" not in log.read()
    answered = json.loads(rows.read_text(encoding="utf-8"))  # of 12 videos and 12 sound files
    assert len(answered) == 24 and not [row for row in answered if row.get("error")]


@pytest.mark.parametrize("name", ["preprocess", "train"])
def test_two_at_once(name, tiny, tmp_path):
    words, check = job(name, tiny, tmp_path / "out")
    logs = [open(tmp_path / f"log{number}", "w+b") for number in range(2)]  # noqa: SIM115
    processes = [start(words, log) for log in logs]
    statuses = [process.wait() for process in processes]
    said = []
    for log in logs:
        log.seek(0)
        said.append(log.read().decode())
        log.close()
    assert "Traceback" not in "".join(said), said
    assert 0 in statuses and set(statuses) <= {0, 1}, said
    for status, text in zip(statuses, said):
        assert status == 0 or "another process" in text, text
    check()


def test_a_second_process_is_told_who_is_at_work(tiny, tmp_path):
    hold = ("import sys, time; from mindface_eri.files import folder_lock\n"
            "with folder_lock(sys.argv[1], 'a test'): print('held', flush=True); time.sleep(600)")
    locks = {"train": ".lock", "export": ".lock", "preprocess": "work/shard-0-of-1.lock"}
    for name, lock in locks.items():
        words, _ = job(name, tiny, tmp_path / name)
        with subprocess.Popen([sys.executable, "-c", hold, tmp_path / name / lock], stdout=subprocess.PIPE, text=True,
                              env={**os.environ}) as process:
            assert process.stdout.readline() == "held\n"
            status, said = tiny.run(*words)
            process.kill()
        assert status == 1 and "another process" in said and str(tmp_path / name) in said
