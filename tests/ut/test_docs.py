# SPDX-License-Identifier: Apache-2.0
"""Pages are true: commands parse, code compiles, links lead somewhere, quoted values are ours.

tests/st/test_pages.py runs every block of bash and Python that does not say why it cannot be run.
"""

import dataclasses
import functools
import re
import shlex
from pathlib import Path

import yaml

from mindface_eri import cli
from mindface_eri.config import load_config
from mindface_eri.models.registry import build_network
from mindface_eri.recipes import find_recipe

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "docs/**/*.md", "configs/*.md", ".github/**/*.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))
OTHERS = ("export", "msrun", "make", "pip", "git", "cd", "source", "dask")  # what else a shell block may show


def over_pages(check):
    """One test of a rule for all pages, which names each page that breaks it."""
    @functools.wraps(check)
    def test():
        broken = []
        for page in PAGES:
            try:
                check(page)
            except (AssertionError, SyntaxError) as error:
                broken.append(f"{page.relative_to(ROOT)}: {error}")
        assert not broken, "\n".join(broken)
    del test.__wrapped__  # pytest would ask for the rule's own arguments
    return test


def blocks(page, language):
    """Fenced blocks of a language, whatever file name follows it."""
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def commands():
    """(page, words after `mindface-eri`) of each line in a fenced or indented block that calls us."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            words = re.sub(r"^(\$ |[A-Z_]+=\S+ )*", "", line.strip())
            if words.startswith("mindface-eri "):
                yield page.name, shlex.split(words, comments=True)[1:]
            tool = re.search(r"tools/(\w+)\.py (.*)", words)
            if tool and re.match(r"(msrun|python)\b", words) and tool[1].replace("_", "-") in cli.COMMANDS:
                yield page.name, [tool[1].replace("_", "-"), *shlex.split(tool[2], comments=True)]


def test_commands_of_the_pages_parse():
    for page, words in commands():
        check_command(page, words)


def check_command(page, words):
    arguments, run = cli._parse(words)
    assert callable(run)
    config = getattr(arguments, "config", None)
    recipes = getattr(arguments, "recipes", None)
    for recipe in filter(None, (config, *(recipes if isinstance(recipes, list) else ()))):
        assert find_recipe(recipe, ROOT).is_file(), f"{page}: {recipe} is not there"
    if getattr(arguments, "overrides", None):
        load_config(find_recipe(config, ROOT) if config else None, arguments.overrides)


def test_the_readme_shows_commands():
    assert sum(page == "README.md" for page, _ in commands()) >= 8


@over_pages
def test_shell_blocks_hold_nothing_unknown(page):
    for block in blocks(page, "bash"):
        for line in filter(None, block.replace("\\\n", " ").splitlines()):
            word = re.sub(r"^([A-Z_]+=\S+ )*", "", line).split()[0]
            assert word.startswith(("#", "mindface-eri", "python", ".venv/")) or word in OTHERS, f"{page.name}: {line}"


@over_pages
def test_nothing_that_can_be_run_hides_from_being_run(page):
    """In a block of another language, indented, or behind a note without a reason or apart from its block."""
    text = page.read_text(encoding="utf-8")
    opening = re.findall(r"^ *```(.*)$", text, re.M)[::2]
    assert all(re.match(r"(bash|python|text|csv)\b", language) for language in opening), opening
    good = re.findall(r"^<!-- not run: \w[^>]+ -->\n```(?:bash|python)$", text, re.M)
    assert len(good) == len(re.findall("<!-- *not run", text)), "write <!-- not run: why --> right above a block"
    rest = re.sub(r"^```(bash|python)\b.*?^```$", "", text, flags=re.M | re.S)
    assert not re.findall(r"^[ $]*(?:mindface-eri|msrun|python) .*", rest, re.M)


@over_pages
def test_targets_of_make_are_there_and_run_by_ci(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    by_ci = set(re.findall(r"^make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.M))
    named = set(re.findall(r"(?:^ {4}|`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M))
    assert named <= targets
    assert named <= by_ci | {"docs", "bench", "mutants", "smile"}  # docs is a part of test; the others take long


@over_pages
def test_python_blocks_compile(page):
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


@over_pages
def test_commands_named_in_sentences_exist(page):
    for name in re.findall(r"`mindface-eri ([a-z][a-z-]*)", page.read_text(encoding="utf-8")):
        assert name in cli.COMMANDS, f"{page.name}: mindface-eri {name}"


@over_pages
def test_links_and_pictures_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]+)?\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http", "mailto:")):
            continue
        other = page.parent / target if target else page
        assert other.exists(), f"{page.name}: {target}"
        assert not anchor or anchor[1:] in anchors(other), f"{page.name}: {target}{anchor}"


@over_pages
def test_files_named_in_sentences_are_there(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:configs|docs|tools|tests|mindface_eri)/[\w./-]+\.\w+)`", text):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def anchors(page):
    """Anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leaves(tree, prefix=""):
    """Dotted keys of nested mappings, with their values."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_the_recipe_page_is_the_recipe():
    """Every key of the base recipe has a row with its value, and `ours` stands where the recipe says so."""
    text = (ROOT / "configs" / "_base_paper.yaml").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (paper|ours|\[3\])", (ROOT / "docs/recipe.md").read_text(), re.M)
    assert {key: yaml.safe_load(value) for key, value, _ in rows} == dict(leaves(yaml.safe_load(text)))
    for key, _, source in rows:
        line = next(line for line in text.splitlines() if line.strip().startswith(key.rpartition(".")[2] + ":"))
        assert ("not in the paper" in line) == (source == "ours"), line
        assert ("reference 3" in line) == (source == "[3]"), line


def test_the_list_of_recipes_has_each_with_its_parameters():
    rows = re.findall(r"^\| `([\w.]+)` \|[^|]+\| ([\d,]+) \|", (ROOT / "configs" / "README.md").read_text(), re.M)
    recipes = {path.stem for path in (ROOT / "configs").glob("*.yaml") if not path.name.startswith("_")}
    assert {name for name, _ in rows} == recipes, "configs/README.md lists each recipe with its parameters"
    counted = {}
    for name, count in rows:
        model = load_config(ROOT / "configs" / f"{name}.yaml").model
        model = dataclasses.replace(model, feature_widths=(17,) * len(model.features))  # as the page says
        if model not in counted:
            counted[model] = sum(parameter.size for parameter in build_network(model).trainable_params())
        assert counted[model] == int(count.replace(",", "")), name


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached:
            reached.add(page)
            links = re.findall(r"\]\(([\w./-]+\.md)\b", page.read_text(encoding="utf-8"))
            todo += [(page.parent / link).resolve() for link in links]
    assert {page for page in PAGES if ".github" not in page.parts} - reached == set()


def test_the_chinese_readme_has_the_same_commands_links_and_figures():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README_zh-CN.md"))
    for pattern in (r"```[a-z]*\n.*?```", r"^    make .*", r"`[^`\n]*mindface-eri[^`\n]*`", r"`pip [^`]*`"):
        assert re.findall(pattern, english, re.S | re.M if "make" not in pattern else re.M) == \
            re.findall(pattern, chinese, re.S | re.M if "make" not in pattern else re.M), pattern
    other = {"README.md", "README_zh-CN.md"}
    links = [sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - other) for text in (english, chinese)]
    assert links[0] == links[1]
    tables = ["\n".join(re.findall(r"^\|.*", text, re.M)) for text in (english, chinese)]
    figures = [re.findall(r"\d+\.\d+|\d+ ms", table) for table in tables]
    assert figures[0] == figures[1] and len(figures[0]) > 20
