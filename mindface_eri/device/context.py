# SPDX-License-Identifier: Apache-2.0
"""Device, mode, seed, rank and threads: the only place that asks for them or sets them."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from mindface_eri.config import RuntimeConfig
from mindface_eri.device import ascend, gpu
from mindface_eri.device.hardware import Requirement, obstacle, require_mindspore
from mindface_eri.errors import ConfigError

_ISA = "ONEDNN_MAX_CPU_ISA"
_SCHEDULER = "MS_SCHED"  # of MS_ROLE
_DEVICES = ("Ascend", "GPU", "CPU")  # in the order in which `device: auto` prefers them
_device: Optional[str] = None  # what this process computes on, once that is settled
_isa_is_ours = False  # whether ONEDNN_MAX_CPU_ISA was set here
_joined = False  # whether this process has joined the others already


@dataclass(frozen=True)
class Context:
    """Where and how this process computes; made by `setup`."""

    device: str  # Ascend, GPU or CPU
    mode: str  # graph or pynative
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints: rank 0."""
        return self.rank == 0


def prepare_environment() -> None:
    """Quietens MindSpore and picks its fast CPU convolutions; call it before MindSpore is imported where possible.

    Values that the user has set stand: with GLOG_v=1 MindSpore says all that it has to say. The CPU wheel's
    oneDNN falls back to a reference kernel on AVX-512 processors, two orders of magnitude slower; held to AVX2 it takes
    the fast one. It reads the variable at the first primitive. `compute_without_convolutions` takes it back.
    """
    global _isa_is_ours
    if _ISA not in os.environ and not _isa_is_ours:
        os.environ[_ISA], _isa_is_ours = "AVX2", True
    os.environ.setdefault("GLOG_v", "3")  # errors only
    if os.environ["GLOG_v"] == "3":  # noqa: SIM112 - its name
        warnings.filterwarnings("ignore", module=r"mindspore(\..*)?$")
        # MindSpore may be imported already, and have read the variable
        logging.getLogger(f"ME.mindspore.log.{os.getpid()}").setLevel(logging.ERROR)


def compute_without_convolutions() -> None:
    """Lets oneDNN use all that the processor has, since matrix products are slower held to AVX2; call it before the
    first computation of a process none of whose networks holds a convolution. A value that the user has set stands."""
    if _isa_is_ours:
        os.environ.pop(_ISA, None)


@contextmanager
def without_isa_limit() -> Iterator[None]:
    """Takes back for a while what `prepare_environment` set for MindSpore's oneDNN, while another library's reads it. A
    value that the user has set stands."""
    ours = os.environ.pop(_ISA, None) if _isa_is_ours else None
    try:
        yield
    finally:
        if ours is not None:
            os.environ[_ISA] = ours


def users_environment() -> Dict[str, str]:
    """This process's environment but for what `prepare_environment` set for oneDNN: for programs that are not ours."""
    return {name: value for name, value in os.environ.items() if name != _ISA or not _isa_is_ours}


def prepare_device(device: str = "auto") -> None:
    """Makes ready what MindSpore looks for while it is imported; call it before `import mindspore`.

    Only a GPU needs it, so that with CPU or Ascend, or without an NVIDIA driver, nothing more than
    `prepare_environment` is done. Commands and the names of `mindface_eri` call it themselves.
    """
    prepare_environment()
    if device in ("auto", "GPU"):
        gpu.prepare()


def device_requirements(device: str) -> List[Requirement]:
    """What `device` needs, one by one, as far as it is found here; empty for CPU."""
    return {"GPU": gpu, "Ascend": ascend}[device].requirements() if device != "CPU" else []


def available_devices() -> Dict[str, bool]:
    """Which kinds of device this MindSpore can use here, most preferred first."""
    prepare_device()
    import mindspore.device_context as devices

    found = {}
    for name in _DEVICES:
        try:
            found[name] = bool(getattr(devices, name.lower()).is_available())
        except (AttributeError, RuntimeError):
            found[name] = name == "CPU"
    # MindSpore calls a GPU available once its plugin has loaded, before it has asked the driver for a card.
    found["GPU"] = found["GPU"] and obstacle(gpu.requirements()) is None
    return found


def setup(runtime: RuntimeConfig) -> Context:
    """Applies `runtime` to this process and joins the other ranks where a launcher (`msrun`) started several.

    Raises:
        ConfigError: the device asked for is not available here.
    """
    require_mindspore("computing here")
    prepare_environment()
    if runtime.threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(runtime.threads))
    device = use_device(runtime.device)
    import mindspore as ms

    if runtime.threads and device == "CPU":
        _limit_kernels(runtime.threads)
    use_mode(runtime.mode)
    if runtime.deterministic:  # before this process joins the others
        ms.set_context(deterministic="ON")
    rank, world_size = _join() if _launched_ranks() > 1 else (0, 1)
    seed_everything(runtime.seed + rank)
    return Context(device=device, mode=runtime.mode, rank=rank, world_size=world_size)


def use_device(wanted: str = "auto") -> str:
    """Makes MindSpore compute on a device, and gives its kind; mode, seeds and generators stay as they are.

    Raises:
        ConfigError: the device asked for is not available here.
    """
    prepare_device(wanted)
    device = _pick_device(wanted)
    if wanted == "auto" and device == "CPU":
        _warn_of_an_idle_card()
    _set_device(device)
    return device


