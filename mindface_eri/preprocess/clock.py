# SPDX-License-Identifier: Apache-2.0
"""The picture's clock: the seconds of all pictures of a stream, from all time stamps of its packets.

Stamps win, and an odd one moves nothing but itself:

1. A stamp is right where it agrees with the order of the packets: the longest chain of stamps that increase through the
   file, and those beside it that a codec's reordering of pictures explains. Gaps between right stamps are kept,
   however long.
2. A picture whose stamp is missing, doubled or not right lies one usual step (the median) after the one before it, or
   evenly before the next one where that is nearer. The last picture is one of them if it alone comes after a gap of
   more than a second and more than ten times as long as any other.
3. Where the stamps begin anew for good (back by more than two seconds, or ahead by more than a day: recordings joined
   end to end) they go on a step after the last one. Of transport and program streams, where the sound's stamps do so,
   too, `packets` has brought them onto one clock before.
4. `fps` is the mean of the usual steps; what a header says counts where it agrees (1%), which is then exact, or where
   there are no stamps.
5. Decoded pictures are looked up by their stamps, so that they come at just the instants that were foreseen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.preprocess.stamps import REORDER, mended, usual_step

_ROUNDING = 0.002  # seconds that it takes from or adds to a usual step


class Clock:
    """Seconds of all pictures of one stream, strictly increasing; `joins` says how often their stamps begin anew."""

    def __init__(self, stamps: Sequence[Optional[int]], base, rate: float = 0.0,
                 decoding: Optional[Sequence[Optional[int]]] = None, counted: bool = False, depth: int = 0) -> None:
        """
        Args:
            stamps: of all packets in the file's order; None where there is none.
            base: the stamps' unit in seconds.
            rate: frames a second as the header says; 0 where it does not.
            decoding: the packets' decoding stamps, where the codec may store pictures in another order than they are
                shown in; None where it does not.
            counted: whether the container keeps no stamps of showing (AVI): which of some neighbouring stamps belongs
                to which picture is then known only when they are decoded, one after the other.
            depth: of pictures that are counted, how many packets a decoder takes before it shows the first one. By so
                many the stamps run ahead, which shows where the recording pauses.
        """
        known, order = _seconds(stamps, base), None if decoding is None else _seconds(decoding, base)
        self.step = usual_step(known if order is None or not np.isfinite(order).any() else order, 1.0 / (rate or 25.0))
        placed, self.joins = mended(known, self.step, order)  # in the file's order
        if counted and 0 < depth < len(placed) and _pauses(order, self.step):
            placed = _held(order, depth, self.step) + placed.min()
        self.times, self.counted = np.sort(placed), counted
        self.fps = _rate_of(np.diff(self.times), rate)
        self._places: Dict[int, List[float]] = {}  # of each stamp, where they are not what it says
        if placed is not known:
            for stamp, seconds in zip(stamps, placed.tolist()):
                self._places.setdefault(stamp, []).append(seconds)
        self._base = base

    def places(self, stamp: Optional[int]) -> Sequence[float]:
        """Seconds of the pictures that carry this stamp, in the file's order; none where it is not known."""
        if stamp is None or self._base is None:
            return ()
        return self._places.get(stamp, ()) if self._places else (stamp * self._base.numerator / self._base.denominator,)

    def reading(self) -> Reading:
        """The clock of one pass over the decoded pictures."""
        return Reading(self)


class Reading:
    """Gives decoded pictures their seconds, one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last = clock, -np.inf

    def next(self, stamp: Optional[int]) -> float:
        """Seconds of the next picture, which carries this stamp."""
        places = self._clock.places(stamp)
        if self._clock.counted:
            beyond = bisect_right(self._clock.times, self._last) + REORDER
            places = [place for place in places if bisect_left(self._clock.times, place) > beyond]  # some were lost
        seconds = next((place for place in places if place > self._last), None)
        if seconds is None:
            seconds = self._following()
            if places:  # shown later than it says: it takes nobody's place
                seconds = (self._last + seconds) / 2
        self._last = seconds
        return seconds

    def _following(self) -> float:
        times = self._clock.times
        following = bisect_right(times, self._last)
        if following < len(times):
            return float(times[following])
        return self._last + self._clock.step if np.isfinite(self._last) else 0.0


def _seconds(stamps: Sequence[Optional[int]], base) -> np.ndarray:
    known = np.array([np.nan if s is None or base is None else s for s in stamps], np.float64)
    return known if base is None else known * base.numerator / base.denominator


def _pauses(order: np.ndarray, step: float) -> bool:
    """Whether stamps of decoding are all there, increase, and have gaps."""
    steps = np.diff(order)
    return bool((steps > 0).all() and (steps > 1.5 * step).any())  # not where one is nan


def _held(order: np.ndarray, depth: int, step: float) -> np.ndarray:
    """(n,) seconds after the first picture at which the n are shown: each as many packets later than it is stored."""
    later = np.concatenate([order[depth:], order[-1] + step * np.arange(1, depth + 1)])
    return later - later[0]


def _rate_of(steps: np.ndarray, rate: float) -> float:
    if len(steps) == 0:
        return rate
    middle = float(np.median(steps))
    usual = steps[np.abs(steps - middle) <= _ROUNDING]
    found = 1.0 / float(usual.mean() if len(usual) else middle)
    return rate if abs(found - rate) <= 0.01 * rate else found
