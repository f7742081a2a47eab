# SPDX-License-Identifier: Apache-2.0
"""What an analysis asks the network, window by window, and where the sound lies beside the picture."""

import dataclasses
import types
from pathlib import Path

import numpy as np
import pytest
from mindface_eri.prediction.analysis import analyse, explain, worth_showing

from mindface_eri.errors import MediaError


class Recording:
    """Keeps what it is asked; says the first crop's brightness, and for the second emotion the mean of the MFCCs."""

    emotions = ("Fear", "Joy")

    def __init__(self, preprocess, name="eri_dual_branch"):
        self.preprocess, self.model, self.asked = preprocess, types.SimpleNamespace(name=name), []

    def predict_arrays(self, frames, mfcc, present):
        self.asked.append((frames, mfcc, present))
        return np.stack([frames[:, 0, 0, 0, 0] / 255, np.abs(mfcc).mean((1, 2))], 1)


@pytest.fixture()
def recording(predictor):
    return Recording(predictor.preprocess)


def test_a_short_clip_is_taken_whole(media, recording):
    asked, said = media(30.0), []
    found = analyse("some/x.mp4", recording, notify=said.append)
    assert [(path, config, sound) for path, config, sound in asked] == [
        (Path("some/x.mp4"), recording.preprocess, None)]
    (frames, mfcc, present), = recording.asked
    np.testing.assert_array_equal(frames, found.clip.frames[None])
    np.testing.assert_array_equal(mfcc, found.clip.mfcc[None])
    np.testing.assert_array_equal(present, [[1, 0]])
    assert said == ["x.mp4: reading 30.0 s"]
    assert (found.name, found.path, found.emotions) == ("x", Path("some/x.mp4"), ("Fear", "Joy"))
    assert (found.window, found.hop, found.is_timeline) == (0.0, 0.0, False)
    assert found.waveform is found.temporal is found.spatial is None
    assert found.segments.tolist() == [[0.0, 30.0]]
    np.testing.assert_allclose(found.intensities, [40 / 255, 0])
    np.testing.assert_allclose(found.values, [[40 / 255, 0]])
    assert found.rows() == [{"File_ID": "x", "Fear": pytest.approx(40 / 255), "Joy": 0.0}]


def test_what_makes_a_timeline(media, recording):
    media(30.5)
    found = analyse("x.mp4", recording)
    assert (found.window, found.hop) == (12.0, 6.0)
    assert not analyse("x.mp4", recording, whole=True, window=3.0).is_timeline
    media(10.0)
    assert not analyse("x.mp4", recording).is_timeline
    found = analyse("x.mp4", recording, hop=3.0)
    assert (found.window, found.hop) == (12.0, 3.0)  # as asked, though the window is longer than the video
    assert len(found.clip.timestamps) == 4 and len(found.segments) == 3
    found = analyse("x.mp4", recording, window=4.0)
    assert (found.window, found.hop) == (4.0, 2.0)
    found = analyse("x.mp4", recording, hop=20.0, window=30.0, name="other")
    assert (found.name, len(found.segments)) == ("other", 1)
    with pytest.raises(MediaError, match="choose a longer --window"):
        media(90_000.0)
        analyse("x.mp4", recording, window=2.0)


