# SPDX-License-Identifier: Apache-2.0
"""The picture's clock: seconds from the time stamps of packets or frames, odd ones mended."""

from __future__ import annotations

from typing import Optional

_MAX_GAP = 60.0  # seconds between two frames; a longer jump is a damaged time stamp


class Clock:
    """Time stamps made strictly increasing; missing and damaged ones are replaced by the frame rate's step."""

    def __init__(self, rate: float) -> None:
        self._step = 1.0 / (rate or 25.0)
        self._last: Optional[float] = None
        self._shift = 0.0

    def next(self, stamp: Optional[int], base) -> float:
        """Seconds of the next frame; `base` is the stamp's unit in seconds."""
        expected = self._last + self._step if self._last is not None else 0.0
        if stamp is None or base is None:
            seconds = expected
        else:
            seconds = float(stamp * base) + self._shift
            if self._last is not None and not self._last < seconds <= self._last + _MAX_GAP:
                if seconds > self._last or self._last - seconds > _MAX_GAP:
                    self._shift += expected - seconds  # the clock jumped: go on from here
                seconds = expected
        self._last = seconds
        return seconds
