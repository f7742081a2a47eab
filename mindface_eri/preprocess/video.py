# SPDX-License-Identifier: Apache-2.0
"""Reading clips: one sequential decode, ahead of its reader, by time stamps, upright, without the clip in memory.

All times are seconds on the container's own clock. FFmpeg (through PyAV) decodes whatever container and codec it knows;
what it says on the way is kept off the terminal, and what it cannot read becomes a `MediaError` with a reason. Pixels
are taken as square, whatever aspect ratio a container declares for them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.preprocess.ahead import ahead
from mindface_eri.preprocess.clock import Clock
from mindface_eri.preprocess.picture import FrameCopies, Picture
from mindface_eri.preprocess.writer import write_video
from mindface_eri.threads import spare_core

__all__ = ["MediaInfo", "Picture", "frame_times", "open_media", "probe", "read_frames", "scan", "write_video"]

_STILL = ("image2", "gif_pipe", "tty", "hls", "concat", "lavfi")  # demuxers of pictures, text and play lists, not clips
_MAX_SIDE = 16384  # pixels; damaged headers claim more than any camera gives
_ATTACHED_PICTURE = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC
_MAX_FAILURES = 20  # read errors in a row after which a file counts as ended


@dataclass(frozen=True)
class MediaInfo:
    """What a container says about itself; width and height are those of the upright picture."""

    duration: float  # seconds; 0 when nothing is known
    has_video: bool
    has_audio: bool
    width: int = 0
    height: int = 0
    fps: float = 0.0
    rotation: int = 0  # degrees counter-clockwise that bring the stored picture upright: 0, 90, 180 or 270
    frames: Optional[int] = None  # as counted by the container, if it does


@contextmanager
def open_media(path: os.PathLike):
    """An open PyAV input container.

    Raises:
        MediaError: the file is missing, empty, a picture or text, or no container that FFmpeg knows; also when reading
            fails inside the `with` block.
        MissingDependencyError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingDependencyError("reading clips needs PyAV: pip install av") from None
    if not os.path.isfile(path):
        raise MediaError(f"{path}: no such file")
    if os.path.getsize(path) == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); fetch or record it again")
    try:
        with av.open(os.fspath(path), options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
            name = container.format.name
            if name.endswith("_pipe") or any(part in _STILL for part in name.split(",")):
                raise MediaError(f"{path}: a single picture, text or play list ({name}), not a clip")
            yield container
    except MediaError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: cannot be read as video or sound ({reason})") from None


def video_stream(container):
    """The first real video stream, or None; cover art is not video."""
    for stream in container.streams.video:
        # `value`, as PyAV up to 15 has flags here that are no integers.
        attached = getattr(getattr(stream, "disposition", None), "value", 0) & _ATTACHED_PICTURE
        context = stream.codec_context  # None where FFmpeg has no decoder for what the header names
        if not attached and context and 0 < context.width <= _MAX_SIDE and 0 < context.height <= _MAX_SIDE:
            return stream
    return None


def sound_stream(container):
    """The first sound track that FFmpeg can decode, or None."""
    return next((s for s in container.streams.audio if getattr(s.codec_context, "sample_rate", 0)), None)


def probe(path: os.PathLike) -> MediaInfo:
    """What the container says, from its header and first frame.

    Raises:
        MediaError: see `open_media`.
    """
    with open_media(path) as container:
        video = video_stream(container)
        duration = float(container.duration or 0) / 1e6
        has_audio = sound_stream(container) is not None
        if video is None:
            return MediaInfo(max(duration, 0.0), False, has_audio)
        rotation, width, height = 0, video.width, video.height
        first = next(decoded(container, video), None)
        if first is not None:
            rotation = _rotation(first)
        if rotation % 180:
            width, height = height, width
        return MediaInfo(max(duration, 0.0), True, has_audio, width, height, _rate(video), rotation,
                         video.frames or None)


def read_frames(path: os.PathLike) -> Iterator[Tuple[float, Picture]]:
    """Every decodable frame in order of time: `(seconds, Picture)`, strictly increasing seconds.

    Frames whose size differs from the first one's are scaled to it. Packets that cannot be decoded are skipped.
    The same file gives the same frames, however damaged it is.

    Raises:
        MediaError: the file cannot be opened, or not one frame of it can be decoded.
    """
    pictures = _read(path, None)
    return ahead(pictures) if spare_core() else pictures


def read_frames_and_sound(path: os.PathLike, hear: Callable) -> Iterator[Tuple[float, Picture]]:
    """`read_frames`; `hear` receives the decoded frames of the sound track too, from the same pass over the file."""
    return _read(path, hear)


def _read(path: os.PathLike, hear: Optional[Callable]) -> Iterator[Tuple[float, Picture]]:
    with open_media(path) as container:
        stream, sound = video_stream(container), sound_stream(container) if hear is not None else None
        if stream is None:
            raise MediaError(f"{path}: there is no video stream")
        clock = Clock(_rate(stream))
        size, copied = None, FrameCopies()
        for frame in decoded(container, stream, sound):
            if not hasattr(frame, "width"):  # sound
                hear(frame)
                continue
            seconds, rotation = clock.next(frame.pts, frame.time_base or stream.time_base), _rotation(frame)
            frame = copied(frame)
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                frame = frame.reformat(width=size[0], height=size[1])
            yield seconds, Picture(frame, rotation)
        if size is None:
            raise MediaError(f"{path}: the video stream holds no frame that can be decoded")


def frame_times(path: os.PathLike) -> np.ndarray:
    """(frames,) float64 seconds: the times of all video frames, read from packets, without decoding any."""
    return scan(path)[1]


def scan(path: os.PathLike, hear: Optional[Callable] = None) -> Tuple[MediaInfo, np.ndarray]:
    """`MediaInfo` as far as it is known without decoding pictures (size as stored, rotation 0), and `frame_times`.

    Args:
        hear: receives each decoded frame of the sound track, so that one pass over the file serves both.
    """
    with open_media(path) as container:
        stream, sound = video_stream(container), sound_stream(container)
        duration = max(float(container.duration or 0) / 1e6, 0.0)
        info, stamps = MediaInfo(duration, False, sound is not None), []
        if stream is not None:
            info = MediaInfo(duration, True, sound is not None, stream.width, stream.height, _rate(stream))
        heard = sound if hear is not None else None
        for packet in packets_of(container, *_ready(heard), *([] if stream is None else [stream])):
            if packet.stream is heard:
                for frame in _frames_of(packet):
                    hear(frame)
            elif packet.size and not getattr(packet, "is_discard", False):
                stamps.append(packet.pts)
        for frame in _last_frames(heard):
            hear(frame)
        return info, _times(stamps, info.fps, stream.time_base) if stream is not None else np.zeros(0)


def _times(stamps: List[Optional[int]], rate: float, base) -> np.ndarray:
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(known) < len(stamps):  # some containers leave stamps to the decoder
        known = [known[0] if known else None] + [None] * (len(stamps) - 1)
    clock = Clock(rate)
    return np.array([clock.next(stamp, base) for stamp in known])


def packets_of(container, *streams) -> Iterator:
    """Packets of some streams until the end of the file or of what can be read of it; damaged stretches are skipped."""
    import av

    if not streams:  # FFmpeg would give those of all
        return
    packets, failures = container.demux(*streams), 0
    while failures < _MAX_FAILURES:
        try:
            packet = next(packets, None)
        except EOFError:
            return
        except (av.error.FFmpegError, IndexError):  # IndexError: PyAV meets a stream that the header did not announce
            packets, failures = container.demux(*streams), failures + 1
            continue
        if packet is None:
            return
        failures = 0
        yield packet


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
    except (av.error.FFmpegError, EOFError):
        return []


def _last_frames(stream) -> Iterator:
    """What a decoder still holds where reading ended in an error."""
    import av

    if stream is not None:
        with suppress(av.error.FFmpegError, EOFError):
            yield from stream.codec_context.decode(None)


def _rate(stream) -> float:
    for rate in (stream.average_rate, getattr(stream, "guessed_rate", None), getattr(stream, "base_rate", None)):
        if rate and 0.1 <= float(rate) <= 1000:
            return float(rate)
    return 0.0


def _rotation(frame) -> int:
    return round((getattr(frame, "rotation", 0) or 0) / 90) * 90 % 360
