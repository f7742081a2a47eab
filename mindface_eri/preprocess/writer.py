# SPDX-License-Identifier: Apache-2.0
"""Writing clips: H.264 and AAC, whole or not at all."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Iterable, Optional

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.files import replacing


def write_video(path: os.PathLike, frames: Iterable[np.ndarray], fps: float, waveform: Optional[np.ndarray] = None,
                sample_rate: int = 16000) -> None:
    """Writes a clip: H.264 (MPEG-4 where FFmpeg has no libx264) in yuv420p, and AAC.

    The same input gives the same pictures. The file appears under its name only when it is complete.

    Args:
        frames: (H, W, 3) uint8 RGB arrays, all of one size; an odd last row or column is doubled.
        fps: frames a second.
        waveform: (samples,) float32 in [-1, 1], mono; None writes no sound track.
        sample_rate: of the waveform, Hz; one that AAC knows (8000, 11025, 12000, 16000, ..., 48000, ..., 96000).

    Raises:
        MediaError: there are no frames, shapes or rates cannot be encoded, or the file cannot be written.
    """
    try:
        import av
    except ImportError:
        raise MissingDependencyError("writing clips needs PyAV: pip install av") from None
    target = Path(path)
    rate = Fraction(fps).limit_denominator(1001)
    try:
        with replacing(target) as temporary, av.open(str(temporary), "w") as container:
            video = _add_video(container, rate)
            audio = None if waveform is None else _add_audio(container, sample_rate)
            _encode_frames(container, video, frames, rate, target)
            if audio is not None:
                _encode_sound(container, audio, np.asarray(waveform, np.float32).reshape(-1), sample_rate)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{target}: cannot be written as a clip ({reason})") from None


def _add_video(container, rate: Fraction):
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    stream = container.add_stream(codec, rate=rate)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1  # the same pictures whatever the number of cores
    if codec == "libx264":
        # x264's macroblock tree gives other bytes for the same pictures each time where it computes with AVX-512
        stream.options = {"crf": "20", "preset": "veryfast", "x264-params": "mbtree=0"}
    else:
        stream.bit_rate = 4_000_000
    return stream


def _add_audio(container, sample_rate: int):
    stream = container.add_stream("aac", rate=int(sample_rate))
    stream.layout = "mono"
    stream.format = "fltp"
    return stream


def _encode_frames(container, stream, frames: Iterable[np.ndarray], rate: Fraction, target: Path) -> None:
    import av

    count = 0
    for index, array in enumerate(frames):
        array = np.asarray(array)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise MediaError(f"{target}: frame {index} is {array.dtype} {array.shape}; expected uint8 (H, W, 3)")
        array = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")
        if not count:
            stream.width, stream.height = array.shape[1], array.shape[0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
        frame.pts = count
        frame.time_base = 1 / rate
        for packet in stream.encode(frame):
            container.mux(packet)
        count += 1
    if not count:
        raise MediaError(f"{target}: there are no frames to write")
    for packet in stream.encode():
        container.mux(packet)


def _encode_sound(container, stream, waveform: np.ndarray, sample_rate: int) -> None:
    import av

    step = 1024  # samples of an AAC frame
    for start in range(0, len(waveform), step):
        chunk = np.ascontiguousarray(waveform[None, start:start + step])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
        frame.sample_rate = int(sample_rate)
        frame.pts = start
        frame.time_base = Fraction(1, int(sample_rate))
        for packet in stream.encode(frame):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)
