# SPDX-License-Identifier: Apache-2.0
"""NVIDIA cards with pip alone: the CUDA 11 wheels of the extra `gpu` in place of an installed toolkit.

MindSpore settles whether it can use a card while it is imported: it asks `$CUDA_HOME/bin/nvcc --version` for a release,
takes its plugin for that release and loads it, which needs the CUDA libraries and the driver's. `prepare` opens the
libraries where pip has put them and answers the question; a toolkit of the user's that MindSpore can use comes first.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from mindface_eri.device.hardware import Requirement, load_error, obstacle, plugin_folder

# Folder within the wheels -> libraries, in an order in which each finds those that it needs opened already.
LIBRARIES = {
    "cuda_runtime": ("libcudart.so.11.0",), "cuda_nvrtc": ("libnvrtc.so.11.2",),
    "cublas": ("libcublasLt.so.11", "libcublas.so.11"), "curand": ("libcurand.so.10",), "cufft": ("libcufft.so.10",),
    "cusparse": ("libcusparse.so.11",), "cusolver": ("libcusolver.so.11",), "cudnn": ("libcudnn.so.8",)}
_RELEASE = "11.6"  # the plugin that these libraries serve
# Compute capabilities: MindSpore's kernels begin, they end (later cards compile its PTX at first use), and CUDA 11's
# own libraries, cuBLAS and cuDNN, end.
_OLDEST_CARD, _COMPILED_CARD, _NEWEST_CARD = (6, 0), (8, 0), (9, 0)
_NVCC = f'#!/bin/sh\necho "Cuda compilation tools, release {_RELEASE}, V{_RELEASE}.0"\n'
_INSTALL = "pip install 'mindface_eri[gpu]'"
_PREFIX = "mindface_eri_cuda_"
_toolkit: Optional[tempfile.TemporaryDirectory] = None  # ours, while this process lives


def prepare() -> None:
    """Makes MindSpore, which must not be imported yet, find what a card needs. Without a driver it does nothing.

    Each process makes a toolkit of its own, a temporary folder with nothing but an answer in it, and removes it.
    """
    global _toolkit
    if "mindspore" in sys.modules or not has_driver():
        return
    own = own_toolkit()
    missing = missing_libraries(own and own[0])
    if own:
        os.environ["CUDA_HOME"] = str(own[0])
    elif not missing:
        _toolkit = _answering_folder()
        if _toolkit:
            os.environ["CUDA_HOME"] = _toolkit.name
    if _toolkit_is_ours():  # MindSpore looks with ldd too, which does not see what this process has opened
        logging.getLogger(f"ME.mindspore.log.{os.getpid()}").addFilter(_is_not_about_ldd)


def use_full_float32() -> None:
    """Products and convolutions of float32 are computed in it, not in TF32, which keeps 10 of its 23 bits."""
    from mindspore.device_context.gpu import op_precision

    op_precision.matmul_allow_tf32(False)
    op_precision.conv_allow_tf32(False)  # True by default


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed, be it of use or not."""
    return _driver() is not None


def own_toolkit() -> Optional[Tuple[Path, str]]:
    """(folder, release) of the user's toolkit, from CUDA_HOME or the nvcc in PATH, if MindSpore has a plugin for it."""
    found = os.environ.get("CUDA_HOME") or shutil.which("nvcc")
    if not found:
        return None
    home = Path(found) if os.environ.get("CUDA_HOME") else Path(found).resolve().parents[1]
    release = _ask_release(home)
    return (home, release) if release and any(_serves(plugin, release) for plugin in _plugins()) else None


def missing_libraries(home: Optional[Path] = None) -> Dict[str, str]:
    """Opens every library for the whole process; what cannot be opened, by wheel, with the reason.

    Args:
        home: a toolkit whose libraries come before those of the wheels.
    """
    missing = {}
    for folder, names in LIBRARIES.items():
        for name in names:
            reason = _open(_places(folder, name, home))
            if reason:
                missing[f"nvidia-{folder.replace('_', '-')}-cu11"] = reason
    return missing


def requirements() -> List[Requirement]:
    """What a card needs, from MindSpore's plugin to the card, as found here."""
    found = [_plugin_requirement(), *_driver_requirements(), _library_requirement()]
    return found if obstacle(found) else [*found, _loaded_requirement()]


def _plugins() -> List[str]:
    """Releases for which MindSpore carries a plugin."""
    folder = plugin_folder()
    names = [path.name for path in folder.glob("libmindspore_gpu.so.*")] if folder else []
    return sorted(name[len("libmindspore_gpu.so."):] for name in names)


def _serves(plugin: str, release: str) -> bool:
    ours, theirs = (tuple(int(part) for part in text.split(".")) for text in (plugin, release))
    return ours[0] == theirs[0] and ours <= theirs


def _ask_release(home: Path) -> str:
    try:
        answer = subprocess.run([str(home / "bin" / "nvcc"), "--version"], capture_output=True, text=True, timeout=20,
                                check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"release (\d+\.\d+)", answer)
    return found[1] if found else ""


def _places(folder: str, name: str, home: Optional[Path]) -> Iterator[str]:
    if home:
        yield str(home / "lib64" / name)
    for root in _wheel_roots():
        yield str(root / folder / "lib" / name)
    yield name  # wherever the loader looks


def _wheel_roots() -> List[Path]:
    spec = importlib.util.find_spec("nvidia")  # a namespace: it can lie in the user's and in the environment's packages
    return [Path(root) for root in spec.submodule_search_locations or ()] if spec else []


