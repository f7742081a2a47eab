# SPDX-License-Identifier: Apache-2.0
"""The sound's clock: where each decoded frame belongs, by its time stamp.

1. Stamps win: a frame lies where its stamp says, counted from the first one. What is missing before it is silence,
   what it overlaps is replaced by it.
2. A frame that lies at most `_JITTER` from the end of the one before it follows that one: containers round stamps.
3. A stamp more than `NEAR` away counts where most of the next stamps go on from it, however long the gap is; otherwise
   it is damaged, and its frame follows the one before it. So does one without a stamp, or with that of the one before
   where the next one leaves room for both.
4. Where the stamps go back by more than that for good, or ahead by more than `LONGEST`, a new clock begins: the sound
   goes on from there.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Iterator, List, NamedTuple, Optional

from mindface_eri.preprocess.stamps import LONGEST, NEAR

_JITTER = 0.015  # seconds; what is left between sound and picture stays well under the 20 ms that people may notice
_ROUNDING = 0.002  # seconds; so little after a jump, as recordings that overlap may lie packet beside packet
_NEXT = 4  # stamps that are asked about one that is far away


class Placed(NamedTuple):
    """A frame, the second where it begins, and whether it follows the one before it without a gap or an overlap."""

    frame: Any
    begin: float
    follows: bool


class _Heard(NamedTuple):
    frame: Any
    stamp: Optional[float]
    seconds: float
    doubled: bool  # the frame before has the same stamp


class SoundClock:
    """Places frames one after the other; a few are held back, as stamps are judged by those that come next."""

    def __init__(self) -> None:
        self.start: Optional[float] = None  # seconds on the container's clock; known with the first placed frame
        self._waiting: deque = deque()
        self._last: Optional[float] = None  # stamp
        self._jumped = False  # whether the last placed frame lies away from the one before it
        self._end = 0.0  # seconds: where the last placed frame ends
        self._shift = 0.0  # what a new clock's stamps lack

    def add(self, frame: Any, stamp: Optional[float], seconds: float) -> List[Placed]:
        """Takes the next frame, its stamp (None: it has none) and its length; gives those that can be placed now."""
        self._waiting.append(_Heard(frame, stamp, seconds, stamp is not None and stamp == self._last))
        self._last = stamp
        return list(self._place(_NEXT))

    def flush(self) -> List[Placed]:
        """Places the rest."""
        return list(self._place(0))

    def _place(self, ahead: int) -> Iterator[Placed]:
        """The packets whose place is certain once `ahead` later ones are known."""
        while self._waiting:
            jump = self._jump() if self.start is not None else None
            if len(self._waiting) <= ahead and (jump is None or abs(jump) > NEAR or self._waiting[0].doubled):
                return  # more must be known first
            if jump is None:
                self.start = self._end = self._begin()
                jump = self._jump()
            if abs(jump) > NEAR:
                jump = self._judged(jump)
            heard = self._waiting.popleft()
            begin, self._jumped = self._end + jump, bool(jump)
            self._end = begin + heard.seconds
            yield Placed(heard.frame, begin, not jump)

    def _jump(self) -> float:
        """Seconds from where the next frame would follow to where its stamp says; 0 where these are as good as one."""
        heard = self._waiting[0]
        if heard.stamp is None or heard.doubled and not self._overlaps():
            return 0.0
        jump = heard.stamp + self._shift - self._end
        return jump if abs(jump) > (_ROUNDING if self._jumped else _JITTER) else 0.0

    def _overlaps(self) -> bool:
        """Of a frame with the stamp of the one before it: whether the next stamp has no room for both."""
        heard = self._waiting[0]
        later = next((other.stamp for other in self._waiting if other.stamp not in (None, heard.stamp)), None)
        return later is not None and later < heard.stamp + 1.5 * heard.seconds

    def _judged(self, jump: float) -> float:
        later = self._later(self._end)
        if 2 * sum(abs(other - jump) < abs(other) for other in later) <= len(later):
            return 0.0
        if 0 < jump <= LONGEST:
            return jump
        self._shift -= jump
        return 0.0

    def _begin(self) -> float:
        """Where the track begins: where its first frame says, unless those that come next say that this cannot be."""
        stamp = self._waiting[0].stamp
        later = sorted(self._later(stamp or 0.0))
        if later and (stamp is None or later[len(later) // 2] > LONGEST):
            return (stamp or 0.0) + later[0]
        if len(later) > 1 and later[1] < -_JITTER:  # two of them are earlier: one alone may be damaged
            return stamp + later[1]
        return stamp or 0.0

    def _later(self, end: float) -> List[float]:
        """Of the frames after the next one, how far each stamp is from where it would be if all followed from `end`."""
        found = []
        for k, heard in enumerate(self._waiting):
            if k and heard.stamp is not None and not heard.doubled:
                found.append(heard.stamp + self._shift - end)
            end += heard.seconds
        return found
