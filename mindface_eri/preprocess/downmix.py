# SPDX-License-Identifier: Apache-2.0
"""Many channels become one, so that what a listener hears in any of them is there at its loudness.

The mean of the channels, as long as it holds at least `_ENOUGH` of the loudest channel's energy, as ordinary recordings
do. Where it holds less (a voice in one channel of six, or on the left alone) the mean is made as loud as that channel;
where channels cancel each other (the right one is the left one inverted) the loudest one is taken alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import numpy as np

_ENOUGH = 0.3  # of the loudest channel's energy: 5 dB less
_CANCELLED = 0.5  # of the energy that the loudest channel alone gives to the mean


@dataclass(frozen=True)
class Mix:
    """How a file's sound is taken."""

    stream: Optional[int] = None  # number of the stream in its container; None: the one that a player takes
    weights: Dict[int, Tuple[float, ...]] = field(default_factory=dict)  # by the number of channels; else their mean

    def __call__(self, channels: np.ndarray) -> np.ndarray:
        """(samples, channels) float32 -> (samples,) float32."""
        weights = self.weights.get(channels.shape[1])
        if weights is None:
            return channels.mean(axis=1, dtype=np.float32)
        return np.einsum("sc,c->s", channels, np.array(weights, np.float32))  # no BLAS: the same for any threads


class Levels:
    """What is measured of the channels while their mean is taken."""

    def __init__(self) -> None:
        self.peak = self.mean_peak = 0.0  # of any channel, and of their mean
        self._energies: Dict[int, List[np.ndarray]] = {}  # by the number of channels: of each, and of their mean

    def add(self, channels: np.ndarray, mean: np.ndarray, loudest: float) -> None:
        """Takes (samples, channels) float32 and their mean; what is beyond `loudest` is a damaged sample."""
        peak = max(float(channels.max(initial=0.0)), -float(channels.min(initial=0.0)))
        if not peak <= loudest:  # not a number, too
            channels = np.where(np.abs(channels) <= loudest, channels, np.float32(0))
            peak = float(np.abs(channels).max(initial=0.0))
        self.peak = max(self.peak, peak)
        self.mean_peak = max(self.mean_peak, float(np.abs(mean).max(initial=0.0)))
        count = channels.shape[1]
        if count > 1 and peak > 0:
            energies = self._energies.setdefault(count, np.zeros(count + 1))
            energies[:count] += np.einsum("sc,sc->c", channels, channels)
            energies[count] += np.einsum("s,s->", mean, mean)

    def mix(self, stream: Optional[int]) -> Mix:
        """How to take this stream."""
        found = ((count, _weights(values[:count], values[count])) for count, values in self._energies.items())
        return Mix(stream, {count: weights for count, weights in found if weights is not None})


def _weights(channels: np.ndarray, mean: float) -> Optional[Tuple[float, ...]]:
    """Weights of the channels, from their energies and that of their mean; None where the mean is right as it is."""
    count, loudest = len(channels), channels.max()
    if mean >= _ENOUGH * loudest:
        return None
    if mean < _CANCELLED * loudest / count ** 2:
        return tuple(float(k == channels.argmax()) for k in range(count))
    return (float(np.sqrt(loudest / mean)) / count,) * count
