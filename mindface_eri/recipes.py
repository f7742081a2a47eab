# SPDX-License-Identifier: Apache-2.0
"""The recipes that come with the package, by their names.

A checkout has them in configs/, beside the package; a wheel, and MindFace, in a folder `configs` within it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Dict, List, Optional, Union

from mindface_eri.errors import ConfigError
from mindface_eri.files import write_text

_SUFFIX = ".yaml"
_SHARED = "_base_"  # what several recipes build on, no recipe by itself


def recipes_folder() -> Path:
    """Where they lie.

    Raises:
        ConfigError: nowhere; the installation is broken.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / f"{_SHARED}paper{_SUFFIX}").is_file():
            return folder
    raise ConfigError(f"{package}: its recipes are missing; install mindface_eri again")


def list_recipes() -> Dict[str, str]:
    """Name -> what it is, in one line: the first sentence of the file."""
    return {path.stem: _first_sentence(path.read_text(encoding="utf-8"))
            for path in sorted(recipes_folder().glob(f"*{_SUFFIX}")) if not path.name.startswith(_SHARED)}


def find_recipe(path: Union[str, os.PathLike], beside: Optional[Path] = None) -> Path:
    """The file that somebody means: a path as it is, or else, without folders in it, a recipe's name.

    Args:
        beside: the folder that `path` is relative to; None for the current one.

    Raises:
        ConfigError: a recipe's name, and a file of that name and other content lies here too.
    """
    asked = Path(path) if beside is None else beside / path
    name = Path(path).name.removesuffix(_SUFFIX)
    own = recipes_folder() / (name + _SUFFIX)
    if asked.is_file() or str(path) not in (name, name + _SUFFIX) or not own.is_file():
        return asked
    here = asked.with_name(name + _SUFFIX)
    if here.is_file() and here.read_bytes() != own.read_bytes():
        raise ConfigError(f"{name}: is a recipe of the package, and {here} lies here too; write {name}{_SUFFIX} for "
                          "that file, or give it another name")
    return own


def hint(path: Path) -> str:
    """What to add where a recipe cannot be read: the name that was meant, or where to find one."""
    names = list_recipes()
    near = difflib.get_close_matches(path.name.removesuffix(_SUFFIX), names, 1)
    return f"; the package has {near[0]}: --config {near[0]}" if near else "; `mindface-eri recipes` lists some"


def copy_recipe(name: str, out: Optional[os.PathLike] = None) -> Path:
    """Writes a recipe to be edited; what it builds on (`base:`) is found by its name. Returns the path.

    Args:
        out: file to write; None for the recipe's name in the current folder.

    Raises:
        ConfigError: there is no such recipe, or the file is there already.
    """
    source = recipes_folder() / (Path(name).name.removesuffix(_SUFFIX) + _SUFFIX)
    if not source.is_file():
        raise ConfigError(f"no recipe {name!r}{hint(Path(name))}")
    target = Path(out) if out is not None else Path(source.name)
    if target.exists():
        raise ConfigError(f"{target}: is there already; name another file with --out")
    return write_text(target, source.read_text(encoding="utf-8"))


def _first_sentence(text: str) -> str:
    lines: List[str] = []
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        lines.append(line[2:].strip())
    return " ".join(lines).partition(". ")[0].rstrip(".")
