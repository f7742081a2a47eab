# SPDX-License-Identifier: Apache-2.0
"""Reading clips: one sequential decode, ahead of its reader, by time stamps, as a player shows them, without the clip
in memory.

All times are seconds on the container's own clock, mended (`clock`). FFmpeg (through PyAV) decodes whatever container
and codec it knows; what it says on the way is kept off the terminal, and what it cannot read becomes a `MediaError`
with a reason.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.ahead import ahead
from mindface_eri.preprocess.clock import Clock
from mindface_eri.preprocess.container import open_media
from mindface_eri.preprocess.display import (
    PixelAspect,
    ToneMap,
    Turns,
    can_map,
    rotation_of,
    square_size,
    turn_of,
    wide_range,
)
from mindface_eri.preprocess.packets import joins_of, packets_of, reorder_depth
from mindface_eri.preprocess.picture import FrameCopies, Picture, fitted
from mindface_eri.preprocess.sound_choice import Listener, sound_tracks
from mindface_eri.preprocess.streams import choose_video, video_streams
from mindface_eri.preprocess.writer import write_video
from mindface_eri.threads import spare_core

__all__ = ["MediaInfo", "Picture", "frame_times", "open_media", "probe", "read_frames", "scan", "write_video"]


@dataclass(frozen=True)
class MediaInfo:
    """What a recording says about itself; width and height are those of the picture as it is shown."""

    duration: float  # seconds; 0 when nothing is known
    has_video: bool
    has_audio: bool
    width: int = 0
    height: int = 0
    fps: float = 0.0  # as the time stamps say; as the header does where there are none
    rotation: int = 0  # degrees counter-clockwise that bring the stored picture upright: 0, 90, 180 or 270
    frames: Optional[int] = None  # as counted by the container, if it does
    stream: Optional[int] = None  # number of the video stream that is taken
    note: str = ""  # what people should know of the choice, and of what is not shown as a player would
    clock: Optional[Clock] = field(default=None, repr=False, compare=False)  # of that stream


def sound_stream(container, number: Optional[int] = None):
    """The sound stream with this number, without one that which a player takes; None where there is none."""
    return next((stream for stream in sound_tracks(container) if number in (None, stream.index)), None)


def probe(path: os.PathLike) -> MediaInfo:
    """What `scan` finds, and the size and turn of the first picture.

    Raises:
        MediaError: see `open_media`.
    """
    info, _ = scan(path)
    if not info.has_video:
        return info
    with open_media(path) as container:
        video = container.streams[info.stream]
        first, rotation = next(decoded(container, video), None), 0
        width, height = square_size(video.width, video.height, video.sample_aspect_ratio)
        if first is not None:
            width, height = turn_of(first).size(width, height)
            rotation = rotation_of(first)
        return replace(info, width=width, height=height, rotation=rotation, frames=video.frames or None)


def read_frames(path: os.PathLike, info: Optional[MediaInfo] = None) -> Iterator[Tuple[float, Picture]]:
    """Every decodable frame in order of time: `(seconds, Picture)`, strictly increasing seconds.

    Frames whose size differs from the first one's are scaled to it, those of another form with black beside them.
    Packets that cannot be decoded are skipped. The same file gives the same frames, however damaged it is.

    Args:
        info: from `scan`, where it was called before; it spares another one.

    Raises:
        MediaError: the file cannot be opened, or not one frame of it can be decoded.
    """
    pictures = _read(path, None, info)
    return ahead(pictures) if spare_core() else pictures


def read_frames_and_sound(path: os.PathLike, hear: Callable,
                          info: Optional[MediaInfo] = None, sound: Optional[int] = None
                          ) -> Iterator[Tuple[float, Picture]]:
    """`read_frames`; `hear` receives the decoded frames of the sound track too, from the same pass over the file.

    Args:
        sound: number of the sound's stream; by default the one that a player takes.
    """
    return _read(path, hear, info, sound)


def _read(path: os.PathLike, hear: Optional[Callable], info: Optional[MediaInfo],
          number: Optional[int] = None) -> Iterator[Tuple[float, Picture]]:
    """Yields (seconds, picture) of the video's frames, and hands frames of the sound to `hear` as they come."""
    info = info or scan(path)[0]
    with open_media(path) as container:
        if info.stream is None:
            raise MediaError(f"{path}: there is no video stream")
        stream = container.streams[info.stream]
        sound = sound_stream(container, number) if hear is not None else None
        clock, pixels, turns = info.clock.reading(), PixelAspect(stream), Turns()
        size, copied, tone = None, FrameCopies(), None
        for frame in decoded(container, stream, sound):
            if not hasattr(frame, "width"):  # sound
                hear(frame)
                continue
            seconds, aspect = clock.next(frame.pts), pixels.of(frame)
            shape, picture = square_size(frame.width, frame.height, aspect), copied(frame)
            if size is None:
                size, tone = shape, ToneMap() if wide_range(picture) and can_map() else None
            yield seconds, Picture(fitted(picture, size, shape), turns.of(picture), tone)
        if size is None:
            raise MediaError(f"{path}: the video stream holds no frame that can be decoded")


