# SPDX-License-Identifier: Apache-2.0
"""What a camera showed lately: kept by the server, and by a worker process that looks at each picture once."""

from __future__ import annotations

import struct
from collections import deque
from typing import Deque, List, NamedTuple, Optional, Tuple

from mindface_eri.datasets.build.workers import Reply
from mindface_eri.prediction.extraction import Taken, reason_of
from mindface_eri.prediction.jobs import Job
from mindface_eri.preprocess.rolling import RollingClip, Sound
from mindface_eri.serve.decoding import Settings, give_back, hold_memory, make_ready

SECONDS, HOP = 12.0, 1.0  # in the middle of what the network is trained on; from one answer to the next
LEAST = 2.0  # seconds that have to be there before the first answer
_MOST_PICTURES = 512  # of a window: 42 a second
_MOST_BYTES = 48_000_000
_RATES = (8000, 48000)
_MOST_SIDE = 1280
_HEAD = struct.Struct("<cd")  # b"P" or b"S", milliseconds of the sender's clock; then a JPEG, or samples of 16 bits


class Opening(NamedTuple):
    """What a camera says first."""

    width: int
    height: int
    sample_rate: int  # 0 without a microphone

    @classmethod
    def of(cls, given: object) -> Opening:
        """Of a client's JSON; a `ValueError` where it cannot be."""
        if not isinstance(given, dict):
            raise ValueError("the first message is JSON: width, height, sample_rate")
        width, height, rate = (given.get(name) for name in cls._fields)
        sides = all(isinstance(side, int) and 32 <= side <= _MOST_SIDE for side in (width, height))
        if not sides or not isinstance(rate, int) or not (rate == 0 or _RATES[0] <= rate <= _RATES[1]):
            raise ValueError(f"width and height must be 32 to {_MOST_SIDE} pixels, sample_rate {_RATES[0]} to "
                             f"{_RATES[1]}, or 0 without sound")
        return cls(width, height, rate)


class Window:
    """The last `SECONDS` of one camera, at most so many pictures and bytes."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._pictures: Deque[Tuple[float, bytes]] = deque()
        self._sound: Deque[bytes] = deque()
        self._sound_start: Optional[float] = None  # second of the first sample kept
        self._samples = self._bytes = 0
        self._looked = -1.0  # second of the newest picture of the last look

    def add(self, message: bytes) -> None:
        """Takes a picture or a piece of sound; a `ValueError` where it is neither."""
        if len(message) <= _HEAD.size:
            raise ValueError("a message is P or S, eight bytes of time, and a JPEG or samples")
        kind, milliseconds = _HEAD.unpack_from(message)
        seconds, data = milliseconds / 1000, message[_HEAD.size:]
        if not 0 <= seconds < 1e9:
            raise ValueError("the time must be milliseconds from 0 on")
        if kind == b"P":
            if self._pictures and seconds <= self._pictures[-1][0]:
                return  # stamps grow
            self._pictures.append((seconds, data))
            self._bytes += len(data)
        elif kind == b"S" and self._opening.sample_rate and len(data) % 2 == 0:
            self._add_sound(seconds, data)
        else:
            raise ValueError("a message begins with P for a picture, or S for sound where its rate was said")
        self._forget()

    def _add_sound(self, seconds: float, data: bytes) -> None:
        """Sound goes on without holes; where much is missing it begins anew."""
        rate = self._opening.sample_rate
        if self._sound_start is not None and abs(self._sound_start + self._samples / rate - seconds) > 1.0:
            self._sound.clear()
            self._sound_start, self._samples = None, 0
        if self._sound_start is None:
            self._sound_start = seconds
        self._sound.append(data)
        self._samples += len(data) // 2

    def _forget(self) -> None:
        while self._pictures and (self._pictures[-1][0] - self._pictures[0][0] > SECONDS
                                  or len(self._pictures) > _MOST_PICTURES or self._bytes > _MOST_BYTES):
            self._bytes -= len(self._pictures.popleft()[1])
        rate = self._opening.sample_rate
        while len(self._sound) > 1 and self._samples - len(self._sound[0]) // 2 > (SECONDS + 1) * rate:
            gone = len(self._sound.popleft()) // 2
            self._samples -= gone
            self._sound_start += gone / rate

    @property
    def newest(self) -> float:
        """Second of the last picture; -1 before the first."""
        return self._pictures[-1][0] if self._pictures else -1.0

    @property
    def seconds(self) -> float:
        """How much there is."""
        return self.newest - self._pictures[0][0] if self._pictures else 0.0

    def look(self, anew: bool = False) -> Look:
        """What came since the last look, with all of the sound that there is; all, if `anew`."""
        since = -1.0 if anew else self._looked
        self._looked = self.newest
        pictures = [picture for picture in self._pictures if picture[0] > since]
        sound = Sound(self._opening.sample_rate, self._sound_start or 0.0, b"".join(self._sound))
        return Look((self._opening.width, self._opening.height), since, self.newest, pictures, sound)


class Look(NamedTuple):
    """A task of a camera's worker process."""

    size: Tuple[int, int]
    since: float  # second of the newest picture that the process has; negative: it begins anew
    newest: float  # of these
    pictures: List[Tuple[float, bytes]]
    sound: Sound


LOST = "lost"  # code of the reply where the process is not the one that has the pictures before these


class _Film:
    """What this process has of its camera."""

    rolling: Optional[RollingClip] = None
    newest = -1.0


def run_window(settings: Settings, look: Optional[Look]) -> Reply:
    """What a worker does: ("done", "", Taken), as of a film of the last `SECONDS`, or ("failed", code, reason).

    None makes the process ready, and lets it forget what it saw.
    """
    hold_memory(settings.bounds.gigabytes)
    if look is None:
        _Film.rolling = None
        make_ready()
        return "done", "", None
    give_back()
    if look.since < 0:
        _Film.rolling, _Film.newest = RollingClip(settings.preprocess, look.size, SECONDS), look.since
    rolling = _Film.rolling
    if rolling is None or _Film.newest != look.since:
        return "failed", LOST, "the pictures before these are not here"
    _Film.rolling = None  # whatever goes wrong, it begins anew
    try:
        rolling.add(look.pictures)
        clip = rolling.clip(look.sound)
    except Exception as error:
        return "failed", "unusable", reason_of(Job("live"), error).removeprefix("live: ")
    _Film.rolling, _Film.newest = rolling, look.newest
    return "done", "", Taken(clip)
