# SPDX-License-Identifier: Apache-2.0
"""Channels become one: a voice in any of them is heard at its loudness, ordinary recordings are averaged."""

import numpy as np
import pytest
import soundfile

from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.downmix import Levels, Mix

RNG = np.random.default_rng(3)
VOICE = (0.2 * np.sin(np.arange(16000) ** 1.3 / 50)).astype(np.float32)
ROOM = RNG.normal(0, 0.002, (16000, 8)).astype(np.float32)


def heard(tmp_path, channels):
    """The waveform of a file, and how often it was decoded."""
    soundfile.write(tmp_path / "a.wav", channels, 16000, subtype="FLOAT")
    audio = load_audio(tmp_path / "a.wav", 16000)
    return audio.waveform, 1 if audio.kept is not None else 2


@pytest.mark.parametrize("count", [2, 4, 6, 8])
@pytest.mark.parametrize("room", [0.0, 1.0])
def test_a_voice_in_one_channel_is_as_loud_as_in_mono(tmp_path, count, room):
    for channel in (0, count // 2, count - 1):
        channels = room * ROOM[:, :count]
        channels[:, channel] += VOICE
        found, times = heard(tmp_path, channels)
        assert times == 2 and np.corrcoef(found, VOICE)[0, 1] > 0.99
        assert found.std() == pytest.approx(VOICE.std(), rel=0.02)


@pytest.mark.parametrize("right", [-1.0, -0.6, -1.7])
def test_a_channel_that_is_the_other_one_inverted_cancels_nothing(tmp_path, right):
    found, _ = heard(tmp_path, np.stack([VOICE, right * VOICE], 1) + 0.1 * ROOM[:, :2])
    assert found.std() == pytest.approx(max(1, -right) * VOICE.std(), rel=0.02)
    assert abs(np.corrcoef(found, VOICE)[0, 1]) > 0.99


@pytest.mark.parametrize("right", [1.0, 0.4, 0.2])  # of the left one
def test_ordinary_stereo_is_averaged_and_decoded_once(tmp_path, right):
    channels = np.stack([VOICE, right * VOICE], 1) + ROOM[:, :2]
    found, times = heard(tmp_path, channels)
    assert times == 1
    np.testing.assert_array_equal(found, channels.mean(axis=1, dtype=np.float32))


def test_uncorrelated_channels_are_averaged_if_two_and_as_loud_as_one_if_more(tmp_path):
    noise = RNG.normal(0, 0.1, (16000, 6)).astype(np.float32)
    found, _ = heard(tmp_path, noise[:, :2])
    np.testing.assert_array_equal(found, noise[:, :2].mean(axis=1, dtype=np.float32))
    found, _ = heard(tmp_path, noise)
    assert found.std() == pytest.approx(0.1, rel=0.05)
    for channel in noise.T:  # all of them are in it
        assert np.corrcoef(found, channel)[0, 1] == pytest.approx(6 ** -0.5, abs=0.05)


def test_damaged_samples_are_not_measured():
    levels, sound = Levels(), np.stack([VOICE, VOICE], 1)
    sound[5] = np.nan, 1e30
    levels.add(sound, np.where(np.arange(16000) == 5, 0, VOICE).astype(np.float32), 1000.0)
    assert levels.peak == pytest.approx(0.2, rel=1e-3) and levels.mix(3) == Mix(3)
    levels.add(np.full((10, 2), 900, np.float32), np.full(10, 900, np.float32), 1000.0)
    assert levels.peak == 900
