# SPDX-License-Identifier: Apache-2.0
"""How much of a clip's sound its stacks hold: `cover: all` leaves out nothing, `centred` what lies between them."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindface_eri.config import AudioConfig, PreprocessConfig
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.mfcc import covering_frames, mfcc_stacks

RATE, T = 16000, 32
CENTRED, ALL = AudioConfig(coefficients=13), AudioConfig(coefficients=13, cover="all")


def noise(seconds, *places, burst=0.04):
    """Faint noise, loud for `burst` seconds around each place."""
    sound = np.random.default_rng(5).normal(0, 1e-3, round(seconds * RATE)).astype(np.float32)
    for place in places:
        first = round((place - burst / 2) * RATE)
        sound[max(first, 0):first + round(burst * RATE)] *= 200
    return sound


def covered(middles, long, seconds):
    """Share of [0, seconds] that lies in one of the frames, each `long` seconds around its middle, and the holes."""
    begins = np.clip(np.sort(middles.reshape(-1)) - long / 2, 0, seconds)
    ends = np.clip(np.sort(middles.reshape(-1)) + long / 2, 0, seconds)
    reached = np.maximum.accumulate(ends)
    holes = np.maximum(begins[1:] - reached[:-1], 0)
    return 1 - (holes.sum() + begins[0] + seconds - reached[-1]) / seconds, int((holes > 1e-9).sum())


def loudness(stacks, config):
    """(T, stack): the first coefficient of each frame."""
    return stacks.reshape(len(stacks), config.stack, config.coefficients)[:, :, 0]


@pytest.mark.parametrize("seconds, share", [(9.9, 0.80), (12.0, 0.66), (15.0, 0.53), (0.5, 1.0)])
def test_all_leaves_no_hole_where_centred_holds_less(seconds, share):
    times = np.linspace(0, seconds - 0.04, T)  # of 25 pictures a second, whose last one is shown until the end
    middles, long = covering_frames(times, seconds, ALL)
    assert covered(middles, long, seconds) == (pytest.approx(1.0, abs=1e-9), 0)
    assert long == pytest.approx(max(0.032, (seconds - 0.04) / 31 / 8))
    usual = np.linspace(0, seconds, T)[:, None] + (np.arange(8) - 3.5) * 0.032
    found, holes = covered(usual, 0.032, seconds)
    assert found == pytest.approx(share, abs=0.005) and holes == (0 if share == 1 else 31)
    np.testing.assert_allclose(middles.mean(1), times, atol=0.04)
    assert (np.diff(middles.mean(1)) > 0).all() and (np.diff(middles, axis=1) > 0).all()


def test_a_sound_between_two_stacks_is_heard_by_all_alone():
    times = np.linspace(0, 15, T)
    between = (times[:-1] + times[1:]) / 2
    quiet, loud = noise(15), noise(15, *between)
    differ = {config.cover: np.abs(loudness(mfcc_stacks(loud, times, config), config)
                                   - loudness(mfcc_stacks(quiet, times, config), config)).max(1) > 50
              for config in (CENTRED, ALL)}
    assert not differ["centred"].any() and differ["all"].all()


@pytest.mark.parametrize("seconds, places", [(600.0, (7.0, 111.1, 301.3, 433.3, 599.8)), (0.5, (0.25,))])
def test_what_is_heard_lies_where_it_is(seconds, places):
    """Ten minutes, whose frames last 2.4 s each, and half a second, whose stacks overlap."""
    times = np.linspace(0, seconds, T)
    heard = loudness(mfcc_stacks(noise(seconds, *places, burst=0.1), times, ALL, end=seconds), ALL)
    middles, long = covering_frames(times, seconds, ALL)
    loud = heard > heard.min() + 0.5 * np.ptp(heard)
    for middle in middles[loud]:
        assert np.abs(middle - np.array(places)).min() < long / 2 + 0.12
    for place in places:
        assert np.abs(middles[loud] - place).min() < long / 2 + 1e-9


def test_a_longer_frame_is_the_mean_of_its_windows():
    """Noise that is there in half of each frame of a second holds half the power."""
    clock, config = np.arange(62 * RATE) / RATE, AudioConfig(coefficients=13, stack=2, cover="all")
    sound = np.random.default_rng(6).normal(0, 0.1, len(clock)).astype(np.float32)
    whole, half = (loudness(mfcc_stacks(sound * some, np.linspace(0, 62, T), config), config)[1:-1]
                   for some in (np.ones_like(sound), (clock % 0.5 < 0.25).astype(np.float32)))
    assert (whole - half).mean() == pytest.approx(10 * np.log10(2) * 128 ** 0.5, rel=0.05)
    assert np.ptp(half) < 20


def test_the_sound_may_begin_late_and_lie_in_pieces():
    times, sound = np.linspace(0, 20, T), noise(17, 3.0, 16.9)
    whole = mfcc_stacks(sound, times, ALL, offset=2.0, end=20.0)
    pieces = mfcc_stacks(iter(np.split(sound, [5, 4000, 100000])), times, ALL, 2.0, len(sound), 20.0)
    np.testing.assert_array_equal(pieces, whole)
    np.testing.assert_array_equal(mfcc_stacks(sound, times + 100, ALL, offset=102.0, end=120.0), whole)
    heard = loudness(whole, ALL)
    assert np.argmax(heard.max(1)) in (8, 29) and heard[8].max() > heard[7].max() + 50, "5.0 and 18.9 s"
    assert np.ptp(heard[:2]) == 0 and heard[0, 0] < heard[5, 0] - 50, "silence before it begins"


def test_a_single_instant_and_slow_pictures_hear_all():
    middles, long = covering_frames(np.zeros(1), 3.0, ALL)
    assert covered(middles, long, 3.0) == (pytest.approx(1.0), 0) and middles.mean() == 1.5
    slow = np.repeat(np.arange(12.0), 3)[:T]  # a picture a second, the last one shown for a second
    middles, long = covering_frames(slow, 12.0, ALL)
    assert covered(middles, long, 12.0) == (pytest.approx(1.0), 0)
    assert covering_frames(np.zeros(4), 0.0, ALL)[0].shape == (4, 8)


def test_a_clip_taken_apart_more_finely_answers_for_the_whole_as_usual(tmp_path):
    """What the network sees of the clip does not depend on whether its windows are asked for, too."""
    config = PreprocessConfig(frames=8, audio=ALL)
    soundfile.write(tmp_path / "a.wav", noise(6, 1.3, 4.0), RATE)
    usual = extract_clip(tmp_path / "a.wav", config)
    fine = extract_clip(tmp_path / "a.wav", config, instants=lambda seconds: 15)
    np.testing.assert_array_equal(fine.every(2).mfcc, usual.mfcc)
    assert np.abs(fine.mfcc[::2] - usual.mfcc).max() > 1, "stacks twice as close are half as long"
    assert fine.every(2).content_hash() == usual.content_hash()
    centred = extract_clip(tmp_path / "a.wav", replace(config, audio=CENTRED), instants=lambda seconds: 15)
    assert centred.coarse_mfcc is None and usual.coarse_mfcc is None
