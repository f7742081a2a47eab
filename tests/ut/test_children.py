# SPDX-License-Identifier: Apache-2.0
"""Processes that we start import what their parent does, and nothing from the folder one stands in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindface_eri import children

TELL = "import json, sys\nimport fractions, numpy\n" \
       "print(json.dumps([sys.argv[1:], sys.path, fractions.__file__, numpy.__file__, __name__]))\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with traps, and another with a module `tell`, where this process imports from."""
    work, place = tmp_path / "work", tmp_path / "place"
    for made in (work, place):
        made.mkdir()
    for name in ("fractions", "numpy", "runpy", "tell", "errors", "sitecustomize"):
        (work / f"{name}.py").write_text(f"raise SystemExit('{name} of the working folder')\n")
    (place / "tell.py").write_text(TELL)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", ["", str(place), *sys.path])
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return work


@pytest.mark.parametrize("marked", [True, False])  # Python before 3.11 does not know the variable
def test_a_child_passes_the_working_folder_over(folder, marked):
    environment = children.environment(ERI_TEST="1")
    assert environment["ERI_TEST"] == environment["PYTHONSAFEPATH"] == "1"
    if not marked:
        del environment["PYTHONSAFEPATH"]
    done = subprocess.run(children.python("tell", "a", 2), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words, path, *files, name = json.loads(done.stdout)
    assert (words, name) == (["a", "2"], "__main__")
    package = str(Path(children.__file__).parent)
    assert not {"", str(folder), package} & set(path) and not [file for file in files if str(folder) in file]


def test_what_pythonpath_names_stays(folder, monkeypatch):
    """As docs/extending.md has it for plugins."""
    monkeypatch.setattr(sys, "path", sys.path[1:])
    (folder / "tell.py").write_text("import os; print(os.getcwd())")
    (folder / "fractions.py").unlink()
    code = "import subprocess; from mindface_eri import children;" \
           "subprocess.run(children.python('tell'), env=children.environment(), check=True)"
    for name in ("numpy", "runpy", "errors", "sitecustomize"):
        (folder / f"{name}.py").unlink()
    paths = os.pathsep.join([".", str(children._ROOT)])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True,
                          text=True, check=False)
    assert done.stdout.strip() == str(folder), done.stderr


def test_the_folder_of_python_m_is_no_place_to_import_from(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/b", "", str(tmp_path)])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", object(), raising=False)
    assert children.import_path() == ["/b", str(tmp_path), children._ROOT]  # named twice: PYTHONPATH has it too
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert children.import_path() == [str(tmp_path), "/b", str(tmp_path), children._ROOT]  # a script that lies there
    monkeypatch.setattr(sys, "path", [children._ROOT, "/b"])
    assert children.import_path() == [children._ROOT, "/b"]