def _open(places: Iterator[str]) -> str:
    """Opens a library for all that are opened later, from the first place that has it; why not, or nothing."""
    reason = ""
    for place in places:
        if os.sep in place and not Path(place).exists():
            continue
        try:
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            reason = reason or str(error)  # that of the first place which has the library says most
        else:
            return ""
    return reason


def _answering_folder() -> Optional[tempfile.TemporaryDirectory]:
    """A folder that answers as a toolkit does; the temporary folder may forbid programs, the cache seldom does too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in (None, cache):
        try:
            folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent)
            nvcc = Path(folder.name) / "bin" / "nvcc"
            nvcc.parent.mkdir()
            nvcc.write_text(_NVCC, encoding="utf-8")
            nvcc.chmod(0o700)
        except OSError:
            continue
        if os.access(nvcc, os.X_OK):
            return folder
    return None


def _driver() -> Optional[ctypes.CDLL]:
    try:
        return ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return None


def _plugin_requirement() -> Requirement:
    plugins = _plugins()
    if _RELEASE in plugins:
        return Requirement("MindSpore plugin", "for CUDA " + " and ".join(plugins))
    return Requirement("MindSpore plugin", f"none for CUDA {_RELEASE} in this build of MindSpore",
                       "install MindSpore's wheel for Linux on x86-64: pip install 'mindspore>=2.7.1,<2.11'")


def _driver_requirements() -> List[Requirement]:
    """What NVIDIA's driver says of itself and of each card."""
    driver = _driver()
    if driver is None:
        return [Requirement("NVIDIA driver", "not found (libcuda.so.1)",
                            "install the NVIDIA driver; `nvidia-smi` must work")]
    version, count = ctypes.c_int(), ctypes.c_int()
    try:
        driver.cuDriverGetVersion(ctypes.byref(version))
        status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except AttributeError:
        return [Requirement("NVIDIA driver", "libcuda.so.1 is there but does not answer as a driver does",
                            "install the NVIDIA driver; `nvidia-smi` must work")]
    shown = f"for CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    if version.value < 11000:
        return [Requirement("NVIDIA driver", f"{shown}, too old: MindSpore needs one for CUDA 11.0 or later",
                            "install NVIDIA's driver 450.80.02 or later")]
    if status or not count.value:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        return [Requirement("NVIDIA driver", shown),
                Requirement("card", f"the driver offers none (its error {status})" +
                            (f" with CUDA_VISIBLE_DEVICES={hidden!r}" if hidden is not None else ""),
                      "see whether `nvidia-smi` lists a card, and whether CUDA_VISIBLE_DEVICES hides it")]
    return [Requirement("NVIDIA driver", shown), *(_card_requirement(driver, index) for index in range(count.value))]


def _card_requirement(driver: ctypes.CDLL, index: int) -> Requirement:
    """Whether MindSpore's kernels and libraries cover the card's compute capability."""
    name, major, minor = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetName(name, len(name), index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, index)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, index)
    capability = (major.value, minor.value)
    shown = f"{name.value.decode(errors='replace')}, compute capability {capability[0]}.{capability[1]}"
    if capability < _OLDEST_CARD:
        return Requirement(f"card {index}", shown + ", too old: MindSpore's kernels begin with 6.0 (Pascal)",
                           f"use a card of compute capability 6.0 to 9.0; CUDA_VISIBLE_DEVICES can hide card {index}")
    if capability[0] > _NEWEST_CARD[0]:
        return Requirement(f"card {index}", shown + ", too new: cuDNN and cuBLAS for CUDA 11 end with 9.0 (Hopper)",
                           f"use a card of compute capability 6.0 to 9.0; CUDA_VISIBLE_DEVICES can hide card {index}")
    if capability[0] > _COMPILED_CARD[0]:
        shown += ": its first run is slow, as it compiles MindSpore's kernels"
    return Requirement(f"card {index}", shown)


def _library_requirement() -> Requirement:
    own = own_toolkit()
    missing = {} if _loaded() else missing_libraries(own and own[0])
    if missing:
        reason = next(iter(missing.values()))
        return Requirement("CUDA libraries", f"missing: {', '.join(missing)} ({reason})", _INSTALL)
    home = os.environ.get("CUDA_HOME")
    told = f", CUDA_HOME={home}" if home and not _toolkit_is_ours() else ""
    return Requirement("CUDA libraries", f"all open{told}")


def _toolkit_is_ours() -> bool:
    return Path(os.environ.get("CUDA_HOME", "")).name.startswith(_PREFIX)


def _is_not_about_ldd(record: logging.LogRecord) -> bool:
    return record.filename != "_check_version.py"


def _loaded() -> bool:
    if "mindspore" not in sys.modules:
        return False
    import mindspore.device_context as devices

    return devices.gpu.is_available()


def _loaded_requirement() -> Requirement:
    name = "plugin loads"
    if _loaded():
        return Requirement(name, "yes")
    if "mindspore" not in sys.modules:
        return Requirement(name, "MindSpore is not imported yet")
    reason = load_error("libmindspore_gpu")
    if reason:
        return Requirement(name, reason, f"{_INSTALL}, and unset CUDA_HOME and LD_LIBRARY_PATH")
    return Requirement(name, "MindSpore was imported before anything could be made ready for it",
                       "call mindface_eri.prepare_device() before `import mindspore`")
