# SPDX-License-Identifier: Apache-2.0
"""librosa's tables for MFCC, computed without importing it (which takes longer than a short clip does).

librosa stays the definition: the tests hold each table to its, and the whole to `librosa.feature.mfcc`.
"""

from __future__ import annotations

import functools
from typing import Any, Tuple

import numpy as np

# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, then logarithmic, 27 steps to a factor of 6.4.
_HERTZ_A_MEL, _KNEE, _STEP = 200.0 / 3.0, 1000.0, np.log(6.4) / 27.0


@functools.lru_cache(maxsize=4)
def spectral_tables(sample_rate: int, n_fft: int, n_mels: int) -> Tuple[np.ndarray, Any]:
    """The window (n_fft,) float32 and the mel filters (n_mels, n_fft / 2 + 1), a sparse float32 matrix."""
    from scipy.sparse import csr_matrix

    return hann(n_fft), csr_matrix(mel_filters(sample_rate, n_fft, n_mels))


def hann(size: int) -> np.ndarray:
    """The periodic Hann window, (size,) float32."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)).astype(np.float32)


def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """(n_mels, n_fft / 2 + 1) float32: triangles on Slaney's scale from 0 Hz to half the rate, each of area one."""
    corners = _hertz(np.linspace(0.0, _mel(sample_rate / 2.0), n_mels + 2))  # (n_mels + 2,)
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    widths, distance = np.diff(corners)[:, None], bins - corners[:, None]
    rising, falling = distance[:-2] / widths[:-1], -distance[2:] / widths[1:]
    area = 2.0 / (corners[2:] - corners[:-2])
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)  # rounded where librosa rounds them
    return (triangles * area[:, None]).astype(np.float32)


def cepstra(decibels: np.ndarray, coefficients: int) -> np.ndarray:
    """(frames, coefficients) float32: the first terms of the orthonormal cosine transform of (mels, frames)."""
    from scipy.fft import dct

    return np.ascontiguousarray(dct(decibels, axis=0, type=2, norm="ortho")[:coefficients].T, np.float32)


def _mel(hertz: float) -> float:
    return hertz / _HERTZ_A_MEL if hertz < _KNEE else _KNEE / _HERTZ_A_MEL + np.log(hertz / _KNEE) / _STEP


def _hertz(mels: np.ndarray) -> np.ndarray:
    knee = _KNEE / _HERTZ_A_MEL
    return np.where(mels < knee, mels * _HERTZ_A_MEL, _KNEE * np.exp(_STEP * (mels - knee)))
