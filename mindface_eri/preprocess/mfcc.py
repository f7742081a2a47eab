# SPDX-License-Identifier: Apache-2.0
"""MFCC stacks centred on the sampled instants (paper section 3.3), of sound that is never held whole.

`centred` stacks are adjacent MFCC frames of the usual hop, and leave out what lies between one stack and the next.
With `cover: all` the hop is each clip's own: stacks follow each other without holes from the first instant to the
clip's end, and a frame longer than half a window is the mean over the windows that it takes to cover it.

Where the picture goes on without sound (a later start, an earlier end) there is silence; where MFCC frames end (half a
stack before the first and after the last instant) the edge frame is repeated. The mel filters are applied as a sparse
matrix, whose sums have one order: BLAS would give other last digits with another number of threads.
"""

from __future__ import annotations

import math
from typing import Iterable, Iterator, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import AudioConfig
from mindface_eri.preprocess.mel import cepstra, spectral_tables

_CHUNK = 128  # MFCC frames computed at a time: what they need stays in the processor's cache
_BLOCK = 1 << 16  # samples taken at a time from a longer piece
_FLOOR, _RANGE = 1e-10, 80.0  # librosa's: the least power, and decibels kept below the sound's loudest

Sound = Union[np.ndarray, Iterable[np.ndarray]]  # (samples,) float32 mono, or pieces of it in order


def mfcc(waveform: Sound, config: AudioConfig, samples: Optional[int] = None) -> np.ndarray:
    """(frames, coefficients) float32: librosa's MFCC, frame j centred on sample j * hop_length.

    Args:
        samples: of the whole waveform, where it comes in pieces.
    """
    samples = len(waveform) if samples is None else samples
    return _cepstra(waveform, config, 0, samples, np.arange(_count(samples, config)))


def mfcc_stacks(waveform: Sound, timestamps: np.ndarray, config: AudioConfig, offset: float = 0.0,
                samples: Optional[int] = None, end: Optional[float] = None) -> np.ndarray:
    """(T, coefficients * stack) float32: `stack` adjacent MFCC frames, joined in order of time, around each instant.

    Args:
        waveform: (samples,) float32 mono at `config.sample_rate`, or pieces of it.
        timestamps: (T,) seconds, increasing.
        offset: seconds on the clock of `timestamps` at which the waveform begins.
        samples: of the whole waveform, where it comes in pieces.
        end: second on the clock of `timestamps` at which the clip ends; by default its last instant.
    """
    samples = len(waveform) if samples is None else samples
    rate, times = config.sample_rate, np.asarray(timestamps, np.float64)
    if config.cover == "all":
        return _covering(waveform, times - offset, config, samples, times[-1] - offset if end is None else end - offset)
    span = times[-1] - times[0]
    lead = round(min(max(offset - times[0], 0.0), span + 1.0) * rate)
    begin = min(offset, times[0]) if lead == 0 else times[0]
    end = begin + (lead + samples) / rate
    tail = round(min(max(times[-1] - end, 0.0), span + 1.0) * rate)
    count = _count(lead + samples + tail, config)
    centres = (times - begin) * rate / config.hop_length
    first = np.floor(centres - (config.stack - 1) / 2 + 0.5).astype(np.int64)  # (T,)
    index = np.clip(first[:, None] + np.arange(config.stack), 0, count - 1)  # (T, stack)
    wanted, place = np.unique(index, return_inverse=True)
    frames = _cepstra(waveform, config, lead, lead + samples + tail, wanted)
    return frames[place.reshape(index.shape)].reshape(len(times), config.features)


def covering_frames(times: np.ndarray, end: float, config: AudioConfig) -> Tuple[np.ndarray, float]:
    """(T, stack) seconds of the middles of the MFCC frames that cover a clip, and how long each of them is.

    The instants are taken as evenly spread as they were asked for; the last ones move by less than a picture is shown
    where the clip would otherwise end after its last stack. Stacks that need not be longer than usual overlap.

    Args:
        times: (T,) seconds of the instants, increasing.
        end: of the clip.
    """
    first, count = times[0], len(times)
    if count == 1:
        middles, step = np.array([(first + max(end, first)) / 2]), max(end - first, 0.0)
    else:
        last = max(times[-1], first + (end - first) * (count - 1) / (count - 0.5))
        middles, step = np.linspace(first, last, count), (last - first) / (count - 1)
    long = max(config.hop_length / config.sample_rate, step / config.stack)
    return middles[:, None] + (np.arange(config.stack) - (config.stack - 1) / 2) * long, long


