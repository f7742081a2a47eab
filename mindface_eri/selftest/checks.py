# SPDX-License-Identifier: Apache-2.0
"""The checks, each in a process of its own: `python -m mindface_eri.selftest.checks NAME DEVICE FOLDER [ARGUMENT]`.

A check gives what it measured, or raises: `SelftestError` where a number is wrong, `Skipped` where it cannot be asked.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindface_eri import children
from mindface_eri.config import ModelConfig, RuntimeConfig, TrainConfig
from mindface_eri.deploy.exporter import TOLERANCE, export
from mindface_eri.device.context import Context, setup, use_full_float32
from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.models import build_network
from mindface_eri.runner.step import TrainStep
from mindface_eri.selftest import material
from mindface_eri.selftest.material import SMALL, inputs_of, labels_of, network_of

GRADIENTS = 1e-3  # largest difference of a gradient, as a share of the largest gradient
LOSSES = {"O0": 1e-4, "O2": 1e-2, "O3": 1e-2}  # largest difference of the first loss, as a share of it
_STEPS = 6
_SAID = "SELFTEST "  # begins a check's line; MindSpore may print others


class SelftestError(ERIError):
    """The device gave a wrong number."""


class Skipped(ERIError):
    """There is nothing here to ask this of."""


def parity(device: str, folder: Path) -> str:
    """Intensities and gradients of a graph on the device beside those of single operators on the CPU."""
    setup(RuntimeConfig(device=device))
    use_full_float32(device)
    answers = material.answers_of(network_of(folder))
    with np.load(folder / material.REFERENCE) as expected:
        off = float(np.abs(answers["intensities"] - expected["intensities"]).max())
        largest = np.abs(expected["gradients"]).max()
        share = float(np.abs(answers["gradients"] - expected["gradients"]).max() / largest)
    _hold("intensities differ by", off, TOLERANCE)
    _hold("gradients differ by a share of", share, GRADIENTS)
    return f"intensities within {off:.1e}, gradients within {share:.1e} of the largest"


def training(device: str, folder: Path, level: str) -> str:
    """Steps of training: the first loss is the CPU's, and it falls."""
    setup(RuntimeConfig(device=device))
    losses, _ = _train(network_of(folder), level, SMALL, _STEPS)
    with np.load(folder / material.REFERENCE) as expected:
        share = abs(losses[0] - float(expected["loss"])) / float(expected["loss"])
    _hold("the first loss differs by a share of", share, LOSSES[level])
    if not losses[-1] < losses[0]:  # NaN too
        raise SelftestError(f"the loss does not fall: {losses[0]:.4f} -> {losses[-1]:.4f}")
    return f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, the first within {share:.1e} of the CPU's"


def ranks(device: str, folder: Path) -> str:
    """Two processes with half a batch each end with the weights of one with the whole."""
    setup(RuntimeConfig(device=device))
    if device != "CPU" and _cards(device) < 2:
        raise Skipped("one card")
    launcher = Path(sys.executable).with_name("msrun")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [str(launcher), "--worker_num=2", "--local_worker_num=2", f"--master_port={port}", "--join=True",
         f"--log_dir={folder / 'msrun'}", *children.python(__spec__.name, "one_rank", device, folder)[1:]],
        cwd=folder, env=children.environment(), capture_output=True, encoding="utf-8", errors="replace", check=False)
    files = [folder / f"rank_{rank}.npy" for rank in (0, 1)]
    if done.returncode or not all(file.is_file() for file in files):
        logs = sorted((folder / "msrun").glob("worker_*.log"))
        said = logs[0].read_text(encoding="utf-8", errors="replace") if logs else done.stderr
        raise SelftestError(f"msrun ended with status {done.returncode}: {said.strip()[-300:]}")
    first, second = map(np.load, files)
    alone = _acoustic_weights(Context(device, "graph"))
    between, off = float(np.abs(first - second).max()), float(np.abs(first - alone).max())
    _hold("the ranks' weights differ by", between, 0.0)
    _hold("two ranks' weights differ from one's by", off, 1e-5)
    return f"weights within {off:.1e} of one process's after {_STEPS} steps"


