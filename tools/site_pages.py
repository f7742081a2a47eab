# SPDX-License-Identifier: Apache-2.0
"""MkDocs' hooks for `make site`: pages that lie outside docs/, links to them, the reference of the public names."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File  # pylint: disable=import-error  # of the extra [site]

import mindface_eri

ROOT = Path(__file__).resolve().parents[1]
# Where the pages outside docs/ stand on the site.
PAGES = {"README.md": "start.md", "README_zh-CN.md": "start_zh-CN.md", "configs/README.md": "recipes.md",
         "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
         "mindface_eri/pretrained/smile/MODEL_CARD.md": "smile.md"}
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
_STYLE = ".md-typeset table code { white-space: nowrap; }\n"  # names in tables stay whole
_REFERENCE = "# Python API\n\nAll names below are imported from `mindface_eri`.\n"


def on_files(files, config):
    """Adds the pages that lie elsewhere, the recipes as files, and the reference."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for recipe in sorted((ROOT / "configs").glob("*.yaml")):
        files.append(File.generated(config, f"configs/{recipe.name}", content=recipe.read_bytes()))
    files.append(File.generated(config, "CITATION.cff", content=(ROOT / "CITATION.cff").read_bytes()))
    files.append(File.generated(config, "site.css", content=_STYLE))
    names = sorted(mindface_eri._PUBLIC.items(), key=lambda item: item[0].lower())  # pylint: disable=protected-access
    reference = [_REFERENCE, *(f"::: mindface_eri.{module}.{name}\n" for name, module in names)]
    files.append(File.generated(config, "api.md", content="\n".join(reference)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links of the repository to their places on the site."""
    del config, files
    home = next((source for source, place in PAGES.items() if place == page.file.src_uri), f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda link: f"{link[1]}{_on_site(home, link[2])}{link[3]}", markdown)


def _on_site(home: str, target: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
    return PAGES.get(path, path[len("docs/"):] if path.startswith("docs/") else path)
