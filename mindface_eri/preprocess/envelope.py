# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a clip's sound, and tells where it is heard: its peaks over time, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator

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
        if len(self) == 0 or self.seconds <= 0:
            return 0.0
        first, last = (int(np.floor(t / self.seconds * len(self))) for t in (begin, end))
        spans = slice(max(first, 0), max(last + 1, 0))
        return Envelope(self.low[spans], self.high[spans], 0.0).peak

    def scaled(self) -> tuple:
        """`low` and `high` over the peak, in [-1, 1]."""
        peak = max(self.peak, 1e-9)
        return self.low / peak, self.high / peak


def envelope_of(waveform: np.ndarray, sample_rate: int, start: float, seconds: float) -> Envelope:
    """The envelope of a sound that is there as a whole, (samples,) float32 mono; else as `EnvelopeOf`."""
    drawn = EnvelopeOf(sample_rate, start, seconds)
    drawn.add(waveform)
    return drawn.envelope()


class EnvelopeOf:
    """Makes the envelope of a clip's sound, which comes in pieces."""

    def __init__(self, sample_rate: int, start: float, seconds: float) -> None:
        """
        Args:
            start: second of the clip at which the sound begins; negative where that is before the picture.
            seconds: the clip's length; where the sound says nothing there is silence.
        """
        count = max(min(_SPANS, round(seconds * sample_rate)), 1)
        self._edges = np.round((np.arange(count + 1) / count * seconds - start) * sample_rate).astype(np.int64)
        self._low, self._high = np.full(count, np.inf, np.float32), np.full(count, -np.inf, np.float32)
        self._seconds, self._heard = float(seconds), 0

    def add(self, samples: np.ndarray) -> None:
        """Takes the next piece, (samples,) float32 mono."""
        edges = np.clip(self._edges - self._heard, 0, len(samples))
        self._heard += len(samples)
        filled = np.flatnonzero(edges[1:] > edges[:-1])
        if len(filled):
            # The last edge must not be an index of `reduceat`: the last stretch ends there.
            inside = samples[:edges[filled[-1] + 1]]
            self._low[filled] = np.minimum(self._low[filled], np.minimum.reduceat(inside, edges[filled]))
            self._high[filled] = np.maximum(self._high[filled], np.maximum.reduceat(inside, edges[filled]))

    def through(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same pieces, each taken on its way."""
        for piece in pieces:
            self.add(piece)
            yield piece

    def envelope(self) -> Envelope:
        """Of all that has come."""
        silent = self._low > self._high
        return Envelope(np.where(silent, 0, self._low), np.where(silent, 0, self._high), self._seconds)