def frame_times(path: os.PathLike) -> np.ndarray:
    """(frames,) float64 seconds: the times of all video frames, read from packets, without decoding any."""
    return scan(path)[1]


def scan(path: os.PathLike, listener: Optional[Listener] = None) -> Tuple[MediaInfo, np.ndarray]:
    """`MediaInfo` as far as it is known without decoding pictures (size as stored, rotation 0), and `frame_times`.

    Args:
        listener: receives the decoded frames of the sound tracks, so that one pass over the file serves both.
    """
    with open_media(path) as container:
        films, sound = video_streams(container), sound_stream(container)
        duration = max(float(container.duration or 0) / 1e6, 0.0)
        stamps = {film.index: [] for film in films}
        for packet in listen(container, listener, *films):
            if packet.size and not getattr(packet, "is_discard", False):
                stamps[packet.stream_index].append((packet.pts, packet.dts))
        info = MediaInfo(duration, bool(films), sound is not None)
        return _with_picture(info, container, films, stamps)


def _with_picture(info: MediaInfo, container, films: list, stamps: dict) -> Tuple[MediaInfo, np.ndarray]:
    """What is known of the chosen one of some video streams, and its times."""
    if not films:
        return info, np.zeros(0)
    clocks = [_clock(container, film, stamps[film.index]) for film in films]
    chosen, why = choose_video(films, [clock.times for clock in clocks])
    film, clock = films[chosen], clocks[chosen]
    wide = wide_range(film.codec_context)
    loss = f"{wide}: colours are not those of a player, which needs PyAV 17 or later" if wide and not can_map() else ""
    joined = [_join_words(joins_of(container), "picture and sound go on together"),
              _join_words(clock.joins, "the sound may part from the picture there")]
    return replace(info, width=film.width, height=film.height, fps=clock.fps, stream=film.index, clock=clock,
                   note="; ".join(filter(None, (why, loss, *joined)))), clock.times


def _join_words(count: int, so: str) -> str:
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    return f"the time stamps begin anew {times}, as in recordings joined end to end: {so}" if count else ""


def _clock(container, film, stamps: List[Tuple[Optional[int], Optional[int]]]) -> Clock:
    shown, decoding = zip(*stamps) if stamps else ((), ())
    reordered = film.codec_context.has_b_frames
    counted = reordered and container.format.name == "avi"  # it keeps no stamps of showing
    depth = reorder_depth(container.name, film.index) if counted else 0
    return Clock(shown, film.time_base, _rate(film), decoding if reordered else None, counted, depth)


def listen(container, listener: Optional[Listener], *others) -> Iterator:
    """Packets of other streams, while the sound is decoded for the listener, if there is one."""
    sounds = _ready(*listener.streams(container)) if listener is not None else []
    for packet in packets_of(container, *sounds, *others):
        if packet.stream not in sounds:
            yield packet
        elif listener.wants(packet.stream):
            listener.take(packet.stream, _frames_of(packet))
    for stream in sounds:
        listener.take(stream, _last_frames(stream))


def decoded(container, *streams) -> Iterator:
    """Decoded frames of streams (None counts as none), as they come; packets that cannot be decoded are skipped."""
    streams = _ready(*streams)
    for packet in packets_of(container, *streams):
        yield from _frames_of(packet)
    for stream in streams:
        yield from _last_frames(stream)


def _ready(*streams) -> list:
    """Those that are there, to be decoded by one thread each.

    Where a stream is damaged FFmpeg's frame threads read each other's half concealed pictures: others each time. Slice
    threads leave H.264 unconcealed, and no flag or error tells of all damage (VP8 of none).
    """
    there = [stream for stream in streams if stream is not None]
    for stream in there:
        stream.codec_context.thread_count = 1
    return there


def _frames_of(packet) -> list:
    import av

    try:
        return packet.decode()
    except (av.FFmpegError, EOFError):
        return []


def _last_frames(stream) -> Iterator:
    """What a decoder still holds where reading ended in an error."""
    import av

    if stream is not None:
        with suppress(av.FFmpegError, EOFError):
            yield from stream.codec_context.decode(None)


def _rate(stream) -> float:
    for rate in (stream.average_rate, getattr(stream, "guessed_rate", None), getattr(stream, "base_rate", None)):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 0.0
