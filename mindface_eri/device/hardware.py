# SPDX-License-Identifier: Apache-2.0
"""What a kind of device requires before MindSpore can use it; `gpu` and `ascend` look whether it is there."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from mindface_eri.errors import MissingDependencyError


def _with_mindspore(python: Tuple[int, int]) -> str:
    """What brings MindSpore, for a Python that has no wheel of it too."""
    later = python > (3, 12)
    return "pip install 'mindface_eri[train]'" + (", with Python 3.9 to 3.12: later ones have no MindSpore" if later
                                                  else "")


WITH_MINDSPORE = _with_mindspore(sys.version_info[:2])


@dataclass(frozen=True)
class Requirement:
    """One thing that a device needs. Without a cure it is there; with one it is missing or does not fit."""

    name: str
    detail: str
    cure: str = ""


def obstacle(requirements: List[Requirement]) -> Optional[Requirement]:
    """The first requirement that is missing; those after it can be missing because of it."""
    return next((one for one in requirements if one.cure), None)


def has_mindspore() -> bool:
    """Whether MindSpore is installed; it is not imported for it."""
    try:
        return importlib.util.find_spec("mindspore") is not None
    except (ImportError, ValueError):  # it is marked as not to be imported
        return False


def require_mindspore(what: str) -> None:
    """Raises a `MissingDependencyError` that says what needs it, where MindSpore is not installed."""
    if not has_mindspore():
        raise MissingDependencyError(f"{what} needs MindSpore, which a light installation leaves out: {WITH_MINDSPORE}")


def plugin_folder() -> Optional[Path]:
    """Where MindSpore keeps its device plugins, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("mindspore")
    return Path(spec.origin).parent / "lib" / "plugin" if spec and spec.origin else None


def load_error(library: str) -> str:
    """Why MindSpore could not load a plugin, such as "libmindspore_gpu"; empty where nothing failed.

    MindSpore loads its plugins while it is imported; before that there is nothing to say.
    """
    if "mindspore" not in sys.modules:
        return ""
    from mindspore._c_expression import MSContext

    lines = MSContext.get_instance().load_plugin_error().splitlines()
    return next((line.strip() for line in lines if library in line), "")
