# SPDX-License-Identifier: Apache-2.0
"""The sound of an overlay: which samples are passed on, and that they are heard where the pictures show them."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.sound_track import SoundTrack
from mindface_eri.preprocess.video import read_frames
from mindface_eri.report.overlay import write_overlay

RATE = 48000  # of what is written


def noise(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


def heard(samples, start, rate=RATE):
    """A decoded frame of a sound track, which needs no resampling unless it has another rate."""
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate)
    return frame


@pytest.mark.parametrize("start", [5.0, 4.875, 5.25])  # with the first picture, before it, after it
@pytest.mark.parametrize("seconds", [1.5, 0.25])  # longer and shorter than the pictures
def test_sound_is_passed_on_in_its_place(film, tracked, tmp_path, start, seconds):
    film.times, sound = [5.0, 5.25, 5.5, 5.75], noise(round(seconds * RATE))
    half = len(sound) // 2
    film.sounds = [(0, heard(sound[:half], start)), (2, heard(sound[half:], start + half / RATE))]
    write_overlay(tracked(np.subtract(film.times, 5), fps=4.0), tmp_path / "o.mp4")
    lead = round((start - 5) * RATE)
    expected = np.concatenate([np.zeros(max(lead, 0)), sound[max(-lead, 0):], np.zeros(RATE)])[:RATE]  # for 1 s
    np.testing.assert_array_equal(film.sound, expected.astype(np.float32))
    assert film.made[0].rate == RATE and all(piece.dtype == np.float32 for _, piece in film.made[0].pieces)


def test_sound_of_which_much_comes_before_the_first_picture(film, tracked, tmp_path):
    film.times, sound = [5.0, 5.5], noise(3 * RATE)
    film.sounds = [(number, heard(sound[part * RATE // 2:(part + 1) * RATE // 2], 3.75 + part / 2))
                   for part, number in enumerate((0, 1, 1, 2, 2, 2))]  # whole pieces lie before it, too
    write_overlay(tracked([0, 0.5], fps=2.0), tmp_path / "o.mp4")
    np.testing.assert_array_equal(film.sound, sound[round(1.25 * RATE):round(2.25 * RATE)])


def test_sound_is_passed_on_as_it_is_heard(film, tracked, tmp_path):
    """Memory does not grow with a film: what is heard is written with the pictures, a few seconds later."""
    film.times, sound = [float(k) for k in range(20)], noise(20 * RATE)
    film.sounds = [(k, heard(sound[k * RATE:(k + 1) * RATE], k)) for k in range(20)]
    write_overlay(tracked(film.times, fps=1.0, duration=20.0), tmp_path / "o.mp4")
    behind = np.cumsum([len(piece) for _, piece in film.made[0].pieces]) / RATE
    pictures = np.array([number for number, _ in film.made[0].pieces])  # that were written by then
    assert (pictures - behind < 8).all() and pictures[0] < 8
    np.testing.assert_array_equal(film.sound, sound)


def test_sound_of_another_rate_is_passed_on_to_its_last_sample(film, tracked, tmp_path):
    film.times, sound = [5.0, 5.5], np.full(8000, 0.5, np.float32)  # for 0.5 s: a quarter of silence on both sides
    film.sounds = [(0, heard(sound[:4000], 5.25, 16000)), (1, heard(sound[4000:], 5.5, 16000))]
    write_overlay(tracked([0, 0.5], fps=2.0), tmp_path / "o.mp4")
    whole = SoundTrack(RATE)
    for start, half in ((5.25, sound[:4000]), (5.5, sound[4000:])):
        whole.add(heard(half, start, 16000))
    whole.drain()
    resampled = np.concatenate(whole.take())
    assert len(resampled) == pytest.approx(RATE / 2, abs=2) and resampled[-50:].mean() > 0.4
    np.testing.assert_array_equal(film.sound, np.pad(resampled, (RATE // 4, RATE))[:RATE])


def test_a_separate_sound_begins_with_the_first_picture(film, tracked, tmp_path):
    film.times, film.separate = [5.0, 5.5], noise(RATE // 2)
    film.sounds = [(0, heard(noise(RATE, 1), 5.0))]  # the video's own is not heard
    found = dataclasses.replace(tracked([0, 0.5], fps=2.0), sound=Path("a.wav"))
    write_overlay(found, tmp_path / "o.mp4")
    np.testing.assert_array_equal(film.sound, np.pad(film.separate, (0, RATE // 2)))
    assert film.loaded == [(Path("a.wav"), RATE)] and film.read == [(found.path, False)]
    film.separate = noise(2 * RATE)
    write_overlay(found, tmp_path / "o.mp4")
    np.testing.assert_array_equal(film.sound, film.separate[:RATE])


def test_without_sound_there_is_no_track(film, tracked, tmp_path):
    film.times, film.sounds = [0.0, 0.5], [(0, heard(noise(RATE), 0.0))]
    write_overlay(tracked(film.times, present=np.array([1, 0], np.float32)), tmp_path / "o.mp4")
    assert film.made[0].rate is None and not film.made[0].pieces and film.read[0][1] is False


@pytest.mark.parametrize("picture, sound", [(0.32, 0.72), (0.72, 0.32), (0.0, 0.0)])
@pytest.mark.parametrize("separate", [False, True])
def test_what_is_heard_belongs_to_what_is_seen(tmp_path, write_streams, predictor, picture, sound, separate):
    """With codecs: a click 0.5 s after the first picture, and a picture that is bright from then on."""
    wave = np.zeros(16000)
    click = 0.5 if separate else picture + 0.5 - sound
    wave[round(click * 16000):][:80] = 0.9
    shades = [np.full((48, 64, 3), 20 if k < 10 else 220, np.uint8) for k in range(21)]
    video, beside = tmp_path / "clip.mkv", tmp_path / "clip.wav" if separate else None
    write_streams(video, shades, [picture + k / 20 for k in range(21)], None if separate else wave, sound)
    if separate:
        beside = tmp_path / "sound.mka"
        write_streams(beside, sound=wave)
    found, = predictor.predict([(video, beside)], moving=True)
    out = write_overlay(found, tmp_path / "o.mp4")
    pictures = [(seconds, shown.rgb()) for seconds, shown in read_frames(out)]
    first = pictures[0][0]
    bright = [seconds - first for seconds, rgb in pictures if rgb[24, 32].mean() > 120]
    assert (len(pictures), round(bright[0], 3), len(bright)) == (21, 0.5, 11)
    track = load_audio(out, RATE)
    loud = np.abs(track.waveform) > 0.3
    assert track.start - first + np.flatnonzero(loud)[0] / RATE == pytest.approx(0.5, abs=0.003)
    assert len(track.waveform) / RATE == pytest.approx(1.05, abs=0.03)
