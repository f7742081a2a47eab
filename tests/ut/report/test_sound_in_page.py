# SPDX-License-Identifier: Apache-2.0
"""Sound that begins before or after the picture: its place in the timeline's windows and in the page's chart."""

import dataclasses
import re

import numpy as np
import pytest
from mindface_eri.prediction.analysis import analyse

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.report.charts import wave

RATE = 16000


@pytest.fixture()
def listener(predictor):
    """A predictor that keeps what it was given, on MFCC frames each 10 ms."""
    predictor.preprocess = PreprocessConfig(
        frames=5, face=FaceConfig(detector="dlib", size=32),
        audio=AudioConfig(coefficients=8, stack=1, n_fft=512, hop_length=160, silence=0.01))
    answer, predictor.given = predictor.predict_arrays, []

    def predict_arrays(frames, mfcc, present):
        predictor.given.append((mfcc[0], present[0]))
        return answer(frames, mfcc, present)

    predictor.predict_arrays = predict_arrays
    return predictor


def sound_with(begin, *places, seconds=1.0):
    """Faint noise from second `begin` on, a click up at the first place and half of one down at the second."""
    sound = np.random.default_rng(5).normal(0, 1e-3, round(seconds * RATE))
    for place, value in zip(places, (0.75, -0.375)):
        sound[round((place - begin) * RATE)] = value
    return np.round(sound * 32768) / 32768


def chart_points(chart):
    """(2, 800, 2): the chart's upper and lower outline, in order of time."""
    text = re.search(r'class="wave" points="([^"]*)"', chart).group(1)
    points = np.array([[float(v) for v in pair.split(",")] for pair in text.split()])
    return np.stack([points[:800], points[800:][::-1]])


@pytest.mark.parametrize("picture, sound", [(0.32, 0.72), (0.72, 0.32), (0.0, 0.4), (0.4, 0.0)])
def test_the_chart_shows_sound_where_the_picture_was(tmp_path, write_streams, listener, picture, sound):
    given = sound_with(sound, picture + 0.5, picture + 0.55)
    write_streams(tmp_path / "clip.mkv", [np.full((48, 64, 3), 9 + 9 * k, np.uint8) for k in range(21)],
                  [picture + k / 20 for k in range(21)], given, sound)
    found = analyse(tmp_path / "clip.mkv", listener)
    lead = round((sound - picture) * RATE)  # samples of silence, or of sound before the first picture
    expected = np.concatenate([np.zeros(max(lead, 0)), given[max(-lead, 0):], np.zeros(RATE)])[:round(1.05 * RATE)]
    np.testing.assert_allclose(found.waveform, expected, atol=1e-6)
    up, down = chart_points(wave(found, 1.0))  # 1 s of the 1.05 s is 16000 samples, 20 a point
    assert up[:, 1].argmin() == 400 and down[:, 1].argmax() == 440
    np.testing.assert_allclose(up[400], [400 * 1000 / 799, 3], atol=0.06)
    np.testing.assert_allclose(down[440], [440 * 1000 / 799, 73.5], atol=0.06)
    assert (listener.given[0][0][:, 0].argmax(), len(listener.given)) == (2, 1)  # instants at 0, 0.25, 0.5 ... s


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_separate_sound_is_shown_from_the_first_picture_on(tmp_path, write_streams, listener, start):
    given = sound_with(start, start + 0.25, start + 0.5)
    write_streams(tmp_path / "sound.mka", sound=given, start=start)
    write_streams(tmp_path / "clip.mkv", [np.full((48, 64, 3), 9 + 9 * k, np.uint8) for k in range(21)],
                  [0.2 + k / 20 for k in range(21)])
    found = analyse(tmp_path / "clip.mkv", listener, audio_path=tmp_path / "sound.mka", name="other")
    np.testing.assert_allclose(found.waveform, np.pad(given, (0, 800)), atol=1e-6)
    assert listener.given[0][0][:, 0].argmax() == 1 and found.name == "other"


def test_a_late_sound_alone_is_shown_from_its_begin(tmp_path, write_streams, listener):
    given = sound_with(0.64, 1.14)
    write_streams(tmp_path / "sound.mka", sound=given, start=0.64)
    found = analyse(tmp_path / "sound.mka", listener, whole=True)
    np.testing.assert_allclose(found.waveform, given, atol=1e-6)
    assert listener.given[0][0][:, 0].argmax() == 2 and found.name == "sound"


@pytest.mark.parametrize("rate", [8000, 32000])
def test_another_sample_rate_changes_no_place(tmp_path, write_streams, listener, rate):
    audio = dataclasses.replace(listener.preprocess.audio, sample_rate=rate, hop_length=rate // 100, n_fft=2048)
    listener.preprocess = dataclasses.replace(listener.preprocess, audio=audio)
    given = 0.5 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)
    write_streams(tmp_path / "clip.mkv", [np.full((48, 64, 3), 9 + 9 * k, np.uint8) for k in range(21)],
                  [0.2 + k / 20 for k in range(21)], given, 0.7)
    found = analyse(tmp_path / "clip.mkv", listener)
    assert found.sample_rate == rate and len(found.waveform) == round(1.05 * rate)
    assert np.flatnonzero(np.abs(found.waveform) > 0.1)[0] == pytest.approx(rate / 2, abs=rate / 1000)
    up, _ = chart_points(wave(found, 1.0))
    assert np.flatnonzero(up[:, 1] < 40)[0] == pytest.approx(400, abs=1)


@pytest.mark.parametrize("sound, heard", [(1.92, [0, 0, 1, 1, 1, 0, 0]), (0.02, [1, 0, 0, 0, 0, 0, 0])])
def test_windows_hear_the_sound_of_their_own_instants(tmp_path, write_streams, listener, sound, heard):
    """Windows of 1 s each 0.5 s over 4 s; the sound is audible for 0.75 s, from or up to a known second."""
    picture = 0.32
    wave_form = 0.3 * np.sin(2 * np.pi * 300 * np.arange(0, 0.75, 1 / RATE))
    write_streams(tmp_path / "clip.mkv", [np.full((48, 64, 3), 9 + 2 * k, np.uint8) for k in range(81)],
                  [picture + k / 20 for k in range(81)], wave_form, sound)
    found = analyse(tmp_path / "clip.mkv", listener, window=1.0, hop=0.5)
    assert [int(present[1]) for _, present in listener.given] == heard
    assert [bool(mfcc.any()) for mfcc, _ in listener.given] == [bool(h) for h in heard]
    rows = found.rows()
    assert [row["start"] for row in rows] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5] and rows[-1]["end"] == 4
    spoken = np.flatnonzero(heard)  # a segment is answered where a window over its middle hears something
    assert [i for i, row in enumerate(rows) if "error" not in row] == list(range(spoken[0], spoken[-1] + 2))
    quiet = dataclasses.replace(listener.preprocess.audio, silence=0.29)
    listener.preprocess = dataclasses.replace(listener.preprocess, audio=quiet)
    listener.given.clear()
    analyse(tmp_path / "clip.mkv", listener, window=1.0, hop=0.5)
    assert sum(int(present[1]) for _, present in listener.given) == sum(heard)
