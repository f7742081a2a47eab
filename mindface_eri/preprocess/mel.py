# SPDX-License-Identifier: Apache-2.0
"""Mel filters and cepstra, equal to librosa's defaults to the last digit (tests compare them).

The paper computes its MFCC with librosa. These pieces are all that is needed of it; it brings numba, LLVM and
scikit-learn along, 300 MB that nothing here runs.
"""

from __future__ import annotations

import numpy as np

_LINEAR = 200.0 / 3  # Hz a mel, below 1 kHz, on the scale of Slaney's Auditory Toolbox (1998)
_KNEE = 1000.0  # Hz: from there on it is logarithmic ...
_STEP = np.log(6.4) / 27.0  # ... with 27 mels from 1 kHz to 6.4 kHz


def mel_filters(sample_rate: int, n_fft: int, count: int) -> np.ndarray:
    """(count, n_fft / 2 + 1) float32: triangles of equal area, evenly over the mel scale up to half the rate."""
    edges = _hertz(np.linspace(0.0, _mel(sample_rate / 2), count + 2))  # (count + 2,)
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    width, distance = np.diff(edges), edges[:, None] - bins  # (count + 2, bins)
    rising, falling = -distance[:-2] / width[:-1, None], distance[2:] / width[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def hann(n_fft: int) -> np.ndarray:
    """(n_fft,) float32: the periodic Hann window."""
    from scipy.signal import get_window

    return get_window("hann", n_fft, fftbins=True).astype(np.float32)


def cepstra(decibels: np.ndarray, count: int) -> np.ndarray:
    """The first `count` cepstra (count, frames) of a mel spectrum in decibels (mels, frames)."""
    from scipy.fft import dct

    return dct(decibels, axis=-2, type=2, norm="ortho")[:count]


def _mel(hertz: float) -> float:
    return hertz / _LINEAR if hertz < _KNEE else _KNEE / _LINEAR + np.log(hertz / _KNEE) / _STEP


def _hertz(mels: np.ndarray) -> np.ndarray:
    knee = _KNEE / _LINEAR
    return np.where(mels < knee, _LINEAR * mels, _KNEE * np.exp(_STEP * (mels - knee)))
