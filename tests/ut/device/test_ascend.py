# SPDX-License-Identifier: Apache-2.0
"""The state of Ascend's software, read from folders made up here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.device import ascend
from mindface_eri.device.hardware import obstacle


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
    monkeypatch.setattr(ascend.shutil, "which", lambda name: None)
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
    return next(requirement for requirement in ascend.requirements() if requirement.name == name)


def test_a_whole_machine_has_no_obstacle(machine):
    assert obstacle(ascend.requirements()) is None
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
    missing = obstacle(ascend.requirements())
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


def test_the_pieces_go_from_mindspore_to_the_card(machine, monkeypatch):
    assert [(requirement.name, requirement.detail, requirement.cure) for requirement in ascend.requirements()] == [
        ("MindSpore plugin", "there", ""), ("driver", "25.3.RC1", ""), ("cards", "2 (npu-smi: not in PATH)", ""),
        ("CANN", f"{machine}/ascend-toolkit/latest", ""),
        ("CANN version", "8.3.RC1 (this MindSpore knows 8.2, 8.3)", ""), ("Python packages", "te, hccl", ""),
        ("plugin loads", "yes", "")]
    monkeypatch.setattr(ascend.shutil, "which", lambda name: f"/bin/{name}")
    assert found("cards").detail == "2 (npu-smi: /bin/npu-smi)"


def test_a_machine_with_nothing_is_told_what_to_install_first_to_last(machine, monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME")
    monkeypatch.setattr(ascend, "_ROOTS", ())
    monkeypatch.setattr(ascend, "plugin_folder", lambda: None)
    for name in ("driver/version.info", "dev/davinci0", "dev/davinci1"):
        (machine / name).unlink()
    (machine / "dev" / "davinci_manager").write_text("")  # no card
    monkeypatch.setattr(ascend.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys.modules["mindspore.device_context"].ascend, "is_available", lambda: False)
    monkeypatch.setattr(ascend, "load_error", lambda library: f"no {library}")
    told = {requirement.name: (requirement.detail, requirement.cure) for requirement in ascend.requirements()}
    assert told == {
        "MindSpore plugin": ("not in this build of MindSpore",
                             "install MindSpore's wheel for Linux: pip install 'mindspore>=2.7.1,<2.11'"),
        "driver": (f"not found ({machine}/driver/version.info)", "install the driver and firmware of the Ascend HDK; "
                   "in a container, mount /usr/local/Ascend/driver"),
        "cards": ("none (/dev/davinci*; npu-smi: not in PATH)", "see whether `npu-smi info` lists a card; in a "
                  "container, pass /dev/davinci* and /dev/davinci_manager"),
        "CANN": ("not found (ASCEND_HOME_PATH, /usr/local/Ascend)", "install CANN's toolkit and kernels, then source "
                 "its set_env.sh"),
        "CANN version": ("unknown", ""),
        "Python packages": ("te, hccl not found by this Python", "source CANN's set_env.sh, or pip install "
                            "$ASCEND_HOME_PATH/lib64/te-*.whl $ASCEND_HOME_PATH/lib64/hccl-*.whl"),
        "plugin loads": ("no libmindspore_ascend", "source CANN's set_env.sh in this shell, then look again")}
    monkeypatch.setattr(ascend, "load_error", lambda library: "")
    assert found("plugin loads").detail == "MindSpore does not say why it failed"
    monkeypatch.delitem(sys.modules, "mindspore")
    assert (found("plugin loads").detail, found("plugin loads").cure) == ("MindSpore is not imported yet", "")


def test_the_absent_package_is_named_with_its_wheel(machine):
    (machine / "packages/hccl/__init__.py").unlink()
    (machine / "packages/hccl").rmdir()
    packages = found("Python packages")
    assert packages.detail == "hccl not found by this Python"
    assert packages.cure == (f"source CANN's set_env.sh, or pip install {machine}/ascend-toolkit/latest/lib64/"
                             "hccl-*.whl")


def test_cann_is_where_the_shell_says_before_where_it_installs_itself(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "ascend-toolkit"))
    assert ascend.cann_home() == (tmp_path / "ascend-toolkit", True)
    monkeypatch.delenv("ASCEND_HOME_PATH")
    assert ascend.cann_home() == (tmp_path / "ascend-toolkit" / "latest", True)
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", "")
    assert ascend.cann_home() == (tmp_path / "ascend-toolkit" / "latest", False)
    own = tmp_path / "own"
    monkeypatch.setattr(ascend, "_ROOTS", (tmp_path, own))
    (own / "cann").mkdir(parents=True)
    assert ascend.cann_home()[0] == tmp_path / "ascend-toolkit" / "latest"  # root's before the user's
    monkeypatch.setattr(ascend, "_ROOTS", (tmp_path / "none", own))
    assert ascend.cann_home() == (own / "cann", False)
    monkeypatch.setattr(ascend, "_ROOTS", ())
    assert ascend.cann_home() == (None, False)


def test_cann_that_the_shell_does_not_know_or_that_is_gone_is_told(machine, monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME")
    assert found("CANN").detail == f"in {machine}/ascend-toolkit/latest, but this shell does not know it"
    monkeypatch.setenv("ASCEND_HOME_PATH", str(machine / "gone"))
    assert found("CANN") == ascend.Requirement("CANN", f"{machine}/gone is named by the environment but is not there",
                                               "source CANN's set_env.sh anew")


def test_the_version_comes_from_the_file_that_mindspore_reads(tmp_path):
    note = tmp_path / "x86_64-linux" / "ascend_toolkit_install.info"
    for path, text in ((note, "version=8.5.0"), (tmp_path / "version.info", "  VERSION = 8.2.RC1 x\n"),
                       (tmp_path / "compiler" / "version.info", "timestamp=1\nmy_version=1\nVersion=8.3.RC2\n")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert ascend.cann_version(tmp_path) == "8.3.RC2"
    (tmp_path / "compiler" / "version.info").write_text("nothing")
    assert ascend.cann_version(tmp_path) == "8.2.RC1"
    (tmp_path / "version.info").unlink()
    assert ascend.cann_version(tmp_path) == "8.5.0"


def test_a_version_is_only_held_against_releases_that_are_known(machine, monkeypatch):
    monkeypatch.setattr(ascend, "supported_versions", list)
    assert found("CANN version") == ascend.Requirement("CANN version", "8.3.RC1")
    monkeypatch.setattr(ascend, "supported_versions", lambda: ["8.3.1"])
    assert "install the CANN release that the table in docs/devices.md" in found("CANN version").cure


def test_software_and_cards_are_looked_for_where_they_install_themselves():
    assert (Path("/usr/local/Ascend"), Path.home() / "Ascend") == ascend._ROOTS
    assert (Path("/usr/local/Ascend/driver/version.info"), Path("/dev")) == (ascend._DRIVER, ascend._DEVICES)


def test_what_mindspore_knows_is_asked_only_once_it_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore.run_check._check_version", SimpleNamespace())
    assert ascend.supported_versions() == []  # a private name has moved
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    monkeypatch.setitem(sys.modules, "mindspore.run_check._check_version", SimpleNamespace(
        AscendEnvChecker=lambda _: SimpleNamespace(version=["8.9"])))
    assert ascend.supported_versions() == []
