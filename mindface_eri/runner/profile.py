# SPDX-License-Identifier: Apache-2.0
"""How fast the data alone come, beside what training takes: whether the device has to wait for them."""

from __future__ import annotations

import itertools
import time
from typing import Dict, Sequence

import numpy as np

from mindface_eri.device.context import Context

ENOUGH = 1.5  # times as fast as training: below that, training is likely to wait now and then


def pipeline_rate(batches, context: Context, *, seconds: float = 10.0) -> float:
    """Clips a second that training's batches give all processes together when nothing is computed on them.

    Epochs are read one after the other for about `seconds`; opening one counts, as it does in training.
    """
    clips, start = 0, time.perf_counter()
    for *_, labels in itertools.chain.from_iterable(map(batches.train, itertools.count())):
        clips += len(labels)
        if time.perf_counter() - start >= seconds:
            break
    return clips * context.world_size / (time.perf_counter() - start)


def profile_line(rate: float, history: Sequence[Dict]) -> str:
    """What `rate` means for a training.

    Args:
        history: lines of metrics.jsonl. The first, which compiles, is left out where there are others.
    """
    taken = float(np.median([row["samples_per_second"] for row in history[1:] or history]))
    line = f"data: alone {rate:.0f} clips/s, {rate / taken:.1f} times the {taken:.0f} that training takes"
    if len(history) == 1:
        line += " (of an epoch that compiled; train two or more to know)"
    return line if rate >= ENOUGH * taken else f"{line}; training waits for data: raise data.workers and data.prefetch"
