"""Every command that a page shows is one that the command line takes, and every file that a page names is there."""

import re
import shlex
from pathlib import Path

import pytest

from mindface_eri import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/*.md")])


def commands():
    """(page, words after `mindface-eri`) of each line in a fenced or indented block that calls us."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            words = re.sub(r"^\$ ", "", line.strip())
            if words.startswith("mindface-eri "):
                yield page.name, shlex.split(words, comments=True)[1:]
            tool = re.search(r"tools/(\w+)\.py (.*)", words)
            if tool and re.match(r"(msrun|python)\b", words):
                yield page.name, [tool[1].replace("_", "-"), *shlex.split(tool[2], comments=True)]


@pytest.mark.parametrize("page, words", commands(), ids=lambda value: value if isinstance(value, str) else value[0])
def test_commands_of_the_pages_parse(page, words):
    arguments, run = cli._parse(words)
    assert callable(run)
    config = getattr(arguments, "config", None)
    assert config is None or (ROOT / config).is_file(), f"{page}: {config} is not there"


def test_the_readme_shows_commands():
    assert sum(page == "README.md" for page, _ in commands()) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
