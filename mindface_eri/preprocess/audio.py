# SPDX-License-Identifier: Apache-2.0
"""Sound: any codec, rate, channel layout and number of tracks to one mono waveform, which is read piece by piece.

A file is heard once, which measures it; a short waveform is kept, a longer one decoded again by whoever needs it, so
that any length takes little memory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Iterator, Optional, Tuple

import numpy as np

from mindface_eri.config import AudioConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.downmix import Mix
from mindface_eri.preprocess.sound_choice import Listener
from mindface_eri.preprocess.sound_track import SoundTrack
from mindface_eri.preprocess.video import decoded, listen, open_media, sound_stream

_SMALL, _THERE = 1 << 20, 0.01  # bytes of files that are not looked at; the share of a larger one that must be there
_KEPT = 600.0  # seconds of a waveform that stay in memory: 38 MB at 16 kHz


@dataclass(frozen=True)
class Audio:
    """A mono waveform: where it begins, how long and how loud it is, and how to read it."""

    path: os.PathLike
    sample_rate: int
    start: float  # seconds on the container's clock
    samples: int
    peak: float  # the largest magnitude
    mix: Mix = field(default_factory=Mix)
    note: str = ""  # which track it is, where there was a choice
    kept: Optional[Tuple[np.ndarray, ...]] = None  # the waveform in pieces, where it is short

    @property
    def seconds(self) -> float:
        """Its length, as decoded."""
        return self.samples / self.sample_rate

    def pieces(self) -> Iterator[np.ndarray]:
        """(n,) float32 in [-1, 1] each, in order."""
        return iter(self.kept) if self.kept is not None else read_sound(self.path, self.sample_rate, self.mix)

    @property
    def waveform(self) -> np.ndarray:
        """(samples,) float32 in [-1, 1]: all of it."""
        return np.concatenate([np.zeros(0, np.float32), *self.pieces()])


def load_audio(path: os.PathLike, sample_rate: int, silence: float = AudioConfig.silence) -> Audio:
    """Hears the sound of a file, mono at `sample_rate`.

    Packets that cannot be decoded are skipped, and gaps in the track's time stamps are silence.

    Args:
        silence: a track whose peak is below it is taken only where no other is heard.

    Raises:
        MediaError: the file cannot be opened, has no sound track, or no sample of it can be decoded.
    """
    check_bytes(path)
    listener = listener_for(sample_rate, silence)
    with open_media(path) as container:
        for _ in listen(container, listener):
            pass
    return heard_audio(path, listener, sample_rate)


def check_bytes(path: os.PathLike) -> None:
    """Refuses a file of which next to nothing is there, whatever length it claims: its sound would be silence for days.

    Raises:
        MediaError: nearly all of the file is a hole, as a download or a copy leaves that was never completed.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    if size > _SMALL and getattr(os.stat(path), "st_blocks", size) * 512 < _THERE * size:
        there = _bytes_there(path, _THERE * size)
        if there < _THERE * size:
            raise MediaError(f"{path}: the file claims {size} bytes, of which {there} are there, the rest is a hole; "
                             "fetch or record it again")


def _bytes_there(path: os.PathLike, enough: float) -> int:
    """Bytes of a file that are no hole, counted up to `enough`."""
    there = place = 0
    with open(path, "rb") as file, suppress(OSError, AttributeError):  # no data is left; a system that knows no holes
        while there < enough:
            begin = os.lseek(file.fileno(), place, os.SEEK_DATA)
            place = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            there += place - begin
    return there


def listener_for(sample_rate: int, silence: float) -> Listener:
    """What hears a file's sound while `video.scan` reads the file."""
    return Listener(sample_rate, silence, _KEPT)


def heard_audio(path: os.PathLike, listener: Listener, sample_rate: int) -> Audio:
    """The sound that was heard; a `MediaError` where there was none."""
    import av

    try:
        heard = listener.chosen(path)
    except av.FFmpegError as error:  # such as of a header that claims two thousand million samples a second
        raise MediaError(f"{path}: the sound cannot be brought to {sample_rate} Hz ({error.strerror})") from None
    return Audio(path, sample_rate, heard.track.start or 0.0, heard.samples, heard.peak, heard.mix,
                 listener.note(heard), None if heard.kept is None else tuple(heard.kept))


def audio_of(samples: np.ndarray, rate: int, start: float, sample_rate: int) -> Audio:
    """(n,) int16 samples, `rate` a second and the first of them at second `start`, as the sound of a file with them."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="s16", layout="mono")
    frame.sample_rate = rate
    track = SoundTrack(sample_rate)
    track.add(frame)
    track.drain()
    pieces = tuple(track.take())
    peak = max((float(np.abs(piece).max()) for piece in pieces), default=0.0)
    return Audio("", sample_rate, start, sum(map(len, pieces)), peak, kept=pieces)


def read_sound(path: os.PathLike, sample_rate: int, mix: Mix) -> Iterator[np.ndarray]:
    """The waveform of a file's sound as `load_audio` found it, (n,) float32 each, decoded on the way."""
    with open_media(path) as container:
        stream = sound_stream(container, mix.stream)
        if stream is None:
            raise MediaError(f"{path}: there is no sound track")
        track = SoundTrack(sample_rate, mix)
        for frame in decoded(container, stream):
            track.add(frame)
            yield from track.take()
        track.drain()
        yield from track.take()
