# SPDX-License-Identifier: Apache-2.0
"""Whether a clip's files are still those that were taken apart: by size and time, and by hash where asked."""

import hashlib
import os

import pytest

from mindface_eri.datasets.build.sources import changed, mark, same_stamps


@pytest.fixture
def files(tmp_path):
    """A clip's files, both of time 5."""
    for name, content in (("a.mp4", b"picture"), ("a.wav", b"sound!")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(5, 5))
    return {"video": tmp_path / "a.mp4", "audio": tmp_path / "a.wav"}


def put(path, content, time):
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def test_what_is_remembered(files, tmp_path):
    assert mark(files) == {"video": [7, 5, hashlib.sha256(b"picture").hexdigest()],
                           "audio": [6, 5, hashlib.sha256(b"sound!").hexdigest()]}
    assert list(mark({**files, "audio": None})) == list(mark({**files, "audio": tmp_path / "gone.wav"})) == ["video"]


@pytest.mark.parametrize("content, time, quick, thorough", [
    (b"picture", 5, False, False), (b"picture", 6, False, False), (b"another", 6, True, True),
    (b"another", 5, False, True), (b"longer than that", 5, True, True)])
def test_what_counts_as_another_file(files, content, time, quick, thorough):
    marks = mark(files)
    put(files["video"], content, time)
    assert (changed(marks, files), changed(marks, files, verify=True)) == (quick, thorough)
    assert same_stamps(marks, files) == (len(content) == 7 and time == 5)


def test_files_that_go_and_come(files):
    marks, lone = mark(files), mark({**files, "audio": None})
    assert not changed(lone, {**files, "audio": None}) and changed(lone, files), "a sound has come"
    assert not changed(None, files), "an earlier version took no note"
    files["audio"].unlink()
    assert not changed(marks, files) and not same_stamps(marks, files)
    put(files["video"], b"another", 6)
    assert changed(marks, files)
