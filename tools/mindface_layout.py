# SPDX-License-Identifier: Apache-2.0
"""Lays this repository out as a part of MindFace: `python tools/mindface_layout.py OUT`.

    mindface/eri/         the package, imported as `mindface.eri`, with configs/, tools/ and its README
    test/eri/{UT,ST}/     the tests
    docs/eri/             the pages
    setup.py              for trying the part alone; the console command keeps its name

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
from typing import Iterator, Optional

ROOT = Path(__file__).resolve().parents[1]
# The first that fits moves a file; None leaves it behind.
MOVES = (("mindface_eri/", "mindface/eri/"), ("configs/", "mindface/eri/configs/"), ("tests/mutants/", None),
         ("README.md", "mindface/eri/README.md"), ("tools/mindface_layout.py", None), ("tools/", "mindface/eri/tools/"),
         ("tests/ut/test_docs.py", None), ("tests/ut/test_layers.py", None), ("tests/ut/test_mindface_layout.py", None),
         ("tests/ut/test_headers.py", None), ("tests/ut/test_public_names.py", None), ("tests/st/test_pages.py", None),
         ("tests/ut/", "test/eri/UT/"), ("tests/st/", "test/eri/ST/"), ("tests/", "test/eri/"),
         ("docs/mindface.md", None), ("docs/", "docs/eri/"), ("setup.py", "setup.py"),
         ("pyproject.toml", "pyproject.toml"), ("LICENSE", "LICENSE"))
SUFFIXES = (".py", ".md", ".toml", ".yaml", "")  # of text; everything else is copied as it is
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
_IMPORTED = re.compile(r"(\b(?:import [\w., ]*?|from |-m ))mindface_eri\b")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)((?:#[^)\s]*)?)\)")
_SETTINGS = (("find_packages", "find_namespace_packages"), ('include=["mindface_eri"', 'include=["mindface.eri"'),
             ('package_data={"mindface_eri"', 'package_data={"mindface.eri"'),
             ('ROOT / "README.md"', 'ROOT / "mindface/eri/README.md"'),
             ('testpaths = ["tests"]', 'testpaths = ["test/eri"]'),
             ('files = ["mindface_eri/__init__.py", "tests/typing"]',
              'files = ["mindface/eri/__init__.py", "test/eri/typing"]'))


def lay_out(out: Path) -> list:
    """Writes the part into `out`, an empty or new folder; returns the files written, relative to it.

    Raises:
        FileExistsError: `out` holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} holds something; name a new or empty folder")
    written = []
    for source in _sources():
        target = new_place(source)
        if target is None:
            continue
        path = out / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if PurePosixPath(source).suffix in SUFFIXES:
            path.write_text(rewrite(source, (ROOT / source).read_text(encoding="utf-8")), encoding="utf-8")
        else:
            path.write_bytes((ROOT / source).read_bytes())
        written.append(target)
    return written


def _sources() -> Iterator[str]:
    for folder in ("mindface_eri", "configs", "tools", "tests", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and not set(path.parts) & set(LEFT_BEHIND):
                yield path.relative_to(ROOT).as_posix()
    yield from ("README.md", "setup.py", "pyproject.toml", "LICENSE")


def new_place(source: str) -> Optional[str]:
    """Where a file of this repository lies in MindFace; None where it has no place there."""
    for old, new in MOVES:
        if source == old or (old.endswith("/") and source.startswith(old)):
            return new and new + source[len(old):]
    return None


def rewrite(source: str, text: str) -> str:
    """A file's text as it has to be in its new place."""
    python = source.endswith(".py")
    if python:
        text = text.replace(HEADER, FULL_HEADER, 1)
    if source.endswith(".md"):
        text = _LINK.sub(lambda link: _moved_link(source, *link.groups()), text)
        text = re.sub(r"(?<![\w/.(-])(configs|tools)/(?=\w)", r"mindface/eri/\1/", text)
    if source.startswith("tests/"):
        depth = source.count("/")
        text = text.replace(f"Path(__file__).parents[{depth}]", f"Path(__file__).parents[{depth + 1}]")
        text = re.sub(r'(parents\[\d\] / )"(configs|tools)"', r'\1"mindface/eri/\2"', text)
    if "/" not in source:
        for old, new in _SETTINGS:
            text = text.replace(old, new)
    text = re.sub(r"\bmindface_eri/(?=\w)", "mindface/eri/", text)
    return rename_imports(text, python=python)


def _moved_link(source: str, shown: str, target: str, anchor: str) -> str:
    parts: list = []
    for part in (PurePosixPath(source).parent / target).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    moved = new_place("/".join(parts))
    if moved is None:  # stays behind
        return shown
    return f"[{shown}]({relpath(moved, PurePosixPath(new_place(source)).parent)}{anchor})"


def rename_imports(text: str, *, python: bool = True) -> str:
    """`mindface_eri` as a module becomes `mindface.eri`, in code and in strings; the distribution keeps its name."""
    text = _IMPORTED.sub(r"\1mindface.eri", _DOTTED.sub("mindface.eri", text))
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
    """Lays out and says how many files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="new or empty folder")
    try:
        out = parser.parse_args().out
        print(f"{len(lay_out(out))} files in {out}")
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
