# SPDX-License-Identifier: Apache-2.0
"""A disk that is full or cannot be written: a sentence, nothing half-written, and the work goes on afterwards."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from mindface_eri.datasets.records import open_records
from mindface_eri.prediction.predictor import load_predictor
from mindface_eri.runner.run_folder import load_trained

pytestmark = pytest.mark.slow

SIZE = 16 << 20  # bytes of the small disk


@pytest.fixture
def disk(tmp_path):
    """A file system of its own."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True,
                             check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def commands(name, tiny, disk):
    """A command that writes to the disk, and what checks that it did."""
    if name == "synthesize":
        out = disk / "corpus"
        return ("synthesize", out, "--clips", 4, "--duration", 0.3, 0.3, "--fps", 10, 10, "--workers", 1), \
            lambda: out.joinpath("data_info.csv").stat()
    if name == "preprocess":
        out = disk / "records"
        return ("preprocess", tiny.corpus, out, "--config", tiny.recipe, "--workers", 1, "--resume"), \
            lambda: list(open_records(out).read(open_records(out).ids()))
    if name == "train":
        out = disk / "run"
        return ("train", "--config", tiny.recipe, "--data", tiny.records, "--out", out, "--resume"), \
            lambda: load_trained(out).build()
    if name == "extract-features":
        run = disk / "trained"
        if not run.exists():
            shutil.copytree(tiny.trained, run)
        return ("extract-features", run, "--split", "train"), \
            lambda: np.load(next((run / "features").glob("train*.npy")), allow_pickle=False)
    if name == "export":
        out = disk / "export"
        return ("export", "--checkpoint", tiny.trained, "--format", "onnx", "--out", out), \
            lambda: load_predictor(out / "eri_acoustic.onnx")
    page = disk / "page.html"
    return ("predict", tiny.clip, "--model", tiny.model, "--report", page, "--out", disk / "rows.csv"), \
        lambda: page.read_text(encoding="utf-8").index("</html>")


def leftovers(place):
    """Files that should have gone with a failure; what lies below work/ is for --resume."""
    temporary = [path for path in place.rglob("*")
                 if ".tmp" in path.name or path.name.endswith((".part", ".work", ".lock"))]
    return [path for path in temporary if "work" not in path.relative_to(place).parts]


@pytest.mark.parametrize("name", ["synthesize", "preprocess", "train", "extract-features", "export", "predict"])
def test_a_full_disk(name, tiny, disk):
    words, check = commands(name, tiny, disk)
    failures = 0
    for free in (0, 4096, 20000, 80000, 3 << 20):
        rest = os.statvfs(disk)
        with open(disk / "ballast", "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, rest.f_bavail * rest.f_frsize - free // 4096 * 4096))
        status, said = tiny.run(*words)
        assert status in (0, 1), said
        if status:
            failures += 1
            assert "disk is full" in said or "cannot be written" in said or "No space" in said, said
            assert not leftovers(disk)
        else:
            check()
        (disk / "ballast").unlink()
    assert failures
    status, said = tiny.run(*words)
    assert status == 0, said
    check()
    assert not leftovers(disk)


@pytest.mark.parametrize("name", ["synthesize", "preprocess", "train", "extract-features", "export", "predict"])
def test_a_disk_that_cannot_be_written(name, tiny, disk):
    words, _ = commands(name, tiny, disk)
    before = sorted(disk.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    status, said = tiny.run(*words)
    assert status == 1 and str(disk) in said, said
    assert "Read-only" in said or "cannot be written" in said, said
    assert sorted(disk.rglob("*")) == before