def test_each_window_is_asked_about_its_own_frames_sound_and_faces(media, recording):
    """7 samples, a second apart, in windows of 4, a second on: a face in the first two samples, sound in the last."""
    tone = np.zeros(6 * 16000)
    tone[round(5.5 * 16000):] = -0.5  # a peak below zero is heard too
    media(6.0, waveform=tone, states=[3, 2, 0, 0, 0, 0, 0])
    said = []
    found = analyse("x.mp4", recording, window=3.0, hop=1.0, batch_size=3, notify=said.append)
    assert said == ["x.mp4: reading 6.0 s", "3 of 4 windows", "4 of 4 windows"]
    assert [len(frames) for frames, _, _ in recording.asked] == [3, 1]
    frames, mfcc, present = (np.concatenate(parts) for parts in zip(*recording.asked))
    np.testing.assert_array_equal(present, [[1, 0], [1, 0], [0, 0], [0, 1]])
    assert present.dtype == np.float32
    for window in range(4):
        np.testing.assert_array_equal(frames[window], found.clip.frames[window:window + 4])
    np.testing.assert_array_equal(mfcc[:3], 0)  # a window without sound hears nothing of the next one's
    np.testing.assert_array_equal(mfcc[3], found.clip.mfcc[3:])
    light = found.clip.frames[:, 0, 0, 0] / 255
    loud = np.abs(found.clip.mfcc[3:]).mean()
    fear = [light[0], light[:2].mean(), light[:2].mean(), (light[1] + light[3]) / 2, light[3], light[3]]
    joy = [0, 0, 0, loud / 2, loud, loud]  # the third window has neither, and no say
    np.testing.assert_allclose(found.values, np.stack([fear, joy], 1), rtol=1e-6)
    np.testing.assert_allclose(found.intensities, [np.mean(fear), np.mean(joy)], rtol=1e-6)
    assert found.segments.tolist() == [[i, i + 1] for i in range(6)]


def test_a_network_of_one_branch_has_no_say_where_it_lacks_its_modality(media, predictor):
    tone = np.full(6 * 16000, 0.5)
    for name, known in (("eri_visual", [True, False]), ("eri_acoustic", [True, True]), ("eri_dual_branch", [True] * 2)):
        media(6.0, waveform=tone, states=[3, 2, 0, 0, 0, 0, 0])  # a face in the first window, sound in both
        found = analyse("x.mp4", Recording(predictor.preprocess, name), window=3.0, hop=3.0)
        assert np.isfinite(found.values).all(1).tolist() == known, name
    media(6.0, face=False, waveform=tone, note="no face anywhere")
    with pytest.raises(MediaError, match=r"^x\.mp4: eri_visual needs a face, and none was found \(no face anywhere\)"):
        analyse("x.mp4", Recording(predictor.preprocess, "eri_visual"))


@pytest.mark.parametrize("level, heard", [(1.1, 1), (0.9, 0)])
def test_a_window_is_heard_from_the_level_of_silence_on(media, recording, level, heard):
    silence = recording.preprocess.audio.silence
    media(6.0, waveform=np.r_[np.zeros(5 * 16000), np.full(16000, level * silence)], face=True)
    analyse("x.mp4", recording, window=3.0, hop=3.0, batch_size=2)
    np.testing.assert_array_equal(recording.asked[0][2], [[1, 0], [1, heard]])


def test_the_mean_over_time_weighs_segments_by_their_length(media, recording):
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12.0]  # the last segment is a long one
    media(9.0, times=times, states=[3] * 10)
    found = analyse("x.mp4", recording, window=3.0, hop=3.0)
    assert found.segments.tolist() == [[0, 3], [3, 6], [6, 12]]
    light = found.clip.frames[:, 0, 0, 0] / 255
    np.testing.assert_allclose(found.values[:, 0], light[[0, 3, 6]])
    np.testing.assert_allclose(found.intensities[0], (3 * light[0] + 3 * light[3] + 6 * light[6]) / 12, rtol=1e-6)
    media(9.0, times=times, states=[3, 0, 0, 0, 0, 0, 0, 0, 0, 3])  # nothing in the middle
    found = analyse("x.mp4", recording, window=3.0, hop=3.0)
    assert np.isnan(found.values[1]).all()
    np.testing.assert_allclose(found.intensities[0], (3 * light[0] + 6 * light[6]) / 9, rtol=1e-6)
    assert found.rows()[1] == {"File_ID": "x", "start": 3.0, "end": 6.0, "error": "neither face nor sound here"}
    assert found.rows()[2] == {"File_ID": "x", "start": 6.0, "end": 12.0, "Fear": pytest.approx(light[6]), "Joy": 0.0}


