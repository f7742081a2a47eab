# SPDX-License-Identifier: Apache-2.0
"""The folder one stands in is not code: traps called like every module that can be imported lie there."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import mindface_eri

pytestmark = pytest.mark.slow
START = "import sys\nfrom mindface_eri.cli import main\nsys.exit(main())\n"  # as the installed command does
TRAP = "import os\nopen({mark!r}, 'a').write(__name__ + '\\n')\nraise SystemExit('a trap: ' + __name__)\n"


@pytest.fixture(scope="module")
def trapped(tmp_path_factory):
    """`trapped(words...)` runs a command among the traps: status, what it said, the traps that were imported."""
    root = tmp_path_factory.mktemp("trapped")
    work, mark, start = root / "work", root / "mark", root / "bin" / "mindface-eri"
    work.mkdir()
    start.parent.mkdir()
    start.write_text(START, encoding="utf-8")
    names = {module.name for module in pkgutil.iter_modules()} | set(sys.builtin_module_names)
    assert {"yaml", "numpy", "logging", "random", "av", "mindspore", "re", mindface_eri.__name__.split(".")[0]} <= names
    for name in names:
        (work / f"{name}.py").write_text(TRAP.format(mark=str(mark)), encoding="utf-8")

    def run(*words):
        package = str(Path(mindface_eri.__file__).parents[1])
        done = subprocess.run([sys.executable, start, *map(str, words)], cwd=work, text=True, check=False,
                              capture_output=True, env={**os.environ, "PYTHONPATH": package})
        return done.returncode, done.stdout + done.stderr, mark.read_text(encoding="utf-8") if mark.exists() else ""
    return run


@pytest.mark.parametrize("words", [
    ("preprocess", "{clip}", "{tmp}/records", "--config", "{recipe}", "--workers", 1, "--preview", 1),
    ("predict", "{clip}", "--model", "{model}", "--workers", 2),
    ("export", "--checkpoint", "{trained}", "--format", "mindir", "onnx", "--out", "{tmp}/export"), ("doctor",)],
    ids=lambda words: words[0])
def test_a_command_among_traps(words, trapped, tiny, tmp_path):
    named = [str(word).format(tmp=tmp_path, **{key: str(value) for key, value in vars(tiny).items()}) for word in words]
    status, said, imported = trapped(*named)
    assert imported == "" and status == 0, said
