# SPDX-License-Identifier: Apache-2.0
"""Sound: any codec, rate and channel layout to mono, and MFCC stacks centred on the sampled frames (paper section 3.3).

One answer each: channels are averaged; where the picture goes on without sound (a later start, an earlier end) there is
silence; where MFCC frames end (half a stack before the first and after the last instant) the edge frame is repeated;
no track, or a peak below `AudioConfig.silence`, means that the modality is absent.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from mindface_eri.config import AudioConfig
from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.preprocess.video import decoded, open_media, sound_stream

_CHUNK = 128  # MFCC frames computed at a time: what they need stays in the processor's cache
_GAP = 0.1  # seconds; sound missing for longer inside the track is filled with silence
_LOUDEST = 1000.0  # of full scale; what is beyond is no sound but a damaged sample
_MAX_GAP = 60.0  # seconds; a longer jump is a damaged time stamp


@dataclass(frozen=True)
class Audio:
    """A mono waveform and where it begins."""

    waveform: np.ndarray  # (samples,) float32 in [-1, 1]
    start: float  # seconds on the container's clock

    @property
    def peak(self) -> float:
        """The largest magnitude, found without a copy of the waveform; 0 of an empty one."""
        return float(max(self.waveform.max(initial=0.0), -self.waveform.min(initial=0.0)))


def load_audio(path: os.PathLike, sample_rate: int) -> Audio:
    """Decodes the first sound track to mono at `sample_rate`.

    Packets that cannot be decoded are skipped, and gaps in the track's time stamps are filled with silence.

    Raises:
        MediaError: the file cannot be opened, has no sound track, or no sample of it can be decoded.
    """
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise MediaError(f"{path}: there is no sound track")
        track = SoundTrack(sample_rate)
        for frame in decoded(container, stream):
            track.add(frame)
    return track.audio(path)


class SoundTrack:
    """Collects decoded frames, resampled, averaged over channels, at the places their time stamps say."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples = bytearray()  # grows in its place, where arrays to be joined would take the sound's memory twice
        self._resampler = None
        self._kind = None
        self._next: Optional[float] = None  # seconds: where the next frame should begin
        self.start: Optional[float] = None

    def add(self, frame) -> None:
        """Takes the next decoded frame of the track."""
        import av

        seconds = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None
        if self.start is None:
            self.start = seconds or 0.0
        if seconds is not None and self._next is not None and _GAP < seconds - self._next < _MAX_GAP:
            self.drain()
            self._samples += bytes(4 * round((seconds - self._next) * self._rate))
        begin = seconds if seconds is not None else self._next
        self._next = None if begin is None else begin + frame.samples / max(frame.sample_rate, 1)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self.drain()
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=self._rate)
            self._kind = kind
        frame.pts = None
        self._keep(self._resampler.resample(frame))

    def audio(self, path: os.PathLike) -> Audio:
        """All of it; `path` is named where there is not one sample (a `MediaError`)."""
        self.drain()
        waveform = self.take()
        if not len(waveform):
            raise MediaError(f"{path}: the sound track holds no sample that can be decoded")
        return Audio(waveform, self.start or 0.0)

    def take(self) -> np.ndarray:
        """(samples,) float32: what has come since the last time."""
        samples, self._samples = self._samples, bytearray()
        return np.frombuffer(samples, np.float32)

    def drain(self) -> None:
        """Ends the resampling, so that its last samples are there."""
        if self._resampler is not None:
            self._keep(self._resampler.resample(None))
            self._resampler = self._kind = None

    def _keep(self, frames) -> None:
        # Packed samples: PyAV reads beyond a planar frame of more than eight channels.
        for frame in frames:
            channels = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)  # (samples, channels)
            piece = channels.mean(axis=1, dtype=np.float32)
            piece[~(np.abs(piece) <= _LOUDEST)] = 0.0  # not a number, too
            self._samples += piece.tobytes()


def mfcc(waveform: np.ndarray, config: AudioConfig, lead: int = 0, tail: int = 0) -> np.ndarray:
    """(frames, coefficients) float32: librosa's MFCC, frame j centred on sample j * hop_length.

    Args:
        lead, tail: samples of silence before and after the waveform, which are not copied together with it.
    """
    try:
        import librosa
    except ImportError:
        raise MissingDependencyError("MFCC needs librosa: pip install librosa") from None
    from scipy.fft import rfft

    window, filters = _spectral_tables(config.sample_rate, config.n_fft, max(128, config.coefficients))
    waveform, half = np.asarray(waveform, np.float32), config.n_fft // 2
    count = (lead + len(waveform) + tail + 2 * half - config.n_fft) // config.hop_length + 1
    mel = np.empty((len(filters), count), np.float32)
    for first in range(0, count, _CHUNK):
        last, begin = min(first + _CHUNK, count) - 1, first * config.hop_length - half - lead
        stretch = _stretch(waveform, begin, begin + (last - first) * config.hop_length + config.n_fft)
        frames = np.lib.stride_tricks.sliding_window_view(stretch, config.n_fft)[::config.hop_length]  # (chunk, n_fft)
        spectrum = rfft(frames * window)  # (chunk, n_fft / 2 + 1)
        mel[:, first:last + 1] = filters @ (spectrum.real ** 2 + spectrum.imag ** 2).T
    decibels = librosa.power_to_db(mel)
    return np.ascontiguousarray(librosa.feature.mfcc(S=decibels, n_mfcc=config.coefficients).T, np.float32)


def _stretch(waveform: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Samples `begin` to `end` - 1; silence where the waveform has none."""
    inside = waveform[max(begin, 0):max(end, 0)]
    before = min(max(-begin, 0), end - begin)
    return np.pad(inside, (before, end - begin - before - len(inside)))


@functools.lru_cache(maxsize=4)
def _spectral_tables(sample_rate: int, n_fft: int, n_mels: int) -> Tuple[np.ndarray, np.ndarray]:
    """The window (n_fft,) and the mel filters (n_mels, n_fft / 2 + 1), which librosa would compute for every clip."""
    import librosa

    return (librosa.filters.get_window("hann", n_fft, fftbins=True).astype(np.float32),
            librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels))


def mfcc_stacks(waveform: np.ndarray, timestamps: np.ndarray, config: AudioConfig, offset: float = 0.0) -> np.ndarray:
    """(T, coefficients * stack) float32: `stack` adjacent MFCC frames, joined in order of time, around each instant.

    Args:
        waveform: (samples,) float32 mono at `config.sample_rate`.
        timestamps: (T,) seconds, increasing.
        offset: seconds on the clock of `timestamps` at which the waveform begins.
    """
    rate, times = config.sample_rate, np.asarray(timestamps, np.float64)
    span = times[-1] - times[0]
    lead = round(min(max(offset - times[0], 0.0), span + 1.0) * rate)
    begin = min(offset, times[0]) if lead == 0 else times[0]
    end = begin + (lead + len(waveform)) / rate
    tail = round(min(max(times[-1] - end, 0.0), span + 1.0) * rate)
    frames = mfcc(waveform, config, lead, tail)  # (frames, coefficients)
    centres = (times - begin) * rate / config.hop_length
    first = np.floor(centres - (config.stack - 1) / 2 + 0.5).astype(np.int64)  # (T,)
    index = np.clip(first[:, None] + np.arange(config.stack), 0, len(frames) - 1)  # (T, stack)
    return frames[index].reshape(len(times), config.features)
