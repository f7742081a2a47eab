# SPDX-License-Identifier: Apache-2.0
"""Limits, kills and signals over whole commands: what hangs, what stays, what is done again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.runner.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

EXTRACTORS = Path(__file__).parents[1] / "extractors"
# The command `preprocess` with an extractor whose "media" are text files that say what is to happen.
PREPROCESS = """
import functools, sys
from mindface_eri import cli
from mindface_eri.datasets.build import preprocessing
preprocessing.preprocess_dataset = functools.partial(
    preprocessing.preprocess_dataset, extractor="fake_extractor:extract", progress=False)
sys.argv[0] = "mindface-eri"
sys.exit(cli.main())
"""
TINY = PreprocessConfig(frames=4, face=FaceConfig(size=32), audio=AudioConfig(coefficients=4, stack=2))
SIZES = ("--set", "preprocess.frames=4", "--set", "preprocess.face.size=32", "--set", "preprocess.audio.coefficients=4",
         "--set", "preprocess.audio.stack=2")


def start(words, cwd):
    """A command in an empty folder, and its children, in a session of their own."""
    how = ["-c", PREPROCESS] if words[0] == "preprocess" else ["-m", "mindface_eri.cli"]
    paths = os.pathsep.join([str(EXTRACTORS), *filter(None, sys.path)])
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, *how, *map(str, words)], cwd=cwd, env={**os.environ, "PYTHONPATH": paths},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process, status=0):
    """All that it said."""
    out, said = process.communicate(timeout=300)
    assert process.returncode == status and "Traceback" not in said, said[-3000:]
    return out + said


def workers(process):
    """Its worker processes, as they are now."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            found += [child] * ("datasets.build.workers" in " ".join(child.cmdline()))
    return found


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds=60.0):
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Writes a data set of texts, and gives the words that preprocess it."""
    def make(texts, out="out", *more):
        folder = tmp_path / "data" / "train" / "mp4"
        folder.mkdir(parents=True, exist_ok=True)
        for k, text in enumerate(texts):
            (folder / f"{k:05d}.mp4").write_text(str(text))
        rows = [f"[{k:05d}],Train,{k / len(texts):.3f}" for k in range(len(texts))]
        (tmp_path / "data" / "data_info.csv").write_text("\n".join(["File_ID,Split,Joy", *rows]) + "\n")
        return ("preprocess", tmp_path / "data", tmp_path / out, *SIZES, "--workers", 2, "--resume", *more)

    def here(out="out", **more):
        """The same without a process of its own, which takes seconds to start."""
        return preprocess_dataset(tmp_path / "data", tmp_path / out, TINY, workers=2, resume=True, progress=False,
                                  extractor="fake_extractor:extract", **more)

    make.here = here
    monkeypatch.syspath_prepend(str(EXTRACTORS))
    return make


@pytest.mark.parametrize("number, group", [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_hung_clip_does_not_keep_a_signal_off(fake, tmp_path, number, group):
    process = start(fake(["hang", "hang", 1]), tmp_path / "cwd")
    wait_for(lambda: len(workers(process)) == 2)
    time.sleep(2)
    children = workers(process)
    began = time.monotonic()
    os.killpg(process.pid, number) if group else process.send_signal(number)
    said = finish(process, 130)
    assert time.monotonic() - began < 3 and said == "stopped; what is finished is kept\n"
    wait_for(lambda: not any(map(alive, children)), 1.0)
    assert not list((tmp_path / "cwd").iterdir())


def test_a_compiler_does_not_keep_a_signal_off(tiny, tmp_path):
    words = ("train", "--config", tiny.recipe, "--data", tiny.records, "--out", tmp_path / "out", "--set",
             "runtime.mode=graph", "--set", "model.temporal_depth=16", "--set", "train.epochs=1000")
    process = start(words, tmp_path / "cwd")
    wait_for((tmp_path / "out/environment.json").exists)
    time.sleep(1.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said = finish(process, 130)
    assert time.monotonic() - began < 10  # 3 s where nothing else runs; the compiler takes far longer
    assert said.splitlines()[-1] == "stopped; what is finished is kept"
    assert said.count("\n") == 4  # before that: what is small, what does not repeat, that it compiles
    assert not list((tmp_path / "cwd").iterdir()), "no rank_0"


def test_a_limit_and_a_killed_parent_end_workers(fake, tmp_path):
    """Those in the middle of a clip, and those that wait for one."""
    process = start(fake(["hang", 1, 2]), tmp_path / "cwd")
    wait_for(lambda: (tmp_path / "out/work/block-00000/000001.npz").exists())
    children = workers(process)
    process.kill()
    process.communicate()
    assert len(children) == 2 and wait_for(lambda: not any(map(alive, children)), 3.0) < 3
    assert fake.here(clip_limit=1.0).failed == 1
    assert "00000,train,timeout,took longer than 1 s; --clip-limit gives more" in (
        tmp_path / "out/failures.csv").read_text()


def test_each_clip_of_predict_has_its_limit(tiny, tmp_path):
    rows = tmp_path / "rows.json"
    words = ("predict", tiny.corpus / "test", "--model", tiny.model, "--out", rows, "--clip-limit")
    assert tiny.run(*words, 0.0001)[0] == 1
    found = json.loads(rows.read_text(encoding="utf-8"))
    assert found and all("took longer than 0.0001 s; --clip-limit gives more" in row["error"] for row in found)
    assert tiny.run(*words, 60)[0] == 0


def test_killed_parents_and_workers_lose_nothing(fake, tmp_path):
    texts = [f"slow {k}" if k % 9 else "media" for k in range(150)]
    process = start(fake(texts), tmp_path / "cwd")
    wait_for(lambda: list(tmp_path.glob("out/work/block-*/00001*.npz")))
    children = workers(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(alive, children)), 3.0)
    process, killed = start(fake(texts), tmp_path / "cwd"), 0
    while process.poll() is None and killed < 4:
        time.sleep(0.2)
        for child in workers(process)[:1]:
            with contextlib.suppress(psutil.Error):
                child.kill()
                killed += 1
    finish(process, 1)
    assert killed and fake.here().hash == fake.here("whole").hash


def test_a_records_folder_that_is_removed_ends_the_command(fake, tmp_path):
    process = start(fake(["slow 1"] * 2000), tmp_path / "cwd")
    wait_for(lambda: list(tmp_path.glob("out/work/block-*/*.npz")))
    (tmp_path / "out").rename(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    said = finish(process, 1)
    assert f"mindface-eri preprocess: error: {tmp_path}/out: was removed, or emptied, while" in said
    assert not (tmp_path / "out").exists()


def test_a_run_folder_that_is_removed_ends_the_training(tiny, tmp_path):
    words = ("train", "--config", tiny.recipe, "--data", tiny.records, "--out", tmp_path / "out", "--set",
             "train.epochs=100000")
    process = start(words, tmp_path / "cwd")
    wait_for((tmp_path / "out/checkpoints/best.ckpt").exists)
    (tmp_path / "out").rename(tmp_path / "gone")
    said = finish(process, 1)
    assert f"mindface-eri train: error: {tmp_path}/out: was removed, or emptied, while the training ran" in said
    assert said.count("error") == 1 and not (tmp_path / "out").exists()


def test_a_killed_training_ends_with_the_same_weights(tiny, tmp_path):
    """Without dropout, whose generators no resumed run can take up."""
    words = ["train", "--config", tiny.recipe, "--data", tiny.records, "--resume", "--set", "train.epochs=6",
             "--set", "model.dropout=0", "--out"]
    process = start([*words, tmp_path / "out"], tmp_path / "cwd")
    wait_for((tmp_path / "out/checkpoints/last.ckpt").exists)
    process.kill()
    process.communicate()
    for name in ("out", "whole"):
        assert tiny.run(*words, tmp_path / name)[0] == 0
    one, other = (read_checkpoint(tmp_path / name / "checkpoints/last.ckpt")[0] for name in ("out", "whole"))
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