def _limit_kernels(threads: int) -> None:
    """MindSpore tries how many threads suit a kernel, which seems to change dropout's masks; with one they repeated."""
    import mindspore.device_context as devices

    with suppress(AttributeError, RuntimeError):  # a process may say it once
        devices.cpu.op_tuning.threads_num(threads)


def use_mode(mode: str) -> None:
    """Makes MindSpore compile whole Cells ("graph"), or compute operator by operator ("pynative")."""
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)


@contextmanager
def in_mode(mode: str) -> Iterator[None]:
    """The block computes in this mode, what follows in the one of before."""
    import mindspore as ms

    was = ms.get_context("mode")
    use_mode(mode)
    try:
        yield
    finally:
        ms.set_context(mode=was)


def computing_on() -> Optional[str]:
    """The kind of device that this process was told to compute on; None where nothing is settled yet."""
    return _device


def use_full_float32(device: str) -> None:
    """Switches off the shorter numbers in which a device multiplies by default: TF32 on GPU, HF32 on Ascend.

    For comparisons of 1e-5, which these would fail. It holds for this process, from the next compilation on.
    """
    if device != "CPU":
        {"GPU": gpu, "Ascend": ascend}[device].use_full_float32()


@contextmanager
def keep_generators() -> Iterator[None]:
    """What the block draws from the global generators of Python, NumPy and MindSpore is as if it had not been drawn."""
    import random

    import mindspore as ms
    import numpy as np

    states = random.getstate(), np.random.get_state(), ms.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        ms.set_rng_state(states[2])


def seed_everything(seed: int) -> None:
    """Seeds NumPy, Python, MindSpore's initialisers and MindData."""
    import random

    import mindspore as ms
    import numpy as np

    seed %= 2**32  # NumPy takes no more, and MindSpore seeds NumPy too
    random.seed(seed)
    np.random.seed(seed)
    ms.set_seed(seed)


def _pick_device(wanted: str) -> str:
    """The device asked for, or for auto the first that can be used.

    Raises:
        ConfigError: it cannot be used here.
    """
    if wanted == "CPU":
        return wanted
    available = available_devices()
    if wanted == "auto":
        return next(name for name in _DEVICES if available[name])
    if not available[wanted]:
        usable = ", ".join(name for name in _DEVICES if available[name])
        missing = obstacle(device_requirements(wanted))
        reason = f"{missing.name}: {missing.detail}; {missing.cure}" if missing else "MindSpore does not say why"
        raise ConfigError(f"runtime.device is {wanted}, which cannot be used here ({reason}); usable: {usable}. "
                          f"`mindface-eri doctor --device {wanted}` says more")
    return wanted


def _warn_of_an_idle_card() -> None:
    missing = obstacle(gpu.requirements()) if gpu.has_driver() else None
    if missing:
        logging.getLogger("mindface_eri").warning(
            "computing on CPU although an NVIDIA driver is here: %s: %s; %s (or say --device CPU)",
            missing.name, missing.detail, missing.cure)


def _set_device(device: str) -> None:
    """Sets the device of this process, once for good.

    Raises:
        ConfigError: it computes on another already.
    """
    import mindspore as ms

    global _device
    if _device is None:
        try:
            ms.set_device(device)
        except RuntimeError:  # MindSpore has computed in this process already
            _device = ms.get_context("device_target")
        else:
            _device = device
    if device != _device:  # MindSpore cannot change it any more
        raise ConfigError(f"runtime.device is {device}, but this process computes on {_device} already; use a new "
                          "process for another device")


def launched() -> Tuple[Optional[int], int]:
    """Rank and number of the processes that `msrun` started, as its environment says; (0, 1) without it.

    The rank is None where MindSpore gives it out only when the processes meet (several machines without `--node_rank`),
    and in msrun's scheduler, which runs the same script and has to join for the others to meet.
    Variables alone that other launchers set, and that stay behind in a shell, mean nothing: `stray_ranks` names them.
    """
    size = os.environ.get("MS_WORKER_NUM", "")
    if os.environ.get("MS_ROLE") not in ("MS_WORKER", _SCHEDULER) or not size.isdecimal() or int(size) < 2:
        return 0, 1
    rank = "" if is_scheduler() else os.environ.get("RANK_ID", "")
    return (int(rank) if rank.isdecimal() and int(rank) < int(size) else None), int(size)


def is_scheduler() -> bool:
    """Whether this process is the one that msrun starts for the others to find each other."""
    return os.environ.get("MS_ROLE") == _SCHEDULER


def stray_ranks() -> str:
    """Variables, such as RANK_ID=3, that speak of several processes where none were started; "" without any."""
    if launched()[1] > 1:
        return ""
    alone = {"RANK_ID": ("", "0"), "RANK_SIZE": ("", "1"), "MS_WORKER_NUM": ("", "1")}
    return ", ".join(f"{name}={os.environ[name]}" for name, values in alone.items()
                     if os.environ.get(name, "") not in values)


def _launched_ranks() -> int:
    """How many processes `msrun` started; 1 without it."""
    if stray_ranks():
        logging.getLogger("mindface_eri").warning("%s: not set by msrun, so that this process computes alone",
                                                  stray_ranks())
    return launched()[1]


def _join() -> Tuple[int, int]:
    from mindspore import communication

    global _joined
    if not _joined:  # asking MindSpore whether it has joined ends the process where it has not
        communication.init()
        _joined = True
    return communication.get_rank(), communication.get_group_size()