def one_rank(device: str, folder: Path) -> str:
    """What each of the two processes does."""
    context = setup(RuntimeConfig(device=device))
    np.save(folder / f"rank_{context.rank}.npy", _acoustic_weights(context))
    return "done"


def exporting(device: str, folder: Path) -> str:
    """MindIR, and ONNX where it can be made, against the checkpoint; `export` holds them to its tolerance itself."""
    import importlib.util

    kinds = ["mindir", *["onnx"] * all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))]
    report = export(folder / material.CHECKPOINT, folder / "export", formats=kinds, device=device)
    return ", ".join(f"{file.format} within {file.max_difference:.1e}" for file in report.files)


def times(device: str, folder: Path) -> str:
    """Milliseconds of a training step of all branches at once: the small network on a CPU, the paper's on a card."""
    del folder
    setup(RuntimeConfig(device=device))
    model, levels = (SMALL, ("O0",)) if device == "CPU" else (ModelConfig(), ("O0", "O2", "O3"))
    found = []
    for level in levels:
        losses, seconds = _train(build_network(model), level, model, _STEPS)
        if not np.isfinite(losses).all():
            raise SelftestError(f"{level}: the losses are {losses}")
        found.append(f"{level} {1000 * statistics.median(seconds[1:]):.1f} ms (the first {seconds[0]:.0f} s)")
    return f"{'small' if model is SMALL else 'paper'}, 8 clips: {', '.join(found)}"


def _train(network, level: str, model: ModelConfig, steps: int) -> Tuple[List[float], List[float]]:
    runtime = RuntimeConfig(amp_level=level, loss_scale="none" if level == "O0" else "dynamic")
    step = TrainStep(network, TrainConfig(lr=1e-3), runtime).set_train()
    batch = [Tensor(array) for array in (*inputs_of(model, 8), labels_of(model, 8))]
    losses, seconds = [], []
    for _ in range(steps):
        start = time.perf_counter()
        losses.append(float(step(*batch).asnumpy()))
        seconds.append(time.perf_counter() - start)
    return losses, seconds


def _acoustic_weights(context: Context) -> np.ndarray:
    """After some steps of the acoustic branch on this rank's share of the batch, in one row."""
    model = dataclasses.replace(SMALL, name="eri_acoustic")
    network = build_network(model)
    for number, parameter in enumerate(network.trainable_params()):
        start = np.random.default_rng(number).normal(0, 0.2, parameter.shape)
        parameter.set_data(Tensor(start.astype(np.float32)))
    step = TrainStep(network, TrainConfig(lr=1e-3), RuntimeConfig(), context).set_train()
    share = slice(context.rank, None, context.world_size)
    for _ in range(_STEPS):
        step(*(Tensor(array[share]) for array in (*inputs_of(model, 8), labels_of(model, 8))))
    return np.concatenate([parameter.asnumpy().ravel() for parameter in network.trainable_params()])


def _cards(device: str) -> int:
    return int(getattr(ms.device_context, device.lower()).device_count())


def _hold(what: str, found: float, limit: float) -> None:
    if not found <= limit:  # NaN too
        raise SelftestError(f"{what} {found:.1e}, the limit is {limit:.0e}")


CHECKS: Dict[str, Callable[..., str]] = {"parity": parity, "training": training, "ranks": ranks, "one_rank": one_rank,
                                         "exporting": exporting, "times": times}


def outcome(name: str, device: str, folder: os.PathLike, *more: str) -> Tuple[str, str]:
    """(pass, FAIL or skipped; what was measured or went wrong) of one check, whatever it ends with."""
    try:
        return "pass", CHECKS[name](device, Path(folder), *more)
    except Skipped as reason:
        return "skipped", str(reason)
    except ConfigError:
        raise  # the device is not here: nobody's fault
    except Exception as error:  # noqa: BLE001 - a device may fail in any way, and the table says how
        lines = str(error).strip().splitlines() or ["no reason"]
        return "FAIL", lines[0] if isinstance(error, ERIError) else f"{type(error).__name__}: {lines[0]}"


if __name__ == "__main__":
    print(_SAID + json.dumps(outcome(*sys.argv[1:])))
