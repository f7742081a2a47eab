# SPDX-License-Identifier: Apache-2.0
"""The layer rule: imports point only downwards, and media libraries stay where media are handled."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mindface_eri"

# A layer may import those below it and itself; the four of rank 2 never one another.
RANK = {"constants": 0, "errors": 0, "threads": 0, "plugins": 0, "progress": 0, "files": 0, "fields": 0, "config": 1,
        "preprocess": 2, "models": 2, "loss": 2, "metrics": 2, "datasets": 3, "runner": 4, "deploy": 5, "report": 5,
        "doctor": 6, "demo": 6, "benchmark": 6, "commands": 7, "cli": 8, "__init__": 8}
MEDIA = {"dlib", "cv2", "librosa", "av"}
MEDIA_LAYERS = {"preprocess", "report", "benchmark"}


def imports(source: str) -> set:
    """Dotted names of all modules that the source imports, at the top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(layer: str, source: str) -> list:
    """What in `source`, a file of `layer`, breaks the rule."""
    broken = []
    for name in imports(source):
        top, *rest = name.split(".")
        if top in MEDIA and layer not in MEDIA_LAYERS:
            broken.append(f"{layer} imports {top}")
        other = rest[0] if top == "mindface_eri" and rest else layer
        if other in RANK and other != layer and (RANK[other] > RANK[layer] or RANK[other] == RANK[layer] == 2):
            broken.append(f"{layer} imports mindface_eri.{other}")
    return broken


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    layer = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert layer in RANK, f"{layer}: name its layer in this test and in CONTRIBUTING.md"
    assert violations(layer, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("layer, source", [
    ("models", "from mindface_eri.datasets.records import open_records"),
    ("models", "def f():\n    import mindface_eri.preprocess.clip"),
    ("config", "from mindface_eri import models"),
    ("runner", "import cv2"),
    ("datasets", "from librosa.feature import mfcc"),
    ("runner", "from mindface_eri.deploy import exporter")])
def test_a_forbidden_import_is_found(layer, source):
    assert violations(layer, source)


@pytest.mark.parametrize("layer, source", [
    ("deploy", "from mindface_eri.preprocess.clip import extract_clip"), ("preprocess", "import av"),
    ("models", "from mindface_eri.models import tcn"), ("runner", "import mindspore")])
def test_an_allowed_import_is_not(layer, source):
    assert violations(layer, source) == []
