# SPDX-License-Identifier: Apache-2.0
"""Merges this repository into a checkout of MindFace: `python tools/mindface_layout.py --into CHECKOUT`.

    mindface/eri/         the package, imported as `mindface.eri`, with train.py, eval.py, infer.py and configs/
    test/eri/{UT,ST}/     the tests, with their settings in test/eri/pytest.ini
    docs/eri/             the pages
    tutorials/eri/        those of the pages that lead by the hand

Files that MindFace has are left alone: what has to change in them is printed as a patch, for `git apply`.
docs/mindface.md says why. Checks of this repository itself (its pages, layers and mutants) stay behind.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, Optional

from mindface_patch import patch_of

ROOT = Path(__file__).resolve().parents[1]
# The first that fits moves a file; None leaves it behind.
MOVES = (("mindface_eri/", "mindface/eri/"), ("configs/", "mindface/eri/configs/"), ("tests/mutants/", None),
         ("README", "mindface/eri/README"), ("tools/mindface_", None), ("tools/site_", None),
         ("tools/", "mindface/eri/tools/"),
         ("tests/ut/test_docs.py", None), ("tests/ut/test_layers.py", None), ("tests/ut/test_mindface_layout.py", None),
         ("tests/ut/test_headers.py", None), ("tests/ut/test_public_names.py", None), ("tests/st/test_pages.py", None),
         ("tests/st/test_wheel.py", None), ("tests/typing/", None), ("tests/ut/", "test/eri/UT/"),
         ("tests/st/", "test/eri/ST/"), ("tests/", "test/eri/"),
         ("docs/mindface.md", None), ("docs/extending.md", "tutorials/eri/extending.md"),
         ("docs/deployment.md", "tutorials/eri/deployment.md"), ("docs/", "docs/eri/"))
SUFFIXES = (".py", ".md", ".yaml")  # of text; everything else is copied as it is
LEFT_BEHIND = ("__pycache__", ".ipynb_checkpoints")

# What the one line stands for here; MindFace's files carry it in full.
HEADER = "# SPDX-License-Identifier: Apache-2.0\n"
FULL_HEADER = """\
# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""

