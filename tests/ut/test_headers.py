# SPDX-License-Identifier: Apache-2.0
"""Every Python file names its licence in its first line; the file's own words come next."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = "# SPDX-License-Identifier: Apache-2.0"


def has_header(text):
    """Whether the first line, or the one after a shebang, names the licence."""
    lines = text.splitlines()
    return LINE in lines[:1 + lines[0].startswith("#!")] if lines else False


def test_every_file_has_its_header():
    files = [path for folder in ("mindface_eri", "tools", "tests") for path in (ROOT / folder).rglob("*.py")]
    lacking = [path.relative_to(ROOT).as_posix() for path in (*files, ROOT / "setup.py")
               if not has_header(path.read_text(encoding="utf-8"))]
    assert lacking == []


@pytest.mark.parametrize("text", ["", '"""x"""\n', "# a comment\n" + LINE, '"""x"""\n' + LINE])
def test_a_missing_header_is_noticed(text):
    assert not has_header(text)
