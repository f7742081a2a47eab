# SPDX-License-Identifier: Apache-2.0
"""Surroundings that other programs, containers and notebooks leave: every clip is answered, with its sound."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mindface_eri

pytestmark = pytest.mark.slow
# A read-only root, as far as temporary files go: root may write anywhere, so it is told here.
READ_ONLY = """
import errno, os, tempfile
kept = tempfile.TemporaryFile
def refuse(*args, dir=None, **more):
    if dir is not None and not str(dir).startswith(os.environ["TMPDIR"]):
        raise OSError(errno.EROFS, "Read-only file system", str(dir))
    return kept(*args, dir=dir, **more)
tempfile.TemporaryFile = refuse
"""


def test_read_only_root_notebook_latin1_and_ranks(tiny, tmp_path):
    for name in ("site", "tmp", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(READ_ONLY, encoding="utf-8")
    clip = tmp_path / "work" / "\u4e2d\u6587\U0001f600.mp4"
    clip.write_bytes(tiny.clip.read_bytes())
    package = str(Path(mindface_eri.__file__).parents[1])
    odd = {"HOME": "/proc/nonexistent", "TMPDIR": str(tmp_path / "tmp"), "PYTHONIOENCODING": "latin1", "LC_ALL": "C",
           "MPLBACKEND": "module://matplotlib_inline.backend_inline", "RANK_ID": "3", "RANK_SIZE": "8",
           "PYTHONPATH": os.pathsep.join([package, str(tmp_path / "site")])}
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    words = ("predict", clip, tiny.clip, "--model", tiny.model, "--workers", 2, "--format", "json", "--figure",
             tmp_path / "figures")
    done = subprocess.run([sys.executable, "-m", "mindface_eri.cli", *map(str, words)], cwd=tmp_path / "work",
                          env={**kept, **odd}, capture_output=True, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode("latin1")
    rows = json.loads(done.stdout.decode("latin1"))
    assert [row["File_ID"] for row in rows] == [clip.stem, tiny.clip.stem]
    _, plain = tiny.run("predict", tiny.clip, "--model", tiny.model, "--format", "json")
    (expected,) = json.loads(plain)
    assert rows[0]["Joy"] == rows[1]["Joy"] == pytest.approx(expected["Joy"], abs=1e-6)  # with its sound
    assert len(list((tmp_path / "figures").glob("*.png"))) == 2
