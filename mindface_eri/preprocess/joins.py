# SPDX-License-Identifier: Apache-2.0
"""Recordings joined end to end: where the stamps of a file's streams begin anew together, and one shift for all there.

Transport and program streams can be joined byte by byte; each recording then brings its own clock. What follows a join
is moved by one shift, picture and sound alike, so that both go on together as they were recorded: just as far that no
stream overlaps its own end. One stream alone whose stamps go back is no join, but a fault of its clock.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from mindface_eri.preprocess.stamps import LONGEST, NEAR, begin_anew, usual_step

_BACK = 0.5  # seconds by which all streams go back at least; what is less may be an overlap of one of them
_END = 16  # stamps at an end of a part, of which odd ones are not believed


class Stamps(NamedTuple):
    """Of all packets of one stream, in the file's order."""

    shown: np.ndarray  # (n,) seconds; nan where there is none
    decoded: np.ndarray  # (n,) seconds, of decoding
    places: np.ndarray  # (n,) where in the file each begins, bytes; not decreasing


class Join(NamedTuple):
    """From this place in the file on, stamps are so many seconds too early."""

    place: int
    shift: float


def find_joins(streams: Dict[int, Stamps]) -> Tuple[Join, ...]:
    """The joins of a file, in its order."""
    streams = {key: stream for key, stream in streams.items() if np.isfinite(stream.decoded).any()}
    joins: List[Join] = []
    for place in _joined(streams):
        joins.append(Join(place, _shift(streams, joins, place)))
    return tuple(joins)


def _joined(streams: Dict[int, Stamps]) -> List[int]:
    """Places in the file from which on the clock of all streams is another."""
    jumps = [(int(stream.places[i]), key, i) for key, stream in streams.items()
             for i in begin_anew(stream.decoded, 0, _BACK)]
    places: List[int] = []
    done = set()
    for place, key, i in sorted(jumps):
        if (key, i) in done:
            continue
        begins = {other: int(np.searchsorted(stream.places, place)) for other, stream in streams.items()}
        done |= set(begins.items())
        if all(_follows(streams[other], begin, streams[key], i) for other, begin in begins.items() if other != key):
            places.append(place)
    return places


def _follows(other: Stamps, begin: int, stream: Stamps, i: int) -> bool:
    """Whether another stream's clock is a new one, too, from its packet `begin` on."""
    if not 0 < begin < len(other.decoded):
        return True  # it says nothing
    before, after = other.decoded[begin - 1], other.decoded[begin]
    jump = stream.decoded[i] - stream.decoded[i - 1]
    return after < before or (jump < -NEAR or jump > LONGEST) and abs(after - stream.decoded[i]) < NEAR


def _shift(streams: Dict[int, Stamps], joins: List[Join], place: int) -> float:
    """Seconds by which the stamps from `place` on must be moved; all joins before it are known."""
    known = [-1, *(join.place for join in joins)]
    shifts = [0.0, *(join.shift for join in joins)]
    needed = []
    for stream in streams.values():
        part = np.searchsorted(known, stream.places, side="right") - 1
        before, after = stream.places < place, stream.places >= place
        ends = _believed((stream.shown + np.array(shifts)[part])[before][-_END:])
        begins = _believed(stream.shown[after][:_END])
        if len(ends) and len(begins):
            needed.append(ends[-1] + usual_step(ends, 0.04) - begins[0])
    return float(max(needed, default=0.0))


def _believed(shown: np.ndarray) -> np.ndarray:
    """Some neighbouring stamps in the order of showing, without odd ones."""
    shown = np.sort(shown[np.isfinite(shown)])
    return shown[np.abs(shown - np.median(shown)) < NEAR] if len(shown) else shown