def test_a_single_picture_has_a_timeline_of_one_segment(media, recording):
    media(0.0)
    found = analyse("x.mp4", recording, window=3.0)
    assert found.rows() == [{"File_ID": "x", "start": 0.0, "end": 0.0, "Fear": pytest.approx(40 / 255), "Joy": 0.0}]
    np.testing.assert_allclose(found.intensities, [40 / 255, 0])
    media(0.0, waveform=np.ones(9))
    analyse("x.mp4", recording, window=3.0)
    assert recording.asked[-1][2].tolist() == [[1, 0]]  # an instant holds no sound


def test_rows_are_rounded_to_milliseconds(make_analysis):
    found = make_analysis(segments=[[0, 1.00049], [1.00049, 2.9996]], values=[[0.1234567], [np.nan]], emotions=("E",),
                          window=1.0, name="a")
    assert found.rows() == [{"File_ID": "a", "start": 0.0, "end": 1.0, "E": 0.1234567},
                            {"File_ID": "a", "start": 1.0, "end": 3.0, "error": "neither face nor sound here"}]


def test_attention_is_asked_for_where_it_is_wanted_and_there(media, seeing_predictor, predictor):
    media(3.0)
    found = analyse("x.mp4", seeing_predictor)
    assert found.temporal.tolist() == [0, 0, 0, 1]
    assert found.spatial.shape == (4, 7, 7)
    assert found.spatial[2, 0, 0] == 1 and found.spatial[2].sum() == 1
    for more in ({}, {"window": 3.0}):
        found = analyse("x.mp4", seeing_predictor, attention=False, **more)
        assert found.temporal is found.spatial is None
    seeing_predictor.attention = lambda *arrays: None  # as of an exported model
    arrays = (np.full((1, 4, 2, 2, 3), 51, np.uint8), np.zeros((1, 4, 16)), np.ones((1, 2)))
    values, *weights = explain(seeing_predictor, *arrays)
    np.testing.assert_allclose(values, np.full((1, 7), 0.2))
    assert weights == [None, None] and values.dtype == np.float64
    seeing_predictor.attention = lambda *arrays: (np.ones((1, 7), np.float32), np.ones((1, 4), np.float32), None)
    values, temporal, spatial = explain(seeing_predictor, *arrays)
    assert (values.dtype, temporal.dtype, spatial) == (np.float64, np.float64, None)
    assert explain(predictor, *arrays)[1:] == (None, None)


def test_sound_of_its_own_wins_over_the_videos(media, recording):
    asked = media(3.0, waveform=np.ones(3 * 16000))
    found = analyse("v.mp4", recording, audio_path=Path("a.wav"))
    assert asked == [(Path("v.mp4"), recording.preprocess, Path("a.wav")), (Path("a.wav"), 16000)]
    assert (len(found.waveform), found.sample_rate) == (48000, 16000)
    asked.clear()
    analyse("v.mp4", recording)
    assert asked[1] == (Path("v.mp4"), 16000)


def test_a_face_that_was_seen_is_worth_more_than_any_attention(make_analysis, make_clip):
    analysis = make_analysis(make_clip(states=[2, 3, 1, 0]), attention=False)
    np.testing.assert_allclose(worth_showing(analysis), [2, 3, 1, 0])
    analysis = dataclasses.replace(analysis, temporal=np.array([0.4, 0.1, 0.2, 0.3]))
    np.testing.assert_allclose(worth_showing(analysis), [2.9, 3.225, 1.45, 0.675])
    np.testing.assert_allclose(worth_showing(dataclasses.replace(analysis, temporal=np.zeros(4))), [2, 3, 1, 0])


def test_an_analysis_is_a_timeline_where_it_has_a_window(make_analysis):
    assert [make_analysis(window=window).is_timeline for window in (0.0, 0.5)] == [False, True]
    assert (make_analysis().sample_rate, make_analysis().hop) == (16000, 0.0)
