# SPDX-License-Identifier: Apache-2.0
"""Runs the checks one after the other, each in a process of its own, and writes down what they saw."""

from __future__ import annotations

import datetime
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Callable, List, Sequence, Tuple

from mindface_eri import children
from mindface_eri.benchmark.machine import processor
from mindface_eri.device.context import device_requirements, use_device
from mindface_eri.errors import ERIError
from mindface_eri.evaluation.tables import format_table
from mindface_eri.threads import cores
from mindface_eri.version import versions

_CHECKS, _SAID = "mindface_eri.selftest.checks", "SELFTEST "
_LIMIT = 900  # seconds of one check: the first compilation for a new card is slow
_SHOWN = ("mindface_eri", "mindspore", "python", "onnxruntime")
# What the table calls it, the check, its arguments, and what it is held to.
ROWS: Tuple[Tuple[str, str, Tuple[str, ...], str], ...] = (
    ("same numbers as the CPU", "parity", (), "1e-5; gradients 1e-3"),
    ("training, O0", "training", ("O0",), "first loss 1e-4, falls"),
    ("training, O2", "training", ("O2",), "first loss 1e-2, falls"),
    ("training, O3", "training", ("O3",), "first loss 1e-2, falls"),
    ("two ranks", "ranks", (), "weights 1e-5"),
    ("export", "exporting", (), "1e-5"),
    ("step time", "times", (), "finite losses"))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    check: str
    result: str  # pass, FAIL or skipped
    measured: str
    limit: str
    seconds: float


def selftest(device: str = "auto", *, notify: Callable[[str], None] = lambda _: None) -> Tuple[str, List[Row]]:
    """Runs all checks on a device; one that fails, hangs or takes its process down does not stop the others.

    Args:
        notify: receives a line when a check has ended.

    Returns:
        (what was tested: device, versions and date; the rows).

    Raises:
        ConfigError: the device is not available here.
        ERIError: the CPU could not compute what the device is held against.
    """
    device = use_device(device)
    with tempfile.TemporaryDirectory() as folder:
        done = _run("mindface_eri.selftest.material", folder)
        if done.returncode:
            raise ERIError(f"the CPU's own numbers could not be computed: {_last_line(done.stderr)}")
        rows = []
        for check, name, arguments, limit in ROWS:
            start = time.perf_counter()
            result, measured = _look(name, device, folder, *arguments)
            rows.append(Row(check, result, measured, limit, time.perf_counter() - start))
            notify(f"{check}: {result}: {measured}")
    return heading(device), rows


def heading(device: str) -> str:
    """One line on the device and the versions."""
    cards = [one.detail for one in device_requirements(device) if one.name.startswith("card")]
    what = "; ".join(cards) or f"{processor()}, {cores()} cores"
    found = versions()
    told = ", ".join(f"{name} {found[name]}" for name in _SHOWN if name in found)
    return f"{device}: {what}; {told}; {datetime.date.today():%Y-%m-%d}"


def markdown(rows: Sequence[Row]) -> str:
    """The table, to be pasted into an issue."""
    return format_table(["check", "result", "measured", "limit", "seconds"],
                        [[row.check, row.result, row.measured, row.limit, round(row.seconds)] for row in rows])


def _run(module: str, *words: object) -> subprocess.CompletedProcess:
    return subprocess.run(children.python(module, *words), capture_output=True, encoding="utf-8", errors="replace",
                          env=children.environment(), timeout=_LIMIT, check=False)


def _look(*words: object) -> Tuple[str, str]:
    try:
        done = _run(_CHECKS, *words)
    except subprocess.TimeoutExpired:
        return "FAIL", f"no answer within {_LIMIT} s"
    said = [line for line in done.stdout.splitlines() if line.startswith(_SAID)]
    if said:
        result, measured = json.loads(said[-1][len(_SAID):])
        return result, measured
    return "FAIL", f"its process ended with status {done.returncode}: {_last_line(done.stderr)}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:300]
