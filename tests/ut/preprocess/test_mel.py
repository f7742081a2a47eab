# SPDX-License-Identifier: Apache-2.0
"""librosa's tables, without librosa."""

import subprocess
import sys

import librosa
import numpy as np
import pytest

from mindface_eri.preprocess import mel


@pytest.mark.parametrize("rate, n_fft, n_mels", [(16000, 2048, 128), (16000, 400, 128), (8000, 600, 150),
                                                 (48000, 1024, 13), (22050, 2048, 256), (1900, 64, 20)])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_tables_are_librosas(rate, n_fft, n_mels):
    window, filters = mel.spectral_tables(rate, n_fft, n_mels)
    np.testing.assert_array_equal(filters.toarray(), librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels))
    np.testing.assert_allclose(window, librosa.filters.get_window("hann", n_fft), atol=6e-8)
    assert filters.dtype == window.dtype == np.float32


def test_cepstra_are_librosas():
    decibels = np.random.default_rng(0).normal(-30, 10, (40, 7)).astype(np.float32)
    np.testing.assert_array_equal(mel.cepstra(decibels, 13), librosa.feature.mfcc(S=decibels, n_mfcc=13).T)


def test_a_clips_features_come_without_librosa():
    code = ("import sys\nimport numpy as np\nfrom mindface_eri.config import AudioConfig\n"
            "from mindface_eri.preprocess import clip, mfcc\nmfcc.mfcc(np.ones(9000, np.float32), AudioConfig())\n"
            "print(sorted({'librosa', 'numba', 'sklearn'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
