# SPDX-License-Identifier: Apache-2.0
"""Clips on a Dask cluster: a scheduler and workers of its own processes, as `dask scheduler` and `dask worker` start
them. Workers are killed and join in the middle; records and answers are those of a run without a scheduler."""

import collections
import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fixtures.waiting import until

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.version import __version__

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow
HERE = Path(__file__).parents[1] / "extractors"
TINY = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=4, stack=2))
FILES = ("clips.csv", "failures.csv", "arrays.npz")


class Cluster:
    """Processes of the command `dask`."""

    def __init__(self, folder):
        self.file, self.processes = folder / "scheduler.json", []
        # One death is enough, so that few have to die here.
        self.start("scheduler", "--port", 0, "--scheduler-file", self.file,
                   DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
        until(self.file.exists, 60)

    def start(self, *words, before="", **variables):
        """`dask words...`, on this machine, without pages; `before` comes first on its path."""
        path = os.pathsep.join([*filter(None, (before, *sys.path)), str(HERE)])
        command = [sys.executable, "-m", "dask", *map(str, words), "--host", "127.0.0.1", "--no-dashboard"]
        with open(self.file.with_suffix(".log"), "a") as log:
            self.processes.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path, **variables},
                                                   cwd=self.file.parent, stdout=log, stderr=log))
        return self.processes[-1]

    def worker(self, **more):
        """One more, with one thread and nobody who would start it again."""
        return self.start("worker", "--scheduler-file", self.file, "--nthreads", 1, "--no-nanny", **more)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    for _ in range(3):
        made.worker()
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """90 clips, of which some fail; each notes in a file that it was read."""
    monkeypatch.syspath_prepend(str(HERE))
    log, rows = tmp_path / "read.log", ["File_ID,Split,Joy,Fear"]
    folder = tmp_path / "data" / "train" / "mp4"
    folder.mkdir(parents=True)
    for i in range(90):
        text = {7: "media", 50: "crash", 80: "odd"}.get(i, f"slow log {log} {i}")
        (folder / f"{i:05d}.mp4").write_text(text)
        rows.append(f"[{i:05d}],Train,{i / 90:.4f},1.0")
    (tmp_path / "data" / "data_info.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"


def read(corpus):
    log = corpus.parent / "read.log"
    return log.read_text().split() if log.exists() else []


def make(corpus, out, **options):
    return preprocess_dataset(corpus, corpus.parent / out, TINY, extractor="fake_extractor:extract", progress=False,
                              **{"resume": True, **options})


def test_workers_that_die_and_join_lose_and_double_nothing(cluster, corpus):
    here = make(corpus, "here", workers=2)
    (corpus.parent / "read.log").unlink()
    victim = cluster.processes[2]

    def disturb():
        until(lambda: len(read(corpus)) > 15, 60)
        victim.send_signal(signal.SIGKILL)
        cluster.worker()

    thread = threading.Thread(target=disturb)
    thread.start()
    there = make(corpus, "there", scheduler=str(cluster.file))
    thread.join()
    assert victim.wait(10) == -signal.SIGKILL
    assert there.hash == here.hash and (there.done, there.failed, there.complete) == (87, 3, True)
    for name in FILES:
        assert (corpus.parent / "there" / name).read_bytes() == (corpus.parent / "here" / name).read_bytes()
    again = [clip for clip, count in collections.Counter(read(corpus)).items() if count > 1]
    assert len(set(read(corpus))) == 87 and len(again) <= 1, "but for the one that the victim had"
    with open(corpus.parent / "there" / "failures.csv", newline="") as stream:
        assert [(row["id"], row["stage"]) for row in csv.DictReader(stream)] == [
            ("00007", "media"), ("00050", "killed"), ("00080", "extract")]
    before = len(read(corpus))
    again = make(corpus, "there", scheduler=str(cluster.file))
    assert (again.reused, again.hash, len(read(corpus))) == (89, there.hash, before), "as without: killed, once more"
    assert make(corpus, "there", scheduler="nobody:1").reused == 90, "nothing is left to do"


def test_a_clip_that_kills_workers_fails_alone_and_strangers_get_none(cluster, corpus, tmp_path, caplog):
    for i in range(75):
        (corpus / "train" / "mp4" / f"{i:05d}.mp4").unlink()
    (corpus / "train" / "mp4" / "00085.mp4").write_text("parent")
    (tmp_path / "sitecustomize.py").write_text(
        "import mindface_eri.version\nmindface_eri.version.__version__ = '0.0.9'\n")
    stranger = cluster.worker(before=str(tmp_path))
    until(lambda: cluster.file.with_suffix(".log").read_text().count("Registered to") == 5, 60)
    there = make(corpus, "there", scheduler=str(cluster.file))
    with open(corpus.parent / "there" / "failures.csv", newline="") as stream:
        failed = {row["id"]: (row["stage"], row["reason"]) for row in csv.DictReader(stream) if row["id"] >= "00075"}
    assert failed == {"00080": ("extract", "ZeroDivisionError: by an odd file"),
                      "00085": ("killed", "Dask workers died while they had it, twice over (out of memory?)")}
    assert there.done == 13 and there.complete and stranger.poll() is None
    assert f"has mindface_eri 0.0.9, this run {__version__}; install the same there" in caplog.text
    stranger.kill()




def test_answers_are_those_of_one_process(cluster, tiny, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    words = ("predict", tiny.corpus / "test", broken, "--model", tiny.model)
    status, _ = tiny.run(*words, "--out", tmp_path / "here.csv")
    assert status == 1, "one is broken"
    status, said = tiny.run(*words, "--out", tmp_path / "there.csv", "--scheduler", cluster.file)
    assert status == 1 and "1 failed" in said
    answers = (tmp_path / "there.csv").read_text()
    assert answers == (tmp_path / "here.csv").read_text() and len(answers.splitlines()) > 3


def test_features_are_those_of_one_process(cluster, tiny, tmp_path):
    kept = {}
    for name, more in (("here", ()), ("there", ("--scheduler", cluster.file))):
        run = tmp_path / name
        shutil.copytree(tiny.trained, run)
        shutil.rmtree(run / "features", ignore_errors=True)
        status, said = tiny.run("extract-features", run, "--data", tiny.records, "--split", "val", *more)
        assert status == 0
        kept[name] = {path.name: np.load(path) for path in (run / "features").iterdir()}
        assert all(str(run / "features" / file) in said for file in kept[name])
    assert list(kept["here"]) and set(kept["here"]) == set(kept["there"]), "and nothing else is left there"
    for file, features in kept["here"].items():
        np.testing.assert_allclose(kept["there"][file], features, atol=1e-6)
