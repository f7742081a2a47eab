# SPDX-License-Identifier: Apache-2.0
"""The writing pipeline: workers, failures, crashes, kills, shards. Extraction itself is faked."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.datasets.build.plan import shard_lock
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.build.summary import dataset_hash
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import BusyError, ConfigError, DataError

HERE = Path(__file__).parents[1]  # of the conftest that has TINY
CHILD = """
import sys
sys.path.insert(0, {here!r})
from conftest import TINY
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
preprocess_dataset({data!r}, {out!r}, TINY, workers=2, extractor="fake_extractor:extract", progress=False,
                   resume=True)
"""


def table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def run(tmp_path, tiny, extractor):
    def preprocess(out="out", config=tiny, **options):
        return preprocess_dataset(tmp_path / "data", tmp_path / out, config, extractor=extractor, progress=False,
                                  **{"workers": 1, "resume": True, **options})
    return preprocess


def test_one_and_two_workers_write_the_same(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(12))
    one, two = run("one"), run("two", workers=2)
    assert one.hash == two.hash and one.complete and (one.done, one.failed, one.reused) == (12, 0, 0)
    for name in ("clips.csv", "arrays.npz", "failures.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_hash_is_of_contents_not_of_their_order():
    rows = [{"id": str(i), "split": "train", "content_hash": f"{i:x}"} for i in range(3)]
    labels = np.eye(3, dtype=np.float32)
    digest = dataset_hash(rows, labels)
    assert digest == dataset_hash(rows[::-1], labels[::-1])
    assert digest != dataset_hash(rows, labels[::-1])
    for name in ("id", "split", "content_hash"):
        assert digest != dataset_hash([*rows[:2], {**rows[2], name: "other"}], labels)


def test_a_worker_that_cannot_start_stops_the_run(run, tmp_path, corpus_writer, monkeypatch):
    corpus_writer(tmp_path / "data", range(3))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="ended with status 1"):
        run()


def test_failing_clips_stop_nothing_and_say_why(run, tmp_path, corpus_writer, tiny):
    corpus_writer(tmp_path / "data", [0, "media", "odd", "crash", "exit", None, "shape", "hang", 8])
    summary = run(workers=2, clip_limit=4.0, config=replace(tiny, storage="raw"))
    assert (summary.done, summary.failed, summary.complete) == (2, 7, True)
    reasons = {row["id"]: (row["stage"], row["reason"]) for row in table(tmp_path / "out" / "failures.csv")}
    assert {clip: stage for clip, (stage, _) in reasons.items()} == {
        "00001": "media", "00002": "extract", "00003": "killed", "00004": "crash", "00005": "missing",
        "00006": "extract", "00007": "timeout"}
    assert "no picture, no sound" in reasons["00001"][1]
    assert "ZeroDivisionError" in reasons["00002"][1]
    assert "killed by signal 11" in reasons["00003"][1]
    assert "status 7: chatter on standard output" in reasons["00004"][1]
    assert "expected (4, 32, 32, 3)" in reasons["00006"][1]
    assert "4 s" in reasons["00007"][1]
    assert open_records(tmp_path / "out").ids() == ("00000", "00008")


def test_a_missing_package_stops_the_run_and_can_be_mended(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", [0, 1, "dependency", 3])
    with pytest.raises(DataError, match="pip install dlib-bin.*--resume"):
        run()
    with pytest.raises(DataError, match="preprocessing is not finished"):
        open_records(tmp_path / "out")
    corpus_writer(tmp_path / "data", [0, 1, 2, 3])
    summary = run()
    assert (summary.done, summary.failed) == (4, 0) and summary.reused >= 2


def test_a_finished_folder_is_reused_and_mended(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", range(40))
    first = run()
    again = run()
    assert (again.reused, again.hash) == (40, first.hash)
    with pytest.raises(DataError, match="--resume"):
        run(resume=False)
    part = next((tmp_path / "out" / "records").glob("*.mindrecord"))
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off"):
        open_records(tmp_path / "out")
    mended = run()
    assert mended.hash == first.hash and 0 < mended.reused < 40


def test_other_settings_or_labels_are_refused_by_name(run, tmp_path, corpus_writer, tiny):
    corpus_writer(tmp_path / "data", range(4))
    run()
    other = replace(tiny, face=FaceConfig(size=32, margin=0.3))
    with pytest.raises(DataError, match=r"preprocess\.face\.margin is 0\.3 now, was 0\.2"):
        run(config=other)
    corpus_writer(tmp_path / "data", range(4), labels={1: "0.5,0.5"})
    with pytest.raises(DataError, match="another label table"):
        run()
    with pytest.raises(ConfigError, match="storage to raw"):
        run("big", config=replace(tiny, frames=3000))
    with pytest.raises(ConfigError, match="detector 'dlb' is unknown; did you mean 'dlib'"):
        run("face", config=replace(tiny, face=FaceConfig(size=32, detector="dlb")))
    assert not (tmp_path / "face").exists()


def test_shards_join_into_the_same_data_set(run, tmp_path, corpus_writer):
    corpus_writer(tmp_path / "data", [*range(20), "media"])
    alone = run("alone")
    parts = [run("shared", num_shards=3, shard_index=i, resume=False) for i in (2, 0, 1)]
    assert [part.complete for part in parts] == [False, False, True]
    assert sum(part.total for part in parts) == 21 and sum(part.failed for part in parts) == 1
    assert parts[-1].hash == alone.hash
    assert open_records(tmp_path / "shared").ids() == open_records(tmp_path / "alone").ids()
    with pytest.raises(DataError, match="shard index 3"):
        run("shared", num_shards=3, shard_index=3)


def test_the_lock_keeps_a_second_run_out(tmp_path):
    hold = ("import sys, time; from pathlib import Path; from mindface_eri.datasets.build.plan import shard_lock\n"
            f"with shard_lock(Path({str(tmp_path)!r}), 0, 1): print('held', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="another process"), shard_lock(tmp_path, 0, 1):
            pass
        with shard_lock(tmp_path, 1, 2):
            pass
        process.kill()
        process.wait()
        with shard_lock(tmp_path, 0, 1):
            pass


def kill_and_resume(tmp_path, run, corpus_writer, kills, seed, count):
    """Kills runs at random moments; the number of kills that hit one at work."""
    log = tmp_path / "log"
    log.touch()
    corpus_writer(tmp_path / "data", [f"slow {i}" for i in range(count)])
    whole = run("whole", workers=2)
    corpus_writer(tmp_path / "data", [f"log {log} {i}" if i % 2 else f"slow {i}" for i in range(count)])
    rng, hits = random.Random(seed), 0
    for _ in range(kills):
        out = tmp_path / "killed"
        code = CHILD.format(here=str(HERE), data=str(tmp_path / "data"), out=str(out))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
        child = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
        size, early = log.stat().st_size, rng.random() < 0.2
        while child.poll() is None and not early and log.stat().st_size == size:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 3.0 if early else 0.3))
        hits += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    last = run("killed", workers=2)
    assert last.hash == whole.hash and (last.done, last.failed) == (count, 0)
    extracted = log.read_text().split()
    assert len(set(extracted)) == count // 2
    assert len(extracted) <= count // 2 + 2 * hits, "each kill repeats at most the two clips in flight"
    assert not (tmp_path / "killed" / "work").exists()
    return hits


def test_a_kill_loses_nothing(tmp_path, run, corpus_writer):
    assert kill_and_resume(tmp_path, run, corpus_writer, kills=1, seed=3, count=60) == 1


@pytest.mark.slow
def test_eight_kills_lose_nothing(tmp_path, run, corpus_writer):
    assert kill_and_resume(tmp_path, run, corpus_writer, kills=8, seed=7, count=200) >= 5
