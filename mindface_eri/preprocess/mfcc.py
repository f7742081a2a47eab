# SPDX-License-Identifier: Apache-2.0
"""MFCC stacks centred on the sampled instants (paper section 3.3), of sound that is never held whole.

Where the picture goes on without sound (a later start, an earlier end) there is silence; where MFCC frames end (half a
stack before the first and after the last instant) the edge frame is repeated. The mel filters are applied as a sparse
matrix, whose sums have one order: BLAS would give other last digits with another number of threads.
"""

from __future__ import annotations

import functools
from typing import Any, Iterable, Iterator, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import AudioConfig
from mindface_eri.preprocess.compiled import import_librosa

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
                samples: Optional[int] = None) -> np.ndarray:
    """(T, coefficients * stack) float32: `stack` adjacent MFCC frames, joined in order of time, around each instant.

    Args:
        waveform: (samples,) float32 mono at `config.sample_rate`, or pieces of it.
        timestamps: (T,) seconds, increasing.
        offset: seconds on the clock of `timestamps` at which the waveform begins.
        samples: of the whole waveform, where it comes in pieces.
    """
    samples = len(waveform) if samples is None else samples
    rate, times = config.sample_rate, np.asarray(timestamps, np.float64)
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


def _count(samples: int, config: AudioConfig) -> int:
    """MFCC frames of so many samples, with half a window of silence around them."""
    return (samples + 2 * (config.n_fft // 2) - config.n_fft) // config.hop_length + 1


def _cepstra(waveform: Sound, config: AudioConfig, lead: int, samples: int, wanted: np.ndarray) -> np.ndarray:
    """(len(wanted), coefficients) float32: the MFCC frames with these numbers, increasing.

    Args:
        lead: samples of silence before the waveform.
        samples: of all, the silence before and after it included.
    """
    librosa = import_librosa()
    loudest, mel = 0.0, np.empty((max(128, config.coefficients), len(wanted)), np.float32)
    for first, powers in _mel_powers(waveform, config, lead, _count(samples, config)):  # (mels, chunk)
        loudest = max(loudest, float(powers.max(initial=0.0)))
        begin, end = np.searchsorted(wanted, (first, first + powers.shape[1]))
        mel[:, begin:end] = powers[:, wanted[begin:end] - first]
    # librosa's power_to_db, whose floor is 80 dB below the loudest of the whole sound, not of what is wanted of it.
    decibels = 10.0 * np.log10(np.maximum(mel, np.float32(_FLOOR)))
    decibels = np.maximum(decibels, np.float32(10.0 * np.log10(max(loudest, _FLOOR)) - _RANGE))
    return np.ascontiguousarray(librosa.feature.mfcc(S=decibels, n_mfcc=config.coefficients).T, np.float32)


def _mel_powers(waveform: Sound, config: AudioConfig, lead: int, count: int) -> Iterator[Tuple[int, np.ndarray]]:
    """(number of the first frame, (mels, chunk) float32 mel spectrum), chunk by chunk, all frames in order."""
    from scipy.fft import rfft

    window, filters = _spectral_tables(config.sample_rate, config.n_fft, max(128, config.coefficients))
    tape, half = _Tape(waveform), config.n_fft // 2
    chunk = max(1, min(_CHUNK, 2 * _BLOCK // config.hop_length))
    for first in range(0, count, chunk):
        last, begin = min(first + chunk, count) - 1, first * config.hop_length - half - lead
        stretch = tape.span(begin, begin + (last - first) * config.hop_length + config.n_fft)
        if not stretch.any():
            yield first, np.zeros((filters.shape[0], last - first + 1), np.float32)
            continue
        frames = np.lib.stride_tricks.sliding_window_view(stretch, config.n_fft)[::config.hop_length]  # (chunk, n_fft)
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


@functools.lru_cache(maxsize=4)
def _spectral_tables(sample_rate: int, n_fft: int, n_mels: int) -> Tuple[np.ndarray, Any]:
    """The window (n_fft,) and the sparse mel filters (n_mels, n_fft / 2 + 1), which librosa would compute each time."""
    from scipy.sparse import csr_matrix

    librosa = import_librosa()
    return (librosa.filters.get_window("hann", n_fft, fftbins=True).astype(np.float32),
            csr_matrix(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels)))
