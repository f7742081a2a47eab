# SPDX-License-Identifier: Apache-2.0
"""MFCC stacks: librosa's numbers, centred on the instants, of sound that comes in pieces."""

import librosa
import numpy as np
import pytest

from mindface_eri.config import AudioConfig
from mindface_eri.preprocess.mfcc import mfcc, mfcc_stacks

SMALL = AudioConfig(coefficients=13, stack=4)


def test_mfcc_is_librosas():
    y = np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)
    config = AudioConfig()
    expected = librosa.feature.mfcc(y=y, sr=16000, n_mfcc=128).T
    np.testing.assert_allclose(mfcc(y, config), expected, atol=1e-4)


def test_long_sound_in_pieces_gives_the_same(monkeypatch):
    y = np.random.default_rng(1).normal(0, 0.1, 30000).astype(np.float32)
    whole = mfcc(y, SMALL)
    monkeypatch.setattr("mindface_eri.preprocess.mfcc._CHUNK", 7)
    np.testing.assert_allclose(mfcc(y, SMALL), whole, atol=1e-4)


def test_stack_is_centred_on_its_instant():
    y = np.random.default_rng(2).normal(0, 0.1, 32000).astype(np.float32)
    frames = mfcc(y, SMALL)
    instant = 20 * 512 / 16000  # MFCC frame 20 is centred here
    stacks = mfcc_stacks(y, np.array([0.0, instant, 2.0]), SMALL)
    assert stacks.shape == (3, 52) and stacks.dtype == np.float32
    # four frames around 20: the centre of 19..22 is 20.5, of 18..21 is 19.5; a tie goes to the later
    np.testing.assert_allclose(stacks[1], frames[19:23].reshape(-1), atol=1e-5)
    np.testing.assert_allclose(stacks[0], frames[[0, 0, 1, 2]].reshape(-1), atol=1e-5)  # the edge frame is repeated


def test_offset_moves_the_sound():
    y = np.random.default_rng(3).normal(0, 0.1, 32000).astype(np.float32)
    times = np.linspace(0.5, 1.5, 5)
    np.testing.assert_allclose(mfcc_stacks(y, times - 0.4, SMALL, offset=-0.4), mfcc_stacks(y, times, SMALL), atol=1e-4)


def test_picture_longer_than_sound_hears_silence():
    y = np.random.default_rng(4).normal(0, 0.1, 16000).astype(np.float32)
    stacks = mfcc_stacks(y, np.linspace(0, 3, 10), SMALL, offset=0.5)
    silent = mfcc_stacks(y, np.array([2.2, 2.9]), SMALL, offset=0.5)
    np.testing.assert_allclose(stacks[-1][:13], stacks[-2][:13], atol=1e-3)
    np.testing.assert_allclose(silent[0], silent[1], atol=1e-3)
    assert np.abs(stacks[4] - stacks[-1]).max() > 10
    assert mfcc_stacks(y, np.linspace(0, 1, 4), SMALL, offset=1e6).shape == (4, 52)  # no overlap, no endless padding


@pytest.mark.parametrize("config", [AudioConfig(sample_rate=8000, coefficients=20, n_fft=600, hop_length=100),
                                    AudioConfig(sample_rate=22050, coefficients=150, n_fft=2048, hop_length=700)])
def test_mfcc_is_librosas_with_other_options(config):
    y = np.random.default_rng(6).normal(0, 0.1, 9000).astype(np.float32)
    expected = librosa.feature.mfcc(y=y, sr=config.sample_rate, n_mfcc=config.coefficients, n_fft=config.n_fft,
                                    hop_length=config.hop_length, n_mels=max(128, config.coefficients)).T
    found = mfcc(y, config)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("offset", [5.0, -50.0])
def test_sound_that_the_picture_never_meets_is_silence(offset):
    """A second of noise, long before the picture's one second or long after it."""
    y = np.random.default_rng(7).normal(0, 0.1, 16000).astype(np.float32)
    for clock in (-5, 100):  # the zero of the clock does not matter
        for begin in (offset, 0.5):
            times = np.linspace(0, 0.97, 6)
            np.testing.assert_allclose(mfcc_stacks(y, times + clock, SMALL, offset=begin + clock),
                                       mfcc_stacks(y, times, SMALL, offset=begin), atol=1e-3)
    stacks = mfcc_stacks(y, np.linspace(0, 1, 6), SMALL, offset=offset).reshape(6, 4, 13)
    assert np.ptp(stacks, axis=(0, 1)).max() < 1e-3
    silent = stacks[0, 0]
    loud = mfcc(y, SMALL)
    assert loud[:, 0].min() - silent[0] > 100
    last = mfcc_stacks(y, np.linspace(0, 1, 6), SMALL, offset=0.95).reshape(6, 4, 13)[:, :, 0]
    assert (last[:5] < silent[0] + 5).all() and last[5].min() > silent[0] + 100
