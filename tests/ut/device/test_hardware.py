# SPDX-License-Identifier: Apache-2.0
"""Requirements that a device needs: which stands in the way, where plugins lie, and why one did not load."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

from mindface_eri.device.hardware import Requirement, load_error, obstacle, plugin_folder


def test_the_first_piece_with_a_cure_is_the_obstacle():
    there, gone = Requirement("a", "there"), Requirement("b", "gone", "get it")
    later = Requirement("c", "gone too", "get that")
    assert obstacle([there, gone, later]) is gone and obstacle([later, gone]) is later
    assert obstacle([there]) is None and obstacle([]) is None


def test_plugins_lie_within_mindspore_which_is_not_imported_for_it(monkeypatch):
    specs = {"mindspore": SimpleNamespace(origin="/env/mindspore/__init__.py")}
    monkeypatch.setattr(importlib.util, "find_spec", specs.get)
    assert plugin_folder() == Path("/env/mindspore/lib/plugin")
    specs["mindspore"] = SimpleNamespace(origin=None)  # an empty folder of that name
    assert plugin_folder() is None
    del specs["mindspore"]
    assert plugin_folder() is None


def test_the_reason_is_the_line_of_that_library(monkeypatch):
    text = "plugins:\n  libmindspore_ascend.so: no libascendcl.so  \n libmindspore_gpu.so.11.6: no libcudnn.so.8\n"
    compiled = SimpleNamespace(MSContext=SimpleNamespace(
        get_instance=lambda: SimpleNamespace(load_plugin_error=lambda: text)))
    monkeypatch.setitem(sys.modules, "mindspore", SimpleNamespace(_c_expression=compiled))
    monkeypatch.setitem(sys.modules, "mindspore._c_expression", compiled)
    assert load_error("libmindspore_gpu") == "libmindspore_gpu.so.11.6: no libcudnn.so.8"
    assert load_error("libmindspore_ascend") == "libmindspore_ascend.so: no libascendcl.so"
    assert load_error("libmindspore_other") == ""
    monkeypatch.delitem(sys.modules, "mindspore")
    assert load_error("libmindspore_gpu") == ""  # nothing has been tried yet
