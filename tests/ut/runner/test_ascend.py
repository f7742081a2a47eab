# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""The state of Ascend's software, read from folders made up here."""

import sys
from types import SimpleNamespace

import pytest

from mindface_eri.runner import ascend
from mindface_eri.runner.hardware import obstacle


@pytest.fixture()
def machine(tmp_path, monkeypatch):
    """A machine with everything: driver, two cards, CANN 8.3 known to the shell, its Python packages."""
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ascend, "_ROOTS", (tmp_path,))
    monkeypatch.setattr(ascend, "_DRIVER", tmp_path / "driver" / "version.info")
    monkeypatch.setattr(ascend, "_DEVICES", tmp_path / "dev")
    monkeypatch.setattr(ascend, "plugin_folder", lambda: tmp_path / "plugin")
    monkeypatch.setattr(ascend, "supported_versions", lambda: ["8.2", "8.3"])
    for name, text in {"driver/version.info": "Version=25.3.RC1\n", "dev/davinci0": "", "dev/davinci1": "",
                       "plugin/libmindspore_ascend.so.2": "", "packages/te/__init__.py": "",
                       "packages/hccl/__init__.py": "",
                       "ascend-toolkit/latest/compiler/version.info": "# CANN\nVersion=8.3.RC1\nother=1\n"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path / "ascend-toolkit" / "latest"))
    monkeypatch.setitem(sys.modules, "mindspore", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mindspore.device_context", SimpleNamespace(
        ascend=SimpleNamespace(is_available=lambda: True)))
    sys.modules["mindspore"].device_context = sys.modules["mindspore.device_context"]
    return tmp_path


def found(name):
    return next(piece for piece in ascend.pieces() if piece.name == name)


def test_a_whole_machine_has_no_obstacle(machine):
    assert obstacle(ascend.pieces()) is None
    assert found("CANN version").detail == "8.3.RC1 (this MindSpore knows 8.2, 8.3)"
    assert found("driver").detail == "25.3.RC1"
    assert found("cards").detail.startswith("2 ")


@pytest.mark.parametrize("gone, name", [
    ("plugin/libmindspore_ascend.so.2", "MindSpore plugin"), ("driver/version.info", "driver"),
    ("packages/hccl/__init__.py", "Python packages")])
def test_what_is_missing_is_named_with_its_cure(machine, gone, name):
    (machine / gone).unlink()
    if gone.startswith("packages"):
        (machine / gone).parent.rmdir()
    missing = obstacle(ascend.pieces())
    assert missing.name == name
    assert missing.cure


def test_a_shell_that_does_not_know_cann_is_told_what_to_source(machine, monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME")
    assert found("CANN").cure == f"source {machine}/ascend-toolkit/set_env.sh"
    (machine / "cann").mkdir()  # where newer releases install themselves
    assert found("CANN").cure == f"source {machine}/cann/set_env.sh"


def test_without_cann_the_cure_is_to_install_it(machine, monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME")
    monkeypatch.setattr(ascend, "_ROOTS", ())
    assert "install CANN" in found("CANN").cure


def test_an_environment_that_names_a_folder_which_is_gone(machine, monkeypatch):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(machine / "gone"))
    assert str(machine / "gone") in found("CANN").detail
    assert found("CANN").cure


def test_a_release_that_mindspore_does_not_know_is_said(machine):
    (machine / "ascend-toolkit/latest/compiler/version.info").write_text("Version=7.0.1\n")
    assert "7.0.1, but this MindSpore knows 8.2, 8.3" in found("CANN version").detail
    assert found("CANN version").cure


def test_the_installers_note_gives_the_version_too(tmp_path):
    (tmp_path / "aarch64-linux").mkdir()
    (tmp_path / "aarch64-linux" / "ascend_toolkit_install.info").write_text("package_name=t\nversion=8.5.0\n")
    assert ascend.cann_version(tmp_path) == "8.5.0"
    assert ascend.cann_version(tmp_path / "gone") == ""


def test_the_installed_mindspore_says_which_releases_it_knows():
    import mindspore  # noqa: F401 - what it knows is asked of the imported package only

    assert "8.3" in ascend.supported_versions()
