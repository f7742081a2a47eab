# SPDX-License-Identifier: Apache-2.0
"""Packets of a recording, with stamps that count on where those of the file begin anew for all of its streams.

Stamps of transport and program streams have 33 bits: after 26.5 hours they begin at zero, picture by picture and not in
the order of showing. That is undone here, and recordings joined end to end get one shift for all streams (`joins`).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress
from functools import lru_cache
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from mindface_eri.preprocess.container import open_media
from mindface_eri.preprocess.joins import Join, Stamps, find_joins
from mindface_eri.preprocess.stamps import REORDER

_MAX_FAILURES = 20  # read errors in a row after which a file counts as ended
_COUNTED = ("mpegts", "mpeg")  # containers whose clock wraps, and which can be joined byte by byte
_TURN = 1 << 33  # ticks after which it is at zero again
_CLOSE = 60.0  # seconds between stamps that a turn lies between


class _Layout(NamedTuple):
    """What all stamps of a file tell together."""

    first: Optional[int] = None  # the first packet's stamp
    joins: Tuple[Join, ...] = ()


def packets_of(container, *streams) -> Iterator:
    """Packets of some streams until the end of the file or of what can be read of it; damaged stretches are skipped."""
    layout = _layout_of(container)
    if layout is None:
        yield from _stored(container, *streams)
        return
    count = _Count(layout)
    for packet in _stored(container, *streams):
        if packet.size:
            packet.pts, packet.dts = count.on(packet)
        yield packet


def joins_of(container) -> int:
    """How many recordings were joined to the first of an open file, whose stamps `packets_of` lets go on."""
    layout = _layout_of(container)
    return len(layout.joins) if layout is not None else 0


def reorder_depth(path: os.PathLike, number: int) -> int:
    """How many packets of a video stream a decoder takes before it shows the first picture."""
    import av

    with open_media(path) as container:
        stream = container.streams[number]
        stream.codec_context.thread_count = 1
        packets = (packet for packet in _stored(container, stream) if packet.size)
        for depth, packet in zip(range(REORDER + 1), packets):
            with suppress(av.FFmpegError):
                if packet.decode():
                    return depth
    return 0


def _layout_of(container) -> Optional[_Layout]:
    """What is known of an open file's clock; None where its stamps are taken as they are."""
    if container.format.name not in _COUNTED:
        return None
    try:
        found = os.stat(container.name)
    except (OSError, ValueError):
        return None
    return _read_layout(container.name, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _read_layout(path: str, size: int, changed: int) -> _Layout:
    """Of the file at `path` as it is now; `size` and `changed` tell it from what it was."""
    del size, changed
    with open_media(path) as container:
        streams = [stream for stream in container.streams if stream.type in ("audio", "video")]
        told: Dict[int, List[Tuple[float, float, float]]] = {stream.index: [] for stream in streams}
        count = _Count(_Layout())
        for packet in _stored(container, *streams):
            if packet.size:
                (shown, decoded), base = count.on(packet), packet.time_base
                told[packet.stream_index].append((_seconds(shown, base), _seconds(decoded, base), count.place))
    stamps = {}
    for index, rows in told.items():
        shown, decoded, places = np.array(rows).reshape(-1, 3).T
        shown = np.where(np.isfinite(shown), shown, decoded)
        stamps[index] = Stamps(shown, np.where(np.isfinite(decoded), decoded, shown), np.maximum.accumulate(places))
    return _Layout(count.first, find_joins(stamps))


def _seconds(stamp: Optional[int], base) -> float:
    return float("nan") if stamp is None or base is None else stamp * base.numerator / base.denominator


class _Count:
    """Counts on the stamps of a file's packets while they are read."""

    def __init__(self, layout: _Layout) -> None:
        self.first = self._last = layout.first
        self.place = 0  # of the newest packet in the file, bytes
        self._places = [join.place for join in layout.joins]
        self._shifts = [0.0, *(join.shift for join in layout.joins)]
        self._seen: Dict[int, int] = {}  # of each stream, the place of its newest packet

    def on(self, packet) -> Tuple[Optional[int], Optional[int]]:
        """Stamps of showing and of decoding of the next packet, in its time base."""
        place = packet.pos
        self.place = self._seen.get(packet.stream_index, 0) if place is None or place < 0 else place
        self._seen[packet.stream_index] = self.place
        base = packet.time_base
        decoded = self._unwrapped(packet.dts, self._last, base)
        shown = self._unwrapped(packet.pts, self._last if decoded is None else decoded, base)
        newest = shown if decoded is None else decoded
        self._last = self._last if newest is None else newest
        self.first = newest if self.first is None else self.first
        shift = self._shifts[bisect_right(self._places, self.place)]
        ticks = round(shift / base) if shift else 0
        return tuple(None if stamp is None else stamp + ticks for stamp in (shown, decoded))

    @staticmethod
    def _unwrapped(stamp: Optional[int], near: Optional[int], base) -> Optional[int]:
        """The stamp with as many turns of the clock as bring it close to another, where that is close."""
        if stamp is None or near is None:
            return stamp
        counted = stamp + round((near - stamp) / _TURN) * _TURN
        return counted if abs(counted - near) * base.numerator < _CLOSE * base.denominator else stamp  # no fractions


def _stored(container, *streams) -> Iterator:
    """Packets as they lie in the file."""
    import av

    if not streams:  # FFmpeg would give those of all
        return
    packets, failures = container.demux(*streams), 0
    while failures < _MAX_FAILURES:
        try:
            packet = next(packets, None)
        except EOFError:
            return
        except (av.FFmpegError, IndexError):  # IndexError: PyAV meets a stream that the header did not announce
            packets, failures = container.demux(*streams), failures + 1
            continue
        if packet is None:
            return
        failures = 0
        yield packet