def _covering(waveform: Sound, times: np.ndarray, config: AudioConfig, samples: int, end: float) -> np.ndarray:
    """`mfcc_stacks` of `cover: all`; `times` and `end` in seconds after the waveform's begin."""
    rate = config.sample_rate
    middles, long = covering_frames(times, end, config)
    parts = math.ceil(long * rate / (config.n_fft / 2))  # windows, half of one apart, or less
    within = ((np.arange(parts) + 0.5) / parts - 0.5) * long
    places = (middles.reshape(-1, 1) + within) * rate  # (frames, parts)
    places = np.rint(np.clip(places, min(times[0] * rate, 0), max(times[-1] * rate, samples))).astype(np.int64)
    order = np.argsort(places, axis=None, kind="stable")
    frames, begins = order // parts, places.reshape(-1)[order] - config.n_fft // 2
    total = np.zeros((middles.size, max(128, config.coefficients)), np.float32)
    for first, powers in _mel_powers(waveform, config, begins):  # (mels, chunk)
        np.add.at(total, frames[first:first + powers.shape[1]], powers.T)
    mel = total.T / np.float32(parts)
    return _coefficients(mel, float(mel.max()), config).reshape(len(times), config.features)


def _count(samples: int, config: AudioConfig) -> int:
    """MFCC frames of so many samples, with half a window of silence around them."""
    return (samples + 2 * (config.n_fft // 2) - config.n_fft) // config.hop_length + 1


def _cepstra(waveform: Sound, config: AudioConfig, lead: int, samples: int, wanted: np.ndarray) -> np.ndarray:
    """(len(wanted), coefficients) float32: the MFCC frames with these numbers, increasing.

    Args:
        lead: samples of silence before the waveform.
        samples: of all, the silence before and after it included.
    """
    loudest, mel = 0.0, np.empty((max(128, config.coefficients), len(wanted)), np.float32)
    begins = np.arange(_count(samples, config)) * config.hop_length - config.n_fft // 2 - lead
    for first, powers in _mel_powers(waveform, config, begins):  # (mels, chunk)
        loudest = max(loudest, float(powers.max(initial=0.0)))
        begin, end = np.searchsorted(wanted, (first, first + powers.shape[1]))
        mel[:, begin:end] = powers[:, wanted[begin:end] - first]
    return _coefficients(mel, loudest, config)


def _coefficients(mel: np.ndarray, loudest: float, config: AudioConfig) -> np.ndarray:
    """(frames, coefficients) float32 of the mel spectrum (mels, frames), the loudest of whose sound is known."""
    # librosa's power_to_db, whose floor is 80 dB below the loudest of the whole sound, not of what is wanted of it.
    decibels = 10.0 * np.log10(np.maximum(mel, np.float32(_FLOOR)))
    decibels = np.maximum(decibels, np.float32(10.0 * np.log10(max(loudest, _FLOOR)) - _RANGE))
    return cepstra(decibels, config.coefficients)


def _mel_powers(waveform: Sound, config: AudioConfig, begins: np.ndarray) -> Iterator[Tuple[int, np.ndarray]]:
    """(number of the first window, (mels, chunk) float32 mel spectrum), chunk by chunk, all windows in order.

    Args:
        begins: of each window, its first sample; none before that of the one before.
    """
    from scipy.fft import rfft

    window, filters = spectral_tables(config.sample_rate, config.n_fft, max(128, config.coefficients))
    tape, apart = _Tape(waveform), int(np.diff(begins).max(initial=1))
    chunk = max(1, min(_CHUNK, 2 * _BLOCK // apart))
    for first in range(0, len(begins), chunk):
        ours = begins[first:first + chunk]
        stretch = tape.span(int(ours[0]), int(ours[-1]) + config.n_fft)
        if not stretch.any():
            yield first, np.zeros((filters.shape[0], len(ours)), np.float32)
            continue
        frames = np.lib.stride_tricks.sliding_window_view(stretch, config.n_fft)[ours - ours[0]]  # (chunk, n_fft)
        spectrum = rfft(frames * window)  # (chunk, n_fft / 2 + 1)
        yield first, filters @ (spectrum.real ** 2 + spectrum.imag ** 2).T


class _Tape:
    """Stretches of a waveform, each further on than the one before; what lies behind is forgotten."""

    def __init__(self, waveform: Sound) -> None:
        pieces = [waveform] if isinstance(waveform, np.ndarray) else waveform
        self._blocks = (piece[at:at + _BLOCK] for piece in pieces for at in range(0, len(piece), _BLOCK))
        self._held, self._first = np.zeros(0, np.float32), 0  # what is in reach, and the number of its first sample

    def span(self, begin: int, end: int) -> np.ndarray:
        """Samples `begin` to `end` - 1; silence where the waveform has none."""
        parts, after = [self._held[max(begin - self._first, 0):]], self._first + len(self._held)
        self._first = after - len(parts[0])
        while after < end and (block := next(self._blocks, None)) is not None:
            after += len(block)
            if after > begin:
                parts.append(np.asarray(block, np.float32))
            else:
                self._first = after
        self._held = np.concatenate(parts) if len(parts) > 1 else parts[0]
        inside = self._held[max(begin - self._first, 0):max(end - self._first, 0)]
        if len(inside) == end - begin:
            return inside
        before = min(max(self._first - begin, 0), end - begin)
        return np.pad(inside, (before, end - begin - before - len(inside)))
