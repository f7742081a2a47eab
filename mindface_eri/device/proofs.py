# SPDX-License-Identifier: Apache-2.0
"""What is proven of each device, and how, as `doctor --device` prints it."""

from __future__ import annotations

from typing import Dict, Tuple

RUN = "run"
SELECTED = "kernel selection of the real GPU plugin"  # its library, without a card: it finds a kernel for each operator
DOCUMENTED = "documented only"
READ = "documented; static shapes and no call to the host, read off the compiled graph"

# What -> how, for CPU, GPU and Ascend. "Kernel selection" was done when the stem's pooling was MaxPool.
PROOFS: Tuple[Tuple[str, str, str, str], ...] = (
    ("operators take the types they get", RUN, SELECTED, DOCUMENTED),
    ("the stem's pooling, of maxima", RUN, DOCUMENTED, DOCUMENTED),
    ("training step in a graph, O0, O2, O3", RUN, SELECTED, READ),
    ("inference in a graph", RUN, SELECTED, DOCUMENTED),
    ("PyNative mode", RUN, DOCUMENTED, DOCUMENTED),
    ("two ranks and more", RUN, DOCUMENTED, DOCUMENTED),
    ("full float32 for comparisons", RUN, DOCUMENTED, DOCUMENTED),
    ("the numbers themselves", RUN, "not tried", "not tried"))
DEVICES = ("CPU", "GPU", "Ascend")


def proofs(device: str) -> Dict[str, str]:
    """What -> how it is proven for one device."""
    column = 1 + DEVICES.index(device)
    return {row[0]: row[column] for row in PROOFS}
