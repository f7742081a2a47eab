# SPDX-License-Identifier: Apache-2.0
"""What has to change in files that MindFace has, as one patch: its requirements, its lists of parts, its workflow."""

from __future__ import annotations

import difflib
import json
import re
import runpy
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping
from unittest import mock

# Distributions that bring the same module under two names.
_SAME = {"mindspore_gpu": "mindspore", "opencv_python_headless": "opencv_python"}
_OWN_EXTRAS = ("lint", "mutants")  # of this repository's own checks, which stay behind
_ENGLISH = """\
### Reaction intensity
- [What it is, and the first two commands](mindface/eri/README.md)
- [Recipes](mindface/eri/configs/README.md)
- [Pages](docs/eri/README.md)
- [Serve a trained model](tutorials/eri/deployment.md)
- [Add a model, a loss or a detector](tutorials/eri/extending.md)

"""
_CHINESE = """\
### 情绪反应强度估计

- [简介与快速入门](mindface/eri/README.md)
- [任务配置](mindface/eri/configs/README.md)
- [文档](docs/eri/README.md)
- [模型部署](tutorials/eri/deployment.md)

"""


def patch_of(checkout: Path, root: Path) -> str:
    """The patch, in git's form, for a checkout of MindFace; `root` is this repository.

    Raises:
        FileNotFoundError: a file that has to change is missing.
        ValueError: the place for a change is not there.
    """
    declared = _declared(root)
    edits: Dict[str, Callable[[str], str]] = {
        ".github/workflows/main.yml": _workflow, "README.md": _readme, "README_CN.md": _readme_cn,
        "requirements.txt": lambda text: "\n".join(_merged(text.split(), declared)) + "\n",
        "setup.py": lambda text: _setup(text, declared, root),
        "test/requirements.txt": lambda text: "\n".join(_merged(text.split(), declared, "test")) + "\n"}
    return "".join(_difference(checkout, name, edit) for name, edit in edits.items())


def _difference(checkout: Path, name: str, edit: Callable[[str], str]) -> str:
    old = (checkout / name).read_text(encoding="utf-8")
    try:
        new = edit(old)
    except LookupError as error:
        raise ValueError(f"{checkout / name}: no place found for a change ({error}); this tool knows another MindFace"
                         ) from None
    lines = []
    for line in difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}"):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)


def _declared(root: Path) -> Mapping[str, Any]:
    """What this repository's setup.py hands to setuptools."""
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(root / "setup.py"))
    return setup.call_args.kwargs


def _name(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement).group(0).lower().replace("-", "_").replace(".", "_")
    return _SAME.get(name, name)


def _merged(theirs: List[str], declared: Mapping[str, Any], extra: str = "") -> List[str]:
    """MindFace's requirements with our ranges where both have one, their other pins as least versions, then ours.

    What serves MindFace's own windows (opencv_python) keeps its name.
    """
    ours = {_name(line): line for line in [*declared["install_requires"], *declared["extras_require"].get(extra, [])]}
    kept = {}
    for line in theirs:
        name = _name(line)
        line = ours.pop(name, None) or (line if name == "pylint" else line.replace("==", ">="))
        kept.setdefault(name, line.replace("opencv-python-headless", "opencv_python"))
    return [*kept.values(), *ours.values()]


def _each_folder(package: Path, declared: Mapping[str, Any]) -> List[str]:
    """The patterns of package data, those of any depth spelt out: the setuptools that MindFace is installed with may
    take `**` for one folder."""
    found = [(pattern, path.relative_to(package).parent.as_posix() + "/")
             for pattern in declared["package_data"]["mindface_eri"] for path in sorted(package.glob(pattern))]
    return list(dict.fromkeys(pattern.replace("**/", folder.replace("./", "", 1)) for pattern, folder in found))


def _setup(text: str, declared: Mapping[str, Any], root: Path) -> str:
    block = re.search(r"    install_requires=\[(.*?)\n    \]\n", text, re.S)
    if block is None:
        raise LookupError("install_requires")
    theirs = re.findall(r"[\"']([^\"']+)[\"']", block.group(1))
    settings = {"python_requires": declared["python_requires"],
                "package_data": {"mindface.eri": [*_each_folder(root / "mindface_eri", declared), "configs/*.yaml"]},
                "entry_points": {"console_scripts": ["mindface-eri=mindface.eri.cli:main"]},
                "install_requires": _merged(theirs, declared),
                "extras_require": {name: lines for name, lines in declared["extras_require"].items()
                                   if name not in _OWN_EXTRAS}}
    return text.replace(block.group(0), "".join(f"    {name}={_literal(value)},\n" for name, value in settings.items()))


def _literal(value: Any, indent: int = 4) -> str:
    """Python's text for strings, lists and dictionaries of them, one entry a line."""
    inner, outer = " " * (indent + 4), " " * indent
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(name)}: {_literal(entry, indent + 4)}," for name, entry in value.items()]
        return "\n".join(["{", *lines, f"{outer}}}"])
    if isinstance(value, (list, tuple)):
        return "\n".join(["[", *(f"{inner}{json.dumps(entry)}," for entry in value), f"{outer}]"])
    return json.dumps(value)


def _workflow(text: str) -> str:
    text = _after(text, "        pytest test/recognition/UT/*.py\n", '        pytest test/eri/UT -m "not slow"\n')
    text = _after(text, "        pytest test/recognition/ST/*.py\n", "        pytest test/eri/ST\n")
    return text.replace('["3.7", "3.8", "3.9"]', '["3.9"]')  # what MindSpore 2 runs on


def _readme(text: str) -> str:
    return _before(text, "### Detection\n- [Learn about detection configs]", _ENGLISH)


def _readme_cn(text: str) -> str:
    return _before(text, "\n### 识别任务\n", "\n" + _CHINESE[:-1])


def _before(text: str, mark: str, new: str) -> str:
    if mark not in text:
        raise LookupError(mark.strip().splitlines()[0])
    return text.replace(mark, new + mark, 1)


def _after(text: str, mark: str, new: str) -> str:
    text = text if text.endswith("\n") else text + "\n"
    if mark not in text:
        raise LookupError(mark.strip())
    return text.replace(mark, mark + new, 1)
