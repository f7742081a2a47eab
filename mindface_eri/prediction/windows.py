# SPDX-License-Identifier: Apache-2.0
"""Sliding windows over a long video, laid on one regular grid of sampled frames, and the merging of what overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from mindface_eri.errors import ConfigError, MediaError

LONG = 30.0  # seconds; longer videos get a timeline. The paper's clips last 9.9 to 15 s
WINDOW = 12.0  # seconds, in the middle of what the network is trained on
_MOST_SAMPLES = 20_000  # crops held in memory: 0.75 GB of 112 x 112


@dataclass(frozen=True)
class Grid:
    """N samples, `step` seconds apart; window w covers samples starts[w] .. starts[w] + frames - 1."""

    samples: int  # N
    frames: int  # T, samples of one window
    stride: int  # samples between windows
    step: float
    coarse: int = 0  # of a clip that is answered whole: every how many samples the network sees then

    @property
    def starts(self) -> np.ndarray:
        """(W,) first sample of each window; the last window ends with the video."""
        last = self.samples - self.frames
        starts = np.arange(0, last + 1, self.stride)
        return starts if starts[-1] == last else np.append(starts, last)

    @property
    def overlaps(self) -> bool:
        """Whether some sample lies in more than one window."""
        return len(self.starts) * self.frames > self.samples

    @property
    def edges(self) -> np.ndarray:
        """(S + 1,) samples between which merged values are constant: a hop each, a short rest joined to the last."""
        if self.samples == 1:
            return np.array([0, 0])  # an instant
        edges = np.arange(0, self.samples - 1, self.stride)
        if len(edges) > 1 and self.samples - 1 - edges[-1] < self.stride / 2:
            edges = edges[:-1]
        return np.append(edges, self.samples - 1)

    def merge(self, values: np.ndarray) -> np.ndarray:
        """Values of the windows (W, E) -> of the segments (S, E): the mean over all windows that hold its middle.

        Windows that have no value (NaN) are left out; a segment that no other window holds has none either. A window
        of a single sample has no length: it speaks for half the way to its neighbours.
        """
        reach = 0.0 if self.frames > 1 else self.stride / 2
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        first = np.searchsorted(self.starts, middle - (self.frames - 1) - reach)
        after = np.searchsorted(self.starts, middle + reach, "right")
        known = np.isfinite(values).all(1)[:, None]
        table = np.append(np.where(known, values, 0.0), known, axis=1)  # (W, E + 1): values, and whether there are any
        table = np.append(table, np.zeros((1, table.shape[1])), axis=0)  # what `reduceat` may name as an end
        sums = np.add.reduceat(table, np.stack([first, after], 1).reshape(-1), axis=0)[::2] * (after > first)[:, None]
        count = sums[:, -1:]  # (S, 1)
        return np.where(count > 0, sums[:, :-1] / np.maximum(count, 1), np.nan)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """What each window says of its own samples (W, T, ...) -> (N, ...), the mean where windows overlap."""
        total = np.zeros((self.samples, *values.shape[2:]))
        count = np.zeros(self.samples)
        for start, value in zip(self.starts, values):
            total[start:start + self.frames] += value
            count[start:start + self.frames] += 1
        return total / count.reshape(-1, *[1] * (values.ndim - 2))


@dataclass(frozen=True)
class Windows:
    """What was asked for: a timeline, or values that move within a clip that is answered whole.

    Attributes:
        window, hop: seconds; either one asks for a timeline, 0 takes 12 s and half a window. Without them, a video
            longer than 30 s gets a timeline.
        whole: never a timeline.
        moving: of a clip that is answered whole, values of windows half as long too, for a drawing that moves.

    Raises:
        ConfigError: window or hop cannot be used.
    """

    window: float = 0.0
    hop: float = 0.0
    whole: bool = False
    moving: bool = False

    def __post_init__(self) -> None:
        if self.whole and (self.window or self.hop):
            raise ConfigError("whole asks for one row a video, window and hop for a timeline; give one or the other")
        _check(*default_windows(self.window, self.hop))

    def is_timeline(self, seconds: float) -> bool:
        """Whether a clip of this length is answered window by window."""
        return not self.whole and (self.window > 0 or self.hop > 0 or seconds > LONG)

    def grid(self, seconds: float, frames: int) -> Optional[Grid]:
        """The grid over a clip of this length; None where the network sees it whole and nothing moves.

        Of a clip that is answered whole, the instants that the network sees are every second one of the grid.
        """
        if self.is_timeline(seconds):
            window, hop = default_windows(self.window, self.hop)
            return plan_grid(seconds, frames, min(window, max(seconds, 1e-3)), min(hop, max(seconds, 1e-3)))
        if self.moving and frames > 1 and seconds > 0:
            return Grid(2 * frames - 1, frames, max(1, (frames - 1) // 8), seconds / (2 * frames - 2), coarse=2)
        return None


def plan_grid(duration: float, frames: int, window: float, hop: float) -> Grid:
    """Lays a grid on which a window is `frames` samples, as in a clip of its length.

    Args:
        duration: seconds between the first and the last picture.
        window, hop: seconds; the hop is rounded to whole samples.

    Raises:
        ConfigError: the window or the hop is not positive, or the hop longer than the window.
        MediaError: the video is too long for such short windows.
    """
    _check(window, hop)
    step = window / max(frames - 1, 1)
    samples = max(frames, round(duration / step) + 1)
    if samples > _MOST_SAMPLES:
        longest = _MOST_SAMPLES * step
        raise MediaError(f"{duration:.0f} s in windows of {window:g} s take {samples} crops, at most {_MOST_SAMPLES} "
                         f"fit (such windows reach {longest:.0f} s): choose a longer --window, or cut the video")
    step = duration / max(samples - 1, 1)
    return Grid(samples, frames, min(max(1, round(hop / step)), frames) if step else frames, step)


def default_windows(window: float = 0.0, hop: float = 0.0) -> Tuple[float, float]:
    """Window and hop with the defaults for those that are 0: 12 s, and half a window."""
    window = window or WINDOW
    return window, hop or window / 2


def _check(window: float, hop: float) -> None:
    if not window > 0 or not 0 < hop <= window:
        raise ConfigError(f"window of {window:g} s and hop of {hop:g} s: the window must be positive, and the hop "
                          "positive and at most the window, so that nothing is left out")
