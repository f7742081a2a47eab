# SPDX-License-Identifier: Apache-2.0
"""Copies of sound at other speeds: pitch and tempo change together, what happens stays at its instant."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindface_eri.config import AudioConfig, AugmentConfig, PreprocessConfig, load_config
from mindface_eri.errors import ConfigError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.mfcc import mfcc_stacks
from mindface_eri.preprocess.speed import played, with_noise

RATE = 16000
CONFIG = PreprocessConfig(frames=9, audio=AudioConfig(coefficients=13, stack=2),
                          augment=AugmentConfig(speeds=(0.8, 1.25)))


def tone(hertz, seconds=2.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("speed, hertz", [(1.125, 495.0), (0.5, 220.0), (2.0, 880.0)])
def test_a_tone_played_faster_is_higher_and_shorter(speed, hertz):
    found = np.concatenate(list(played(np.split(tone(440), [5, 7001, 30000]), speed, RATE)))
    assert len(found) == pytest.approx(2 * RATE / speed, abs=40) and found.dtype == np.float32
    peak = np.abs(np.fft.rfft(found * np.hanning(len(found)))).argmax() * RATE / len(found)
    assert peak == pytest.approx(hertz, abs=1.0)
    assert np.abs(found[2000:-2000]).max() == pytest.approx(0.3, abs=0.01)


def test_the_speed_of_a_recording_changes_nothing():
    pieces = np.split(tone(300), 4)
    assert [some is other for some, other in zip(played(pieces, 1.0, RATE), pieces)] == [True] * 4


def test_noise_has_the_deviation_asked_for():
    quiet = [np.zeros(20000, np.float32), np.zeros(30000, np.float32)]
    found = np.concatenate(list(with_noise(quiet, 0.05, np.random.default_rng(1))))
    assert found.std() == pytest.approx(0.05, rel=0.02) and found.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(list(with_noise(quiet, 0.0, np.random.default_rng(1)))), 0)


@pytest.fixture
def path(tmp_path):
    """4 s with clicks at 1.0 and 3.0 s, on a tone."""
    sound = tone(500, 4.0) * 0.05
    sound[[RATE, 3 * RATE]] = 0.9
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    return tmp_path / "a.wav"


def test_what_is_heard_stays_at_its_instant(path):
    clip = extract_clip(path, CONFIG, copies=True)
    assert clip.copies.shape == (2, 9, 26) and clip.copies.dtype == np.float32
    for stacks in (clip.mfcc, *clip.copies):
        loudness = stacks.reshape(9, 2, 13)[:, :, 0].max(1)
        assert sorted(np.argsort(loudness)[-2:].tolist()) == [2, 6], "1 and 3 s of 0, 0.5, ... 4 s"
    plain = extract_clip(path, CONFIG)
    np.testing.assert_array_equal(clip.mfcc, plain.mfcc)
    assert plain.copies is None and plain.content_hash() != clip.content_hash()
    assert plain.content_hash() == extract_clip(path, replace(CONFIG, augment=AugmentConfig())).content_hash()


def test_a_copy_is_the_sound_played_at_that_speed(path):
    copy = extract_clip(path, CONFIG, copies=True).copies[1]
    sound, _ = soundfile.read(path, dtype="float32")
    faster = np.concatenate(list(played([sound], 1.25, RATE)))
    np.testing.assert_allclose(copy, mfcc_stacks(faster, np.linspace(0, 4, 9) / 1.25, CONFIG.audio), atol=1e-3)


def test_noise_is_the_same_for_the_same_clip_and_another_in_each_copy(path):
    config = replace(CONFIG, augment=AugmentConfig(speeds=(1.0, 1.25), noise=0.5))
    one, same = extract_clip(path, config, copies=True), extract_clip(path, config, copies=True)
    np.testing.assert_array_equal(one.copies, same.copies)
    louder = one.copies[0].reshape(9, 2, 13)[4, :, 0] - one.mfcc.reshape(9, 2, 13)[4, :, 0]
    assert (louder > 20).all(), "between the clicks only the noise is broad"
    clean = extract_clip(path, CONFIG, copies=True)
    assert np.abs(one.copies[1] - clean.copies[1]).max() > 20


@pytest.mark.parametrize("values, message", [
    ({"speeds": [1.0, 0.9]}, "at speed 1 some preprocess.augment.noise, else it is the clip itself"),
    ({"speeds": [0.9, 0.9]}, "each copy needs a speed of its own"),
    ({"speeds": [9.0]}, r"preprocess.augment.speeds\[0\]: 9.0 is outside"),
    ({"splits": ["train", "dev"]}, r"splits \['train', 'dev'\]: expected some of train, val, test")])
def test_what_makes_no_copy_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        load_config(values={f"preprocess.augment.{name}": value for name, value in values.items()})
