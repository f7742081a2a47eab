# SPDX-License-Identifier: Apache-2.0
"""Sound that begins before or after the picture: its place in the timeline's windows and in the page's chart."""

import dataclasses
import re

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, ModelConfig, PreprocessConfig
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.report.charts import wave

RATE = 16000


class Listening:
    """Keeps the MFCC and presence of what it is asked, clip by clip."""

    def __init__(self):
        self.given = []

    def run(self, inputs):
        _, mfcc, present = inputs
        self.given += zip(mfcc, present)
        return np.full((len(mfcc), 7), 0.5, np.float32)


@pytest.fixture()
def listener():
    """A predictor that keeps what it was given, on MFCC frames each 10 ms."""
    config = PreprocessConfig(
        frames=5, face=FaceConfig(detector="dlib", size=32),
        audio=AudioConfig(coefficients=8, stack=1, n_fft=512, hop_length=160, silence=0.01))
    backend = Listening()
    predictor = Predictor(backend, ModelConfig(frames=5, crop_size=32, mfcc_features=8), config)
    predictor.given = backend.given
    return predictor


def only(predictor, *clip, **more):
    """The only prediction of a path, or of a path and its sound."""
    (found,) = predictor.predict([clip if len(clip) > 1 else clip[0]], **more)
    assert not found.error
    return found


def sound_with(begin, *places, seconds=1.0):
    """Faint noise from second `begin` on, a click up at the first place and half of one down at the second."""
    sound = np.random.default_rng(5).normal(0, 1e-3, round(seconds * RATE))
    for place, value in zip(places, (0.75, -0.375)):
        sound[round((place - begin) * RATE)] = value
    return np.round(sound * 32768) / 32768


def chart_points(chart):
    """(2, K, 2): the chart's upper and lower outline, in order of time."""
    text = re.search(r'class="wave" points="([^"]*)"', chart).group(1)
    points = np.array([[float(v) for v in pair.split(",")] for pair in text.split()])
    half = len(points) // 2
    return np.stack([points[:half], points[half:][::-1]])


def check_envelope(clip, expected, seconds):
    """The lowest and highest sample of each of 800 spans over the clip."""
    sound, rate = clip.envelope, round(len(expected) / seconds)
    edges = np.round(np.arange(801) / 800 * seconds * rate).astype(int)
    parts = [expected[a:b] for a, b in zip(edges, edges[1:])]
    assert len(sound) == 800 and sound.seconds == pytest.approx(seconds)
    np.testing.assert_allclose(sound.low, [part.min() for part in parts], atol=1e-6)
    np.testing.assert_allclose(sound.high, [part.max() for part in parts], atol=1e-6)


def write_clip(write_streams, path, begin, *sound):
    """21 pictures, 20 a second, the first at `begin`."""
    write_streams(path, [np.full((48, 64, 3), 9 + 9 * k, np.uint8) for k in range(21)],
                  [begin + k / 20 for k in range(21)], *sound)


@pytest.mark.parametrize("picture, sound", [(0.32, 0.72), (0.72, 0.32), (0.0, 0.4), (0.4, 0.0)])
def test_the_chart_shows_sound_where_the_picture_was(tmp_path, write_streams, listener, picture, sound):
    given = sound_with(sound, picture + 0.5, picture + 0.55)
    write_clip(write_streams, tmp_path / "clip.mkv", picture, given, sound)
    found = only(listener, tmp_path / "clip.mkv")
    lead = round((sound - picture) * RATE)  # samples of silence, or of sound before the first picture
    expected = np.concatenate([np.zeros(max(lead, 0)), given[max(-lead, 0):], np.zeros(RATE)])[:round(1.05 * RATE)]
    check_envelope(found.clip, expected, 1.05)
    up, down = chart_points(wave(found, 1.0))  # 1 s of the 1.05 s; a span is 1.3 wide, its point in its middle
    assert len(up) == 762 and up[-1, 0] <= 1000
    np.testing.assert_allclose(up[up[:, 1].argmin()], [500, 3], atol=0.7)
    np.testing.assert_allclose(down[down[:, 1].argmax()], [550, 73.5], atol=0.7)
    assert (listener.given[0][0][:, 0].argmax(), len(listener.given)) == (2, 1)  # instants at 0, 0.25, 0.5 ... s


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_separate_sound_is_shown_from_the_first_picture_on(tmp_path, write_streams, listener, start):
    given = sound_with(start, start + 0.25, start + 0.5)
    write_streams(tmp_path / "sound.mka", sound=given, start=start)
    write_clip(write_streams, tmp_path / "clip.mkv", 0.2)
    found = only(listener, tmp_path / "clip.mkv", tmp_path / "sound.mka")
    check_envelope(found.clip, np.pad(given, (0, 800)), 1.05)
    assert listener.given[0][0][:, 0].argmax() == 1
    assert (found.name, found.path, found.sound) == ("clip", tmp_path / "clip.mkv", tmp_path / "sound.mka")


