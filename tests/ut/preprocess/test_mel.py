# SPDX-License-Identifier: Apache-2.0
"""Mel filters and cepstra beside librosa's, and some numbers by hand."""

import numpy as np
import pytest

from mindface_eri.preprocess.mel import cepstra, hann, mel_filters


@pytest.mark.parametrize("rate, n_fft, count", [(16000, 2048, 128), (8000, 512, 40), (44100, 2048, 128),
                                                (16000, 400, 13), (22050, 1023, 200), (4000, 64, 128),
                                                (192000, 4096, 512)])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_they_are_librosas_to_the_last_digit(rate, n_fft, count):
    librosa = pytest.importorskip("librosa")
    filters = librosa.filters
    np.testing.assert_array_equal(mel_filters(rate, n_fft, count), filters.mel(sr=rate, n_fft=n_fft, n_mels=count))
    np.testing.assert_array_equal(hann(n_fft), filters.get_window("hann", n_fft, fftbins=True).astype(np.float32))
    decibels = np.random.default_rng(count).normal(-30, 20, (count, 9)).astype(np.float32)
    np.testing.assert_array_equal(cepstra(decibels, 13), librosa.feature.mfcc(S=decibels, n_mfcc=13))


def test_filters_by_hand():
    """Up to 1 kHz mels are 66.7 Hz: of 32 filters to 2 kHz the edges lie evenly at first, later not."""
    filters = mel_filters(2000, 2000, 14)  # edges every 66.67 Hz, bins every Hz
    assert filters.shape == (14, 1001) and filters.dtype == np.float32
    assert [int(row.argmax()) for row in filters[:3]] == [67, 133, 200]
    np.testing.assert_allclose(filters.sum(1), 1.0, rtol=1e-3)  # equal areas, though the bins are counted
    assert filters[0, 0] == 0 and filters[1, 66] == 0 and filters[1, 68] > 0
    wide = mel_filters(16000, 16000, 40)
    widths = (wide > 0).sum(1)
    assert widths[0] < 0.4 * widths[-1] and (np.diff(widths[20:]) > 0).all()


def test_cepstra_by_hand():
    even = cepstra(np.full((4, 2), 3.0, np.float32), 3)
    np.testing.assert_allclose(even, [[6, 6], [0, 0], [0, 0]], atol=1e-6)  # orthonormal: 3 * sqrt(4)
    np.testing.assert_allclose(hann(4), [0, 0.5, 1, 0.5], atol=1e-7)
