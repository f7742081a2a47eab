# SPDX-License-Identifier: Apache-2.0
"""Every Python file carries the Apache header, as MindFace's files do."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("mindface_eri", "tools", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LINES = ('# Licensed under the Apache License, Version 2.0 (the "License");',
         "#     http://www.apache.org/licenses/LICENSE-2.0",
         "# limitations under the License.")


def has_header(text):
    """Whether the first comment of a file, a shebang aside, is the header."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    return all(line in comment for line in LINES)


@pytest.mark.parametrize("path", [*FILES, ROOT / "setup.py"], ids=lambda path: str(path.relative_to(ROOT)))
def test_header(path):
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or has_header(text), "put the header of another file on top"


@pytest.mark.parametrize("text", ["", '"""x"""\n', "# a comment\n", '"""x"""\n' + "\n".join(LINES)])
def test_a_missing_header_is_noticed(text):
    assert not has_header(text)
