# SPDX-License-Identifier: Apache-2.0
"""Writing clips: H.264 and AAC, whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Iterable, Iterator, Optional

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.files import replacing

_AAC_FRAME = 1024  # samples


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
    with open_writer(path, fps, None if waveform is None else sample_rate) as writer:
        for frame in frames:
            writer.frame(frame)
        writer.end_of_frames()
        if waveform is not None:
            writer.sound(np.asarray(waveform, np.float32).reshape(-1))


@contextmanager
def open_writer(path: os.PathLike, fps: float, sample_rate: Optional[int] = None) -> Iterator[VideoWriter]:
    """A clip to be written piece by piece; arguments and errors as for `write_video`, and likewise whole or not at all.

    Args:
        sample_rate: of the sound; None for a clip without.
    """
    try:
        import av
    except ImportError:
        raise MissingDependencyError("writing clips needs PyAV: pip install av") from None
    target = Path(path)
    try:
        with replacing(target) as temporary, av.open(os.path.abspath(temporary), "w") as container:
            writer = VideoWriter(container, Fraction(fps).limit_denominator(1001), sample_rate, target)
            yield writer
            writer.end()
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{target}: cannot be written as a clip ({reason})") from None


class VideoWriter:
    """Pictures at a constant rate from the first on, and sound that begins with the first."""

    def __init__(self, container, rate: Fraction, sample_rate: Optional[int], target: Path) -> None:
        self._container, self._rate, self._target = container, rate, target
        self._video = _add_video(container, rate)
        self._sample_rate = int(sample_rate or 0)
        self._audio = _add_audio(container, self._sample_rate) if sample_rate else None
        self._frames, self._samples, self._rest = 0, 0, np.zeros(0, np.float32)
        self._open = True  # for frames

    def frame(self, array: np.ndarray) -> None:
        """Takes the next picture, (H, W, 3) uint8 RGB."""
        import av

        array = np.asarray(array)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise MediaError(f"{self._target}: frame {self._frames} is {array.dtype} {array.shape}; expected uint8 "
                             "(H, W, 3)")
        array = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")
        if not self._frames:
            self._video.width, self._video.height = array.shape[1], array.shape[0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
        frame.pts, frame.time_base = self._frames, 1 / self._rate
        self._mux(self._video, frame)
        self._frames += 1

    def sound(self, samples: np.ndarray) -> None:
        """Takes the next samples, float32 mono."""
        self._rest = np.concatenate([self._rest, samples])
        # The first packet writes the header, which has to know the pictures' size.
        whole = len(self._rest) // _AAC_FRAME * _AAC_FRAME if self._frames else 0
        for start in range(0, whole, _AAC_FRAME):
            self._encode_sound(self._rest[start:start + _AAC_FRAME])
        self._rest = self._rest[whole:]

    def end_of_frames(self) -> None:
        """No more pictures come."""
        if not self._frames:
            raise MediaError(f"{self._target}: there are no frames to write")
        if self._open:
            self._mux(self._video)
        self._open = False

    def end(self) -> None:
        """Neither do samples."""
        self.end_of_frames()
        if self._audio is not None:
            self.sound(np.zeros(0, np.float32))
            if len(self._rest):
                self._encode_sound(self._rest)
            self._mux(self._audio)

    def _encode_sound(self, chunk: np.ndarray) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk[None]), format="fltp", layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts, frame.time_base = self._samples, Fraction(1, self._sample_rate)
        self._samples += len(chunk)
        self._mux(self._audio, frame)

    def _mux(self, stream, *frame) -> None:
        for packet in stream.encode(*frame):
            self._container.mux(packet)


def _add_video(container, rate: Fraction):
    """A stream of H.264, or of MPEG-4 where FFmpeg was built without x264."""
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