_DOTTED = re.compile(r"\bmindface_eri(?=\.[A-Za-z_{*])")
_EXTRA = re.compile(r"\bmindface_eri(\\*\[)(?=[a-z{])")  # a pattern's bracket too
_IMPORTED = re.compile(r"((?:\b|(?<=\\n))(?:import [\w., ]*?|from |-m ))mindface_eri\b")
_PACKAGE_ROOT = re.compile(r"(Path\([a-z]\w*\.__file__\))\.parents\[1\]")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)((?:#[^)\s]*)?)\)")
# What MindFace's pylint (2.13.9) takes for faults and is none, besides imports where they are needed, so that a command
# starts fast: a merged file says so below its licence.
_ON_PURPOSE = (
    ("broad-except", r"\bException\) as |except Exception\b"),  # somebody's file or plugin; each place says which
    ("protected-access", r"\bos\._exit\("),  # the documented end of a process without clean-up
    ("unused-import", r"^    .*import .*# noqa: F401"),  # that asks whether a package is there
    ("isinstance-second-argument-not-valid-type", r"isinstance\([^)]*\b(Mapping|Sequence)\b"))  # typing's, since 3.11
_ON_PURPOSE_IN = {
    "mindface_eri/__init__.py": ["useless-import-alias", "invalid-name"],  # names for type checkers
    "mindface_eri/metrics/__init__.py": ["invalid-name"],  # a module's own __getattr__
    "mindface_eri/fields.py": ["invalid-field-call"],  # functions that give a dataclass's field
    "mindface_eri/datasets/samples.py": ["abstract-method"],  # of the standard library, abstract until Python 3.10
    "mindface_eri/report/html.py": ["abstract-method"],  # for extensions with tags alone
    "mindface_eri/models/dual_branch.py": ["useless-super-delegation"],  # names a Cell's inputs
    "mindface_eri/deploy/quantize.py": ["abstract-method"],  # of onnxruntime, for readers of another kind
    "mindface_eri/datasets/build/cluster.py": ["unneeded-not"],  # NaN is no limit either
    "mindface_eri/preprocess/container.py": ["try-except-raise"],  # our own errors pass by broader handlers
    **dict.fromkeys(["mindface_eri/benchmark/processes.py", "mindface_eri/device/gpu.py",
                     "mindface_eri/serve/engine.py"],
                    ["consider-using-with"]),  # what outlives the function that makes it
    # What it infers wrongly: of Popen.wait, of a list of words, of NumPy's arrays, of a variable that is None at first.
    "mindface_eri/datasets/build/workers.py": ["consider-using-with", "invalid-unary-operand-type"],
    "mindface_eri/selftest/checks.py": ["no-value-for-parameter"],
    "mindface_eri/datasets/transforms.py": ["too-many-function-args"],
    "mindface_eri/datasets/batching.py": ["not-an-iterable", "unexpected-keyword-arg"]}
# MindFace starts its parts by file. The package's own modules must not hide others of the same name.
_SCRIPT = FULL_HEADER + '''\
"""`mindface-eri {command}`, started by file as MindFace's other parts are."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from mindface.eri.cli import main  # pylint: disable=wrong-import-position

if __name__ == "__main__":
    sys.argv.insert(1, "{command}")
    sys.exit(main())
'''
SCRIPTS = {"train": "train", "eval": "evaluate", "infer": "predict"}
# MindFace's workflow tests its checkout without installing it.
_CONFTEST = '''
_CHECKOUT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _CHECKOUT)
os.environ["PYTHONPATH"] = os.pathsep.join([_CHECKOUT, *filter(None, [os.environ.get("PYTHONPATH")])])  # children too
'''
_PYTEST = """\
[pytest]
addopts = -q --strict-markers --import-mode=importlib
markers = slow: whole routes and long checks
norecursedirs = .* *.egg dist venv
filterwarnings =
    ignore::DeprecationWarning
    ignore::UserWarning:mindspore
"""


def merge(checkout: Path) -> int:
    """Writes the part into a checkout of MindFace; returns how many files were written.

    Raises:
        FileNotFoundError: it is no checkout of MindFace.
        FileExistsError: a file is there already; nothing has been written.
    """
    if not (checkout / "mindface" / "__init__.py").is_file():
        raise FileNotFoundError(f"{checkout}: no checkout of MindFace (mindface/__init__.py is missing)")
    files = new_files()
    there = [name for name in files if (checkout / name).exists()]
    if there:
        raise FileExistsError(f"{checkout}: {len(there)} files are there already, first {there[0]}; nothing was"
                              " written")
    for name, content in files.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(files)


def new_files() -> Dict[str, bytes]:
    """What is written, by its place in MindFace."""
    files = {}
    for source in _sources():
        target, content = new_place(source), (ROOT / source).read_bytes()
        if target is not None:
            text = PurePosixPath(source).suffix in SUFFIXES
            files[target] = rewrite(source, content.decode("utf-8")).encode("utf-8") if text else content
    files["test/eri/conftest.py"] += _CONFTEST.encode()
    files["test/eri/pytest.ini"] = _PYTEST.encode()
    for name, command in SCRIPTS.items():
        files[f"mindface/eri/{name}.py"] = _SCRIPT.format(command=command).encode()
    return files


def _sources() -> Iterator[str]:
    for folder in ("mindface_eri", "configs", "tools", "tests", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and not set(path.parts) & set(LEFT_BEHIND):
                yield path.relative_to(ROOT).as_posix()
    yield from (path.name for path in sorted(ROOT.glob("README*.md")))


def new_place(source: str) -> Optional[str]:
    """Where a file of this repository lies in MindFace; None where it has no place there."""
    for old, new in MOVES:
        if source.startswith(old):
            return new and new + source[len(old):]
    return None


def rewrite(source: str, text: str) -> str:
    """A file's text as it has to be in its new place."""
    python = source.endswith(".py")
    if python:
        text = text.replace(HEADER, FULL_HEADER + _pylint_line(source, text), 1)
    if source.endswith(".md"):
        text = _LINK.sub(lambda link: _moved_link(source, *link.groups()), text)
        text = re.sub(r"(?<![\w/.(-])(configs|tools)/(?=\w)", r"mindface/eri/\1/", text)
    if source.startswith("tests/"):
        depth = source.count("/")
        text = text.replace(f"Path(__file__).parents[{depth}]", f"Path(__file__).parents[{depth + 1}]")
        text = _PACKAGE_ROOT.sub(r"\1.parents[2]", text)
        text = re.sub(r'(parents\[\d\] / )"(configs|tools)"', r'\1"mindface/eri/\2"', text)
        text = re.sub(r'(parents\[\d\] / )"docs"', r'\1"docs/eri"', text)
    text = re.sub(r"\bmindface_eri/(?=\w)", "mindface/eri/", text)
    return rename_imports(text, python=python)


def _pylint_line(source: str, text: str) -> str:
    if not source.startswith("mindface_eri/"):
        return ""
    late = any(isinstance(inner, (ast.Import, ast.ImportFrom)) for outer in ast.walk(ast.parse(text))
               if isinstance(outer, ast.FunctionDef) for inner in ast.walk(outer))
    names = [*(["import-outside-toplevel"] if late else []),
             *(name for name, mark in _ON_PURPOSE if re.search(mark, text, re.M)), *_ON_PURPOSE_IN.get(source, [])]
    return f"# pylint: disable={','.join(names)}\n" if names else ""


def _moved_link(source: str, shown: str, target: str, anchor: str) -> str:
    parts: list = []
    for part in (PurePosixPath(source).parent / target).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    moved = new_place("/".join(parts))
    if moved is None:  # stays behind
        return shown
    return f"[{shown}]({relpath(moved, PurePosixPath(new_place(source)).parent)}{anchor})"


def rename_imports(text: str, *, python: bool = True) -> str:
    """`mindface_eri` becomes `mindface.eri` as a module, also in strings, and `mindface` as what pip installs."""
    text = _EXTRA.sub(r"mindface\1", _IMPORTED.sub(r"\1mindface.eri", _DOTTED.sub("mindface.eri", text)))
    if not python:
        return text
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type == tokenize.NAME and token.string == "mindface_eri":  # bare, such as getattr(mindface_eri, name)
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + "mindface.eri" + lines[row - 1][token.end[1]:]
    text = "".join(lines)
    ast.parse(text)
    return text


def main() -> int:
    """Merges, says how many files, and prints the patch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, required=True, metavar="CHECKOUT", help="a checkout of MindFace")
    try:
        checkout = parser.parse_args().into
        patch = patch_of(checkout, ROOT)  # first, so that a checkout that it does not fit stays as it is
        count = merge(checkout)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{count} files written into {checkout}; the patch for the files that were there: git apply", file=sys.stderr)
    print(patch, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
