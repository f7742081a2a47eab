# SPDX-License-Identifier: Apache-2.0
"""What MindSpore needs of Ascend's software, as found here; the set-up itself is CANN's own `set_env.sh`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path
from typing import List, Optional, Tuple

from mindface_eri.device.hardware import Requirement, load_error, plugin_folder

_ROOTS = (Path("/usr/local/Ascend"), Path.home() / "Ascend")  # where CANN installs itself, for root and for users
_KITS = ("cann", "ascend-toolkit/latest")  # newer and older releases
_DRIVER = Path("/usr/local/Ascend/driver/version.info")
_DEVICES = Path("/dev")


def requirements() -> List[Requirement]:
    """What an Ascend card needs, from MindSpore's plugin to the card."""
    return [_plugin_requirement(), _driver_requirement(), _card_requirement(), _cann_requirement(),
            _version_requirement(), _compiler_requirement(), _loaded_requirement()]


def use_full_float32() -> None:
    """Products and convolutions of float32 are computed in it, neither in HF32, 11 of its 23 bits, nor in float16."""
    from mindspore.device_context.ascend import op_precision

    op_precision.precision_mode("must_keep_origin_dtype")
    op_precision.matmul_allow_hf32(False)
    op_precision.conv_allow_hf32(False)  # True by default


def cann_home() -> Tuple[Optional[Path], bool]:
    """(CANN's folder, whether this shell's environment names it); (None, False) where there is none."""
    for variable in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"):
        if os.environ.get(variable):
            return Path(os.environ[variable]), True
    homes = [root / kit for root in _ROOTS for kit in _KITS if (root / kit).is_dir()]
    return (homes[0], False) if homes else (None, False)


def cann_version(home: Path) -> str:
    """Such as "8.3.RC1", from the file that MindSpore reads too or from what the installer left; empty if neither."""
    for path in (home / "compiler" / "version.info", home / "version.info",
                 *sorted(home.glob("*-linux/ascend_toolkit_install.info"))):
        version = _read_version(path)
        if version:
            return version
    return ""


def supported_versions() -> List[str]:
    """Releases of CANN that the installed MindSpore's own check accepts; empty where it does not say."""
    if "mindspore" not in sys.modules:
        return []
    try:
        from mindspore.run_check._check_version import AscendEnvChecker

        return list(AscendEnvChecker(None).version)
    except (ImportError, AttributeError, TypeError):  # it is private, and may move
        return []


def _read_version(path: Path) -> str:
    try:
        found = re.search(r"(?mi)^\s*version\s*=\s*(\S+)", path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def _plugin_requirement() -> Requirement:
    folder = plugin_folder()
    if folder and list(folder.glob("libmindspore_ascend.so*")):
        return Requirement("MindSpore plugin", "there")
    return Requirement("MindSpore plugin", "not in this build of MindSpore",
                       "install MindSpore's wheel for Linux: pip install 'mindspore>=2.7.1,<2.11'")


def _driver_requirement() -> Requirement:
    version = _read_version(_DRIVER)
    if version:
        return Requirement("driver", version)
    return Requirement("driver", f"not found ({_DRIVER})",
                       "install the driver and firmware of the Ascend HDK; in a container, mount "
                       "/usr/local/Ascend/driver")


def _card_requirement() -> Requirement:
    cards = sorted(path.name for path in _DEVICES.glob("davinci[0-9]*"))
    tool = shutil.which("npu-smi") or "not in PATH"
    if cards:
        return Requirement("cards", f"{len(cards)} (npu-smi: {tool})")
    return Requirement("cards", f"none (/dev/davinci*; npu-smi: {tool})",
                       "see whether `npu-smi info` lists a card; in a container, pass /dev/davinci* and "
                       "/dev/davinci_manager")


def _cann_requirement() -> Requirement:
    """Whether CANN is here, and this shell knows of it."""
    home, named = cann_home()
    if home is None:
        return Requirement("CANN", "not found (ASCEND_HOME_PATH, /usr/local/Ascend)",
                           "install CANN's toolkit and kernels, then source its set_env.sh")
    if not named:
        return Requirement("CANN", f"in {home}, but this shell does not know it",
                           f"source {home.parent if home.name == 'latest' else home}/set_env.sh")
    if not home.is_dir():
        return Requirement("CANN", f"{home} is named by the environment but is not there",
                           "source CANN's set_env.sh anew")
    return Requirement("CANN", str(home))


def _version_requirement() -> Requirement:
    home, _ = cann_home()
    version, supported = cann_version(home) if home else "", supported_versions()
    if not version or not supported:
        return Requirement("CANN version", version or "unknown")
    release = ".".join(version.split(".")[:2])
    known = f"this MindSpore knows {', '.join(supported)}"
    if release in supported:
        return Requirement("CANN version", f"{version} ({known})")
    return Requirement("CANN version", f"{version}, but {known}",
                       "install the CANN release that the table in docs/devices.md sets beside your MindSpore")


def _compiler_requirement() -> Requirement:
    absent = [name for name in ("te", "hccl") if importlib.util.find_spec(name) is None]
    if not absent:
        return Requirement("Python packages", "te, hccl")
    home, _ = cann_home()
    wheels = " ".join(f"{home or '$ASCEND_HOME_PATH'}/lib64/{name}-*.whl" for name in absent)
    return Requirement("Python packages", f"{', '.join(absent)} not found by this Python",
                       f"source CANN's set_env.sh, or pip install {wheels}")


def _loaded_requirement() -> Requirement:
    name = "plugin loads"
    if "mindspore" not in sys.modules:
        return Requirement(name, "MindSpore is not imported yet")
    import mindspore.device_context as devices

    if devices.ascend.is_available():
        return Requirement(name, "yes")
    return Requirement(name, load_error("libmindspore_ascend") or "MindSpore does not say why it failed",
                       "source CANN's set_env.sh in this shell, then look again")
