# SPDX-License-Identifier: Apache-2.0
"""librosa finds a place for what numba compiles, and never one that others can write to."""

import os
import sys
import tempfile

import pytest

from mindface_eri.errors import MissingDependencyError
from mindface_eri.preprocess import compiled


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Neither beside librosa nor in the home anything can be written; temporary files can."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(compiled, "_places", lambda: iter([compiled.Path("/dev/null/x"), tmp_path / "gone" / "\0"]))
    monkeypatch.setattr(compiled, "_writable", lambda folder: str(folder).startswith(str(tmp_path)) and "\0" not in
                        str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_for_temporary_files_takes_it(nowhere):
    assert compiled.import_librosa() is sys.modules["librosa"]
    folder = compiled.Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == nowhere and folder.stat().st_mode & 0o777 == 0o700
    os.environ["NUMBA_CACHE_DIR"] = ""
    compiled.import_librosa()
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)  # kept from one process to the next


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_not_one_that_is_somebody_elses(nowhere, kind):
    taken = nowhere / f"mindface_eri-numba-{os.getuid()}"
    if kind == "open":
        taken.mkdir()
        taken.chmod(0o777)
    elif kind == "link":
        (nowhere / "other").mkdir()
        taken.symlink_to(nowhere / "other")
    else:
        taken.write_text("")
    compiled.import_librosa()
    found = compiled.Path(os.environ["NUMBA_CACHE_DIR"])
    assert found != taken and found.parent == nowhere and found.stat().st_mode & 0o777 == 0o700


def test_where_something_can_be_written_nothing_is_set(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(compiled, "_places", lambda: iter([tmp_path / "a" / "b"]))
    compiled.import_librosa()
    assert os.environ["NUMBA_CACHE_DIR"] == "" and (tmp_path / "a" / "b").is_dir()


def test_the_places_are_numbas(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/n")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    first, beside, home = compiled._places()
    assert str(first) == "/n" and beside.parts[-3:] == ("librosa", "util", "__pycache__") and str(home) == "/x/numba"
    assert not compiled._writable(compiled.Path("/dev/null/x"))


def test_without_any_folder_the_cure_is_named(nowhere, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(MissingDependencyError, match="set TMPDIR, or NUMBA_CACHE_DIR, to a folder that can be written"):
        compiled.import_librosa()
