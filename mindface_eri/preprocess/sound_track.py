# SPDX-License-Identifier: Apache-2.0
"""Decoded frames of one sound track become mono samples at one rate, each at the place that its time stamp says."""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from mindface_eri.preprocess.downmix import Levels, Mix
from mindface_eri.preprocess.sound_clock import Placed, SoundClock

_LOUDEST = 1000.0  # of full scale; what is beyond is no sound but a damaged sample
_HELD = 2  # seconds that are held back, as later frames may overlap them


class SoundTrack:
    """Collects frames; `take` gives what is final, so that any length passes through little memory."""

    def __init__(self, sample_rate: int, mix: Optional[Mix] = None) -> None:
        """
        Args:
            mix: how channels become one; without it their mean, while `levels` measures them.
        """
        self._rate, self._mix = sample_rate, mix or Mix()
        self.levels = Levels() if mix is None else None
        self._clock, self._canvas = SoundClock(), _Canvas(_HELD * sample_rate)
        self._resampler = None
        self._kind = None
        self._cursor = 0  # where the resampler's next sample belongs

    @property
    def start(self) -> Optional[float]:
        """Seconds on the container's clock where the first sample belongs; known once `take` gives one."""
        return self._clock.start

    def add(self, frame) -> None:
        """Takes the next decoded frame of the track."""
        seconds = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None
        for placed in self._clock.add(frame, seconds, frame.samples / max(frame.sample_rate, 1)):
            self._place(placed)

    def drain(self) -> None:
        """Ends the track, so that its last samples are there."""
        for placed in self._clock.flush():
            self._place(placed)
        self._end_run()
        self._canvas.release()

    def take(self) -> List[np.ndarray]:
        """(samples,) float32 each: what has become final since the last time. Long silence takes no memory."""
        pieces, self._canvas.pieces = self._canvas.pieces, []
        return pieces

    def _place(self, placed: Placed) -> None:
        """Resamples a frame to where its stamp says, anew wherever it does not follow the one before."""
        import av

        frame = placed.frame
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if not placed.follows or kind != self._kind:
            self._end_run()
            if not placed.follows:
                self._cursor = round((placed.begin - self._clock.start) * self._rate)
            # Packed samples: PyAV reads beyond a planar frame of more than eight channels.
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=self._rate)
            self._kind = kind
        frame.pts = None
        self._keep(self._resampler.resample(frame))

    def _end_run(self) -> None:
        """Gets out of the resampler what it still holds, before it goes on elsewhere."""
        if self._resampler is not None:
            self._keep(self._resampler.resample(None))
            self._resampler = self._kind = None

    def _keep(self, frames) -> None:
        for frame in frames:
            channels = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)  # (samples, channels)
            piece = self._mix(channels)
            piece[~(np.abs(piece) <= _LOUDEST)] = 0.0  # not a number, too
            if self.levels is not None:
                self.levels.add(channels, piece, _LOUDEST)
            self._canvas.write(self._cursor, piece)
            self._cursor += len(piece)


class _Canvas:
    """Samples written at any place not long ago; those before are final and lie in `pieces`."""

    def __init__(self, held: int) -> None:
        self.pieces: List[np.ndarray] = []
        self._held = held  # samples that may still be overwritten
        self._room = np.zeros(3 * held, np.float32)
        self._first = self._end = 0  # places of the first sample in the room, and after the last one

    def write(self, place: int, samples: np.ndarray) -> None:
        """Puts samples down; what lies there is replaced, what nobody writes is silence."""
        while len(samples) > self._held:
            self.write(place, samples[:self._held])
            place, samples = place + self._held, samples[self._held:]
        samples = samples[max(self._first - place, 0):]
        place = max(place, self._first)
        if place + len(samples) > self._first + len(self._room):
            self.release(self._held)
            silence = place - self._held - self._end
            if silence > 0:  # a gap that the room does not hold
                self.release()
                self.pieces.append(np.broadcast_to(np.float32(0), silence))
                self._first = self._end = place - self._held
        at = place - self._first
        self._room[at:at + len(samples)] = samples
        self._end = max(self._end, place + len(samples))

    def release(self, held: int = 0) -> None:
        """Makes all but the last `held` samples final."""
        count = max(self._end - self._first - held, 0)
        if count:
            self.pieces.append(self._room[:count].copy())
            rest = self._end - self._first - count
            self._room[:rest] = self._room[count:count + rest]
            self._room[rest:] = 0.0
            self._first += count