def test_a_late_sound_alone_is_shown_from_its_begin(tmp_path, write_streams, listener):
    given = sound_with(0.64, 1.14)
    write_streams(tmp_path / "sound.mka", sound=given, start=0.64)
    found = only(listener, tmp_path / "sound.mka", whole=True)
    check_envelope(found.clip, given, 1.0)
    assert listener.given[0][0][:, 0].argmax() == 2 and found.name == "sound"


@pytest.mark.parametrize("rate", [8000, 32000])
def test_another_sample_rate_changes_no_place(tmp_path, write_streams, listener, rate):
    audio = dataclasses.replace(listener.preprocess.audio, sample_rate=rate, hop_length=rate // 100, n_fft=2048)
    listener.preprocess = dataclasses.replace(listener.preprocess, audio=audio)
    write_clip(write_streams, tmp_path / "clip.mkv", 0.2, 0.5 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE), 0.7)
    found = only(listener, tmp_path / "clip.mkv")
    sound = found.clip.envelope
    assert (len(sound), sound.seconds) == (800, pytest.approx(1.05))
    assert np.flatnonzero(sound.high > 0.1)[0] / 800 * 1.05 == pytest.approx(0.5, abs=0.0015)
    up, _ = chart_points(wave(found, 1.0))
    assert up[np.flatnonzero(up[:, 1] < 40)[0], 0] == pytest.approx(500, abs=1.5)


@pytest.mark.parametrize("sound, heard", [(1.92, [0, 0, 1, 1, 1, 0, 0]), (0.02, [1, 0, 0, 0, 0, 0, 0])])
def test_windows_hear_the_sound_of_their_own_instants(tmp_path, write_streams, listener, sound, heard):
    """Windows of 1 s each 0.5 s over 4 s; the sound is audible for 0.75 s, from or up to a known second."""
    picture = 0.32
    wave_form = 0.3 * np.sin(2 * np.pi * 300 * np.arange(0, 0.75, 1 / RATE))
    write_streams(tmp_path / "clip.mkv", [np.full((48, 64, 3), 9 + 2 * k, np.uint8) for k in range(81)],
                  [picture + k / 20 for k in range(81)], wave_form, sound)
    found = only(listener, tmp_path / "clip.mkv", window=1.0, hop=0.5)
    assert [int(present[1]) for _, present in listener.given] == heard
    assert [bool(mfcc.any()) for mfcc, _ in listener.given] == [bool(h) for h in heard]
    rows = found.rows()
    assert [row["start"] for row in rows] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5] and rows[-1]["end"] == 4
    spoken = np.flatnonzero(heard)  # a segment is answered where a window over its middle hears something
    assert [i for i, row in enumerate(rows) if "error" not in row] == list(range(spoken[0], spoken[-1] + 2))
    quiet = dataclasses.replace(listener.preprocess.audio, silence=0.29)
    listener.preprocess = dataclasses.replace(listener.preprocess, audio=quiet)
    listener.given.clear()
    only(listener, tmp_path / "clip.mkv", window=1.0, hop=0.5)
    assert sum(int(present[1]) for _, present in listener.given) == sum(heard)
