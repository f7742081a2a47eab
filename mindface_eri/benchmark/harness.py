# SPDX-License-Identifier: Apache-2.0
"""Contestants take turns, so that they share the machine's ups and downs; medians and spreads come out as rows."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

HEADERS = ("what", "ours", "beside", "takes", "times as fast", "limit", "takes at least", "share of limit", "note")
_PAUSE = 0.1  # seconds before a turn: threads of the contestant before spin for a while in wait for more work


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work, once a round."""

    samples: Tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that ratios are made of."""
        return statistics.median(self.samples)

    def __str__(self) -> str:
        """`351 ms (340-362)`: the median, the fastest and the slowest round."""
        scale, unit, digits = (1.0, "s", 2) if self.median >= 1 else (1e3, "ms", 0 if self.median >= 0.1 else 2)
        low, middle, high = (f"{value * scale:.{digits}f}" for value in
                             (min(self.samples), self.median, max(self.samples)))
        return f"{middle} {unit}" if len(self.samples) == 1 else f"{middle} {unit} ({low}-{high})"


@dataclass(frozen=True)
class Row:
    """One line of the table: a piece of work, what it takes us, what else takes, and what nothing could undercut."""

    what: str
    ours: Timing
    yardstick: str = ""
    theirs: Optional[Timing] = None
    limit: str = ""
    bound: Optional[Timing] = None
    note: str = ""

    @property
    def speedup(self) -> Optional[float]:
        """The yardstick's median time over ours: above 1 we are faster."""
        return self.theirs.median / self.ours.median if self.theirs else None

    @property
    def share(self) -> Optional[float]:
        """The limit's time over ours: 1 could not be better."""
        return self.bound.median / self.ours.median if self.bound else None

    def cells(self) -> list:
        """The row's cells under `HEADERS`."""
        ratio = None if self.speedup is None else f"{self.speedup:.2f}"
        share = None if self.share is None else f"{100 * self.share:.0f}%"
        times = [None if timing is None else str(timing) for timing in (self.ours, self.theirs, self.bound)]
        return [self.what, times[0], self.yardstick or None, times[1], ratio, self.limit or None, times[2], share,
                self.note or None]

    def as_dict(self) -> Dict[str, Any]:
        """The row for JSON, all samples included."""
        return {**dataclasses.asdict(self), "speedup": self.speedup, "share_of_limit": self.share}


def in_turns(calls: Mapping[str, Callable[[], Any]], repeats: int, *, warmups: int = 1
             ) -> Tuple[Dict[str, Timing], Dict[str, Any]]:
    """Runs every call once a round.

    Args:
        warmups: rounds before those that count: models are loaded, graphs compiled and caches filled in them.

    Returns:
        Times by name, and what each call gave in the last round.
    """
    taken: Dict[str, List[float]] = {name: [] for name in calls}
    results: Dict[str, Any] = {}
    for turn in range(warmups + repeats):
        for name, call in calls.items():
            time.sleep(_PAUSE)
            start = time.perf_counter()
            results[name] = call()
            if turn >= warmups:
                taken[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in taken.items()}, results


def scaled(timing: Timing, factor: float) -> Timing:
    """The same rounds for a share of the work, such as one clip of a batch."""
    return Timing(tuple(factor * sample for sample in timing.samples))


def row(what: str, times: Mapping[str, Timing], *, yardstick: str = "", limit: str = "", note: str = "") -> Row:
    """A row of the times named "ours", "theirs" and "limit", of which the latter two may be missing."""
    theirs, bound = times.get("theirs"), times.get("limit")
    return Row(what, times["ours"], yardstick if theirs else "", theirs, limit if bound else "", bound, note)


def find_torch(threads: int = 0) -> Any:
    """PyTorch, held to `threads`, or None where it is not installed: rows then stand without ratios."""
    try:
        import torch
    except ImportError:
        return None
    if threads:
        torch.set_num_threads(threads)
    return torch


def table(rows: Sequence[Row]) -> Tuple[List[str], List[list]]:
    """Headers and cells, without the columns in which no row says anything."""
    cells = [one.cells() for one in rows]
    used = [c for c in range(len(HEADERS)) if any(line[c] is not None for line in cells)]
    return [HEADERS[c] for c in used], [[line[c] for c in used] for line in cells]
