# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a clip's sound, and tells where it is heard: its peaks over time, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SPANS = 800  # of a clip: as many as a page draws; memory does not grow with the sound


@dataclass(frozen=True)
class Envelope:
    """The lowest and the highest sample in each of K equal spans, from the clip's first instant to its end."""

    low: np.ndarray  # (K,) float32
    high: np.ndarray  # (K,) float32
    seconds: float  # all spans together

    @classmethod
    def silent(cls) -> Envelope:
        """Of a clip without sound: no spans."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.float32), 0.0)

    def __len__(self) -> int:
        return len(self.low)

    @property
    def peak(self) -> float:
        """The largest magnitude; 0 without sound."""
        return float(max(-self.low.min(), self.high.max(), 0.0)) if len(self) else 0.0

    def peak_within(self, begin: float, end: float) -> float:
        """The largest magnitude in the spans that [begin, end] seconds touch; 0 outside the sound."""
        if not len(self) or self.seconds <= 0:
            return 0.0
        first, last = (int(np.floor(t / self.seconds * len(self))) for t in (begin, end))
        spans = slice(max(first, 0), max(last + 1, 0))
        return Envelope(self.low[spans], self.high[spans], 0.0).peak

    def scaled(self) -> tuple:
        """`low` and `high` over the peak, in [-1, 1]."""
        peak = max(self.peak, 1e-9)
        return self.low / peak, self.high / peak


def envelope_of(waveform: np.ndarray, sample_rate: int, start: float, seconds: float) -> Envelope:
    """The envelope of a clip's sound.

    Args:
        waveform: (samples,) float32 mono.
        start: second of the clip at which it begins; negative where the sound begins before the picture.
        seconds: the clip's length; where the waveform says nothing there is silence.
    """
    count = max(min(_SPANS, round(seconds * sample_rate)), 1)
    edges = np.round((np.arange(count + 1) / count * seconds - start) * sample_rate).astype(np.int64)
    edges = np.clip(edges, 0, len(waveform))
    low, high = np.zeros(count, np.float32), np.zeros(count, np.float32)
    filled = np.flatnonzero(edges[1:] > edges[:-1])
    if len(filled):
        # The last edge must not be an index of `reduceat`: the last stretch ends there.
        inside = waveform[:edges[filled[-1] + 1]]
        low[filled] = np.minimum.reduceat(inside, edges[filled])
        high[filled] = np.maximum.reduceat(inside, edges[filled])
    return Envelope(low, high, float(seconds))
