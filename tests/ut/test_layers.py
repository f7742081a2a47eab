# SPDX-License-Identifier: Apache-2.0
"""The layer rule: imports point only downwards, and heavy libraries stay where they are handled. No exceptions."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mindface_eri"

# From the ground to the roof; a room imports itself and what lies on floors below. Rooms of one floor know nothing of
# each other.
FLOORS = (
    {"children", "constants", "errors", "threads", "signals", "progress", "version"}, {"files", "plugins", "fields"},
    {"recipes"}, {"config"},
    {"device", "preprocess", "models", "loss", "metrics"}, {"datasets"}, {"datasets.build"}, {"runner", "synthetic"},
    {"evaluation"}, {"deploy"}, {"prediction"}, {"report"}, {"benchmark", "reproduce", "study", "serve"},
    {"doctor", "demo", "selftest"},
    {"commands"}, {"cli"})
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MEDIA = {**dict.fromkeys(("dlib", "cv2", "av"), {"preprocess", "synthetic", "report", "benchmark"}),
         "librosa": {"benchmark"}}  # what is measured against; no requirement
WITHOUT_MINDSPORE = {"preprocess", "recipes", "config", "fields", "files", "errors", "threads", "plugins", "progress",
                     "signals", "version", "constants", "report", "serve", "cli"}


def modules():
    """Dotted name below the package and path of each file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), path


MODULES = {name.removesuffix(".__init__") for name, _ in modules()}


def room_of(name):
    """The room of a dotted name: the longest one that it begins with; None for the package itself."""
    parts = name.split(".")
    return next((found for found in (".".join(parts[:n]) for n in (2, 1)) if found in FLOOR), None)


def imports(source):
    """Dotted names of all modules that the source imports, at the top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(module, source):
    """What in `source`, the module of that dotted name, breaks the rule."""
    room, broken = room_of(module), []
    for name in sorted(imports(source)):
        top, _, rest = name.partition(".")
        if room not in MEDIA.get(top, {room}):
            broken.append(f"{module} imports {top}")
        if top == "mindspore" and room in WITHOUT_MINDSPORE:
            broken.append(f"{module} imports {top}")
        other = room_of(rest) if top == "mindface_eri" and rest else room
        if other not in (None, room) and FLOOR[other] >= FLOOR[room]:
            broken.append(f"{module} imports {other}")
    return broken


def test_imports_point_downwards():
    homeless = [name for name in MODULES if name != "__init__" and room_of(name) is None]
    assert homeless == [], "name their floor in this test and in CONTRIBUTING.md"
    broken = [fault for name, path in modules() if name != "__init__"
              for fault in violations(name, path.read_text(encoding="utf-8"))]
    assert broken == []


def test_each_room_has_tests_of_its_own():
    rooms = {path.parent.relative_to(PACKAGE) for _, path in modules()}
    assert [str(room) for room in rooms if not list((Path(__file__).parent / room).glob("test_*.py"))] == []


@pytest.mark.parametrize("module, source", [
    ("models.tcn", "from mindface_eri.datasets.records import open_records"),
    ("models.tcn", "def f():\n    import mindface_eri.preprocess.clip"),
    ("config", "from mindface_eri import models"),
    ("datasets.records", "from mindface_eri.datasets.build.plan import Plan"),
    ("runner.trainer", "import cv2"),
    ("datasets.labels", "from av import open"), ("preprocess.mfcc", "from librosa.feature import mfcc"),
    ("preprocess.clip", "import mindspore as ms"),
    ("runner.step", "from mindface_eri.deploy import exporter")])
def test_a_forbidden_import_is_found(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize("module, source", [
    ("deploy.exporter", "from mindface_eri.preprocess.clip import extract_clip"), ("preprocess.video", "import av"),
    ("datasets.build.plan", "from mindface_eri.datasets.labels import Manifest"),
    ("models.tcn", "from mindface_eri.models import layers"), ("runner.step", "import mindspore")])
def test_an_allowed_import_is_not(module, source):
    assert violations(module, source) == []
