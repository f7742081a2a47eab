# SPDX-License-Identifier: Apache-2.0
"""Pictures and sound that came piece by piece, such as from a camera, put into a file as they are: nothing is encoded
again, so that it takes milliseconds."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import NamedTuple, Sequence, Tuple

from mindface_eri.errors import MediaError, MissingDependencyError

_MILLISECOND = Fraction(1, 1000)


class Recording(NamedTuple):
    """Seconds count from wherever the recorder's clock began."""

    size: Tuple[int, int]  # width and height of the pictures
    pictures: Sequence[Tuple[float, bytes]]  # (second, JPEG), in order of time
    sample_rate: int = 0
    sound_start: float = 0.0  # second of the first sample
    sound: bytes = b""  # 16 bits a sample, little-endian, mono


def write_recording(path: os.PathLike, recording: Recording) -> None:
    """Writes it as Matroska, in which each picture keeps its second.

    Raises:
        MediaError: there is no picture, or FFmpeg refuses something of it.
        MissingDependencyError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingDependencyError("reading clips needs PyAV: pip install av") from None
    if not recording.pictures:
        raise MediaError("the recording holds no picture")
    try:
        with av.open(os.fspath(path), "w", format="matroska") as container:
            _write(container, recording)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise MediaError(f"the recording cannot be put into a file ({error})") from None


def _write(container, recording: Recording) -> None:
    """Muxes pictures and sound, a second of it at a time, in the order of their stamps."""
    import av

    video = container.add_stream("mjpeg", rate=1000)  # of the clock; pictures have stamps of their own
    video.width, video.height = recording.size
    video.pix_fmt = "yuvj420p"
    first = recording.pictures[0][0]
    packets = [(seconds - first, video, _MILLISECOND, data) for seconds, data in recording.pictures]
    if recording.sound:
        rate = recording.sample_rate
        audio = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        begin = recording.sound_start - first
        skipped = max(0, -round(begin * rate))  # before the first picture: stamps cannot be negative
        for place in range(skipped, len(recording.sound) // 2, rate):  # a second each
            packets.append((begin + place / rate, audio, Fraction(1, rate),
                            recording.sound[2 * place:2 * min(place + rate, len(recording.sound) // 2)]))
    for seconds, stream, unit, data in sorted(packets, key=lambda packet: packet[0]):
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, unit
        packet.pts = packet.dts = max(0, round(seconds / unit))
        container.mux(packet)
