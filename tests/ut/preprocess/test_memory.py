# SPDX-License-Identifier: Apache-2.0
"""Long clips: what an hour takes is held once, and pieces give the same numbers as the whole."""

import tracemalloc

import numpy as np
import pytest

from mindface_eri.config import AudioConfig
from mindface_eri.preprocess import geometry
from mindface_eri.preprocess.geometry import DETECTED, NONE, smooth
from mindface_eri.preprocess.mfcc import mfcc_stacks


def peak_of(function, *arguments):
    """Bytes that a call takes at most beyond what there was."""
    function(*arguments)  # what is imported or remembered is there before
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_stacks_take_no_copy_of_the_sound():
    config = AudioConfig(coefficients=13, stack=2, n_fft=512, hop_length=8000)
    sound = np.random.default_rng(0).normal(0, 0.1, 16000 * 600).astype(np.float32)
    assert peak_of(mfcc_stacks, sound, np.linspace(0, 650, 9), config, 20.0) < sound.nbytes / 4


@pytest.mark.parametrize("chunk", [1, 7, 64, 199])
def test_landmarks_smoothed_in_pieces_are_the_same(monkeypatch, chunk):
    rng = np.random.default_rng(1)
    landmarks, states = rng.normal(size=(200, 68, 2)).astype(np.float32), np.full(200, DETECTED, np.uint8)
    states[60:70] = NONE
    whole = smooth(landmarks, states, 2.0)
    monkeypatch.setattr(geometry, "_CHUNK", chunk)
    np.testing.assert_array_equal(smooth(landmarks, states, 2.0), whole)


def test_smoothing_takes_little_more_than_its_result():
    landmarks = np.zeros((40_000, 68, 2), np.float32)
    assert peak_of(smooth, landmarks, np.full(40_000, DETECTED, np.uint8), 1.0) < 2.5 * landmarks.nbytes
