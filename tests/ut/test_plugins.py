# SPDX-License-Identifier: Apache-2.0
"""Names that others add: registered in this process, or in modules that the environment names."""

import functools
import sys

import pytest

from mindface_eri.errors import ConfigError
from mindface_eri.plugins import PLUGINS_VARIABLE, Registry


@pytest.fixture
def shapes(monkeypatch):
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    registry = Registry("shape")
    registry.register("circle")(dict)
    return registry


@pytest.fixture
def plugin(monkeypatch, tmp_path, shapes):
    """A module on the path that registers a square with `shapes`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("mindface_eri.plugins.SHAPES", shapes, raising=False)
    (tmp_path / "toy_plugin.py").write_text(
        "from mindface_eri.plugins import SHAPES\n\n@SHAPES.register('square')\nclass Square:\n    sides = 4\n")
    yield "toy_plugin"
    sys.modules.pop("toy_plugin", None)


def test_a_name_gives_its_maker(shapes):
    @shapes.register("star")
    def star():
        return 5

    assert shapes.find("star") is star and shapes.names() == ("circle", "star")
    shapes.register("star")(star)  # a module that is imported again


def test_a_taken_name_is_refused(shapes):
    with pytest.raises(ConfigError, match="shape 'circle' is builtins.dict already; give builtins.list another name"):
        shapes.register("circle")(list)


@pytest.mark.parametrize("name, message", [("circel", "shape 'circel' is unknown; did you mean 'circle'"),
                                           ("zzz", f"known: circle .modules named in {PLUGINS_VARIABLE} ")])
def test_an_unknown_name_is_refused(shapes, name, message):
    with pytest.raises(ConfigError, match=message):
        shapes.find(name)


def test_a_module_that_the_environment_names_is_imported_when_a_name_is_unknown(shapes, plugin, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, f" {plugin}, json,")
    shapes.find("circle")
    assert plugin not in sys.modules
    assert shapes.find("square").sides == 4
    assert shapes.names() == ("circle", "square")


@pytest.mark.parametrize("text, message", [(None, "ModuleNotFoundError"), ("1 +", "SyntaxError")])
def test_a_module_that_cannot_be_imported_is_named(shapes, monkeypatch, tmp_path, text, message):
    monkeypatch.syspath_prepend(str(tmp_path))
    if text:
        (tmp_path / "broken_plugin.py").write_text(text)
    monkeypatch.setenv(PLUGINS_VARIABLE, "broken_plugin")
    with pytest.raises(ConfigError, match=f"names 'broken_plugin', which cannot be imported .{message}.*PYTHONPATH"):
        shapes.find("square")
    with pytest.raises(ConfigError, match="^MINDFACE_ERI_PLUGINS names 'broken_plugin'"):
        shapes.names()


def test_a_module_imported_again_replaces_its_makers(shapes):
    def make(sides):
        @shapes.register("star")
        def star():
            return sides
        return star

    assert make(5) is not make(6) and shapes.find("star")() == 6 and shapes.names() == ("circle", "star")


def test_makers_without_a_name_of_their_own_are_named_by_their_kind(shapes):
    shapes.register("arc")(functools.partial(dict, a=1))
    with pytest.raises(ConfigError, match="^shape 'arc' is functools.partial already; give builtins.list another name"):
        shapes.register("arc")(list)
    assert shapes.find("arc")() == {"a": 1}


def test_plugins_names_are_suggested_too(shapes, plugin, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, plugin)
    with pytest.raises(ConfigError, match="^shape 'squar' is unknown; did you mean 'square'. .modules named in "
                                          "MINDFACE_ERI_PLUGINS can register more.$"):
        shapes.find("squar")
    with pytest.raises(ConfigError, match="known: circle, square .modules"):
        shapes.find("zzz")
