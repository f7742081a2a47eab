# SPDX-License-Identifier: Apache-2.0
"""What is asked of the network, window by window, and what that makes of the time between."""

import types
from pathlib import Path

import numpy as np
import pytest

GAZE = {"columns": ["x"], "time_column": "t", "unit": "s", "method": "linear"}


@pytest.fixture()
def one():
    """`one(predictor, path, ...)`: its only prediction."""

    def ask(predictor, path="x.mp4", **more):
        (found,) = predictor.predict([path], **more)
        return found

    return ask


def test_a_short_clip_is_taken_whole(media, recording, one):
    asked, said = media(30.0), []
    found = one(recording, "some/x.mp4", notify=said.append)
    assert asked == [(Path("some/x.mp4"), recording.preprocess, None)] and said == []
    (given,) = recording.asked
    np.testing.assert_array_equal(given["frames"], found.clip.frames[None])
    np.testing.assert_array_equal(given["mfcc"], found.clip.mfcc[None])
    np.testing.assert_array_equal(given["present"], [[1, 0]])
    assert (found.name, found.path, found.sound, found.emotions) == ("x", Path("some/x.mp4"), None, ("Fear", "Joy"))
    assert (found.window, found.hop, found.is_timeline) == (0.0, 0.0, False)
    assert found.temporal is found.spatial is found.moments is found.moving is None
    assert found.segments.tolist() == [[0.0, 30.0]]
    np.testing.assert_allclose(found.intensities, [40 / 255, 0])
    np.testing.assert_allclose(found.values, [[40 / 255, 0]])
    assert found.rows() == [{"File_ID": "x", "Fear": pytest.approx(40 / 255), "Joy": 0.0}]


def test_what_makes_a_timeline(media, recording, one):
    media(30.5)
    found = one(recording)
    assert (found.window, found.hop) == (12.0, 6.0)
    assert not one(recording, whole=True).is_timeline
    media(10.0)
    assert not one(recording).is_timeline
    found = one(recording, hop=3.0)
    assert (found.window, found.hop) == (12.0, 3.0)  # as asked, though the window is longer than the video
    assert len(found.clip.timestamps) == 4 and len(found.segments) == 3
    found = one(recording, window=4.0)
    assert (found.window, found.hop) == (4.0, 2.0)
    assert len(one(recording, hop=20.0, window=30.0).segments) == 1
    media(60.0)
    found = one(recording)
    assert (found.window, found.hop, len(found.segments)) == (12.0, 6.0, 8)
    media(90_000.0)
    assert "choose a longer --window" in one(recording, window=2.0).error


def test_each_window_is_asked_about_its_own_frames_sound_and_faces(media, recording, one):
    """7 samples, a second apart, in windows of 4, a second on: a face in the first two samples, sound in the last."""
    tone = np.zeros(6 * 16000)
    tone[round(5.5 * 16000):] = -0.5  # a peak below zero is heard too
    media(6.0, waveform=tone, states=[3, 2, 0, 0, 0, 0, 0])
    said = []
    found = one(recording, window=3.0, hop=1.0, batch_size=3, notify=said.append)
    assert said == ["x: 6.0 s", "x: 3 of 4 windows", "x: 4 of 4 windows"]
    assert [len(given["frames"]) for given in recording.asked] == [3, 1]
    frames, mfcc, present = (np.concatenate([given[name] for given in recording.asked])
                             for name in ("frames", "mfcc", "present"))
    np.testing.assert_array_equal(present, [[1, 0], [1, 0], [0, 0], [0, 1]])
    assert present.dtype == mfcc.dtype == np.float32
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
    np.testing.assert_array_equal(found.moving, found.values)
    assert found.moments.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_a_network_of_one_branch_has_no_say_where_it_lacks_its_modality(media, record, one):
    tone = np.full(6 * 16000, 0.5)
    for name, known in (("eri_visual", [True, False]), ("eri_acoustic", [True, True]), ("eri_dual_branch", [True] * 2)):
        media(6.0, waveform=tone, states=[3, 2, 0, 0, 0, 0, 0])  # a face in the first window, sound in both
        found = one(record(name), window=3.0, hop=3.0)
        assert np.isfinite(found.values).all(1).tolist() == known, name
    media(6.0, face=False, waveform=tone, note="no face anywhere")
    for more in ({}, {"window": 3.0}, {"moving": True}):
        assert one(record("eri_visual"), **more).error == (
            "x.mp4: eri_visual needs a face, and none was found (no face anywhere); use a model of both modalities")


@pytest.mark.parametrize("level, heard", [(1.1, 1), (0.9, 0)])
def test_a_window_is_heard_from_the_level_of_silence_on(media, recording, one, level, heard):
    silence = recording.preprocess.audio.silence
    media(6.0, waveform=np.r_[np.zeros(5 * 16000), np.full(16000, level * silence)], face=True)
    one(recording, window=3.0, hop=3.0, batch_size=2)
    np.testing.assert_array_equal(recording.asked[0]["present"], [[1, 0], [1, heard]])


def test_the_mean_over_time_weighs_segments_by_their_length(media, recording, one):
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12.0]  # the last segment is a long one
    media(9.0, times=times, states=[3] * 10)
    found = one(recording, window=3.0, hop=3.0)
    assert found.segments.tolist() == [[0, 3], [3, 6], [6, 12]]
    light = found.clip.frames[:, 0, 0, 0] / 255
    np.testing.assert_allclose(found.values[:, 0], light[[0, 3, 6]])
    np.testing.assert_allclose(found.intensities[0], (3 * light[0] + 3 * light[3] + 6 * light[6]) / 12, rtol=1e-6)
    media(9.0, times=times, states=[3, 0, 0, 0, 0, 0, 0, 0, 0, 3])  # nothing in the middle
    found = one(recording, window=3.0, hop=3.0)
    assert np.isnan(found.values[1]).all()
    np.testing.assert_allclose(found.intensities[0], (3 * light[0] + 6 * light[6]) / 9, rtol=1e-6)
    assert found.rows()[1] == {"File_ID": "x", "start": 3.0, "end": 6.0, "error": "neither face nor sound here"}
    assert found.rows()[2] == {"File_ID": "x", "start": 6.0, "end": 12.0, "Fear": pytest.approx(light[6]), "Joy": 0.0}


def test_a_timeline_without_a_single_answer_is_a_failure(media, recording, one):
    """Sound is heard after the last picture only: the clip has some, and none of its windows."""
    media(4.0, face=False, waveform=np.r_[np.zeros(4 * 16000), np.ones(16000)])
    found = one(recording, window=2.0)
    assert found.error.startswith("x.mp4: neither face nor sound in any of its windows (no picture used; sound")
    assert found.rows() == [{"File_ID": "x", "error": found.error}]


def test_a_single_picture_has_a_timeline_of_one_segment(media, record, one):
    for frames in (4, 1):
        recording = record(frames=frames)
        media(0.0)
        found = one(recording, window=3.0)
        assert found.rows() == [{"File_ID": "x", "start": 0.0, "end": 0.0, "Fear": pytest.approx(40 / 255), "Joy": 0.0}]
        np.testing.assert_allclose(found.intensities, [40 / 255, 0])
        media(0.0, waveform=np.ones(9))
        one(recording, window=3.0)
        assert recording.asked[-1]["present"].tolist() == [[1, 0]]  # an instant holds no sound
        plain, moving = one(recording), one(recording, moving=True)
        assert moving.moving is None and plain.rows() == moving.rows()  # nothing moves within an instant


def test_windows_of_one_crop_each_speak_for_the_way_to_their_neighbours(media, record, one):
    media(6.0, states=[3, 3, 0, 0])
    found = one(record(frames=1), window=2.0, hop=2.0)
    light = found.clip.frames[:, 0, 0, 0] / 255
    assert found.segments.tolist() == [[0, 2], [2, 4], [4, 6]]
    np.testing.assert_allclose(found.values[:, 0], [light[:2].mean(), light[1], np.nan])
    np.testing.assert_allclose(found.intensities[0], (light[:2].mean() + light[1]) / 2)
    media(6.0)
    assert one(record(frames=1), moving=True).moving is None


def test_attention_is_spread_over_the_instants_of_overlapping_windows(media, seeing_predictor, one):
    """Windows are cut from one clip; the fake looks at each window's last frame and answers its mean brightness."""
    asked = media(6.0)
    found = one(seeing_predictor, window=3.0, hop=1.0, attention=True)
    assert len(asked) == 1 and len(found.clip.timestamps) == 7
    brightness = found.clip.frames[:, 0, 0, 0] / 255
    windows = [brightness[s:s + 4].mean() for s in (0, 1, 2, 3)]
    expected = [windows[0], np.mean(windows[:2]), np.mean(windows[:3]), np.mean(windows[1:]), np.mean(windows[2:]),
                windows[3]]
    np.testing.assert_allclose(found.values[:, 0], expected)
    np.testing.assert_allclose(found.temporal, [0, 0, 0, 1 / 4, 1 / 3, 1 / 2, 1])
    assert found.spatial.shape == (7, 7, 7)


def test_attention_is_asked_for_where_it_is_wanted_and_there(media, seeing_predictor, recording, one):
    media(3.0)
    for more in ({}, {"moving": True}):
        found = one(seeing_predictor, attention=True, **more)
        assert found.temporal.tolist() == [0, 0, 0, 1]
        assert found.spatial.shape == (4, 7, 7)
        assert found.spatial[2, 0, 0] == 1 and found.spatial[2].sum() == 1
        assert (found.intensities.dtype, found.temporal.dtype) == (np.float64, np.float64)
    for more in ({}, {"window": 3.0}, {"moving": True}):
        found = one(seeing_predictor, **more)
        assert found.temporal is found.spatial is None
    found = one(recording, attention=True)  # as an exported model: no weights, its intensities all the same
    assert recording.backend.looked == 1 and len(recording.asked) == 1
    assert found.temporal is found.spatial is None and found.intensities.dtype == np.float64
    seeing_predictor._backend = types.SimpleNamespace(
        attention=lambda arrays: (np.ones((1, 7), np.float32), np.ones((1, 4), np.float32), None))
    found = one(seeing_predictor, attention=True)  # as of a network without a visual branch
    assert found.temporal.dtype == np.float64 and found.spatial is None


def test_moving_values_leave_the_answer_and_its_weights_alone(media, seeing_predictor, one):
    media(3.0)
    plain, moving = (one(seeing_predictor, attention=True, moving=moving) for moving in (False, True))
    assert plain.moments is plain.moving is None and not moving.is_timeline
    assert (len(moving.moments), moving.moving.shape) == (6, (6, 7))
    np.testing.assert_allclose(moving.moments, np.arange(0.25, 3, 0.5))
    assert (np.diff(moving.moving[:, 0]) >= 0).all() and moving.moving[-1, 0] > moving.moving[0, 0]  # it grows brighter
    assert len(moving.clip.timestamps) == len(moving.temporal) == 4
    np.testing.assert_allclose(moving.clip.timestamps, plain.clip.timestamps)


@pytest.mark.parametrize("name", ["eri_features", "eri_multi_branch"])
def test_feature_sets_have_windows_and_moving_values_too(name, media, record, one, tmp_path):
    """A feature that is its own time, so that each window's says which instants it was given."""
    (tmp_path / "x.csv").write_text("t,x\n0,0\n6,6\n")
    predictor = record(name, {"gaze": GAZE}, feature_widths=(1,))
    media(6.0, states=[3, 0, 0, 0, 0, 0, 0], waveform=np.zeros(96000))
    found = one(predictor, window=3.0, hop=1.0, features={"gaze": tmp_path}, attention=True, batch_size=2)
    gaze = np.concatenate([given["gaze"] for given in predictor.asked])
    np.testing.assert_allclose(gaze[..., 0], [[k, k + 1, k + 2, k + 3] for k in range(4)], atol=1e-6)
    assert np.isfinite(found.values).all() and len(found.rows()) == 6  # a set is there all the time
    if name == "eri_multi_branch":
        present = np.concatenate([given["present"] for given in predictor.asked])
        assert present.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    predictor.asked.clear()
    media(6.0)
    found = one(predictor, moving=True, features={"gaze": tmp_path})
    np.testing.assert_allclose(predictor.asked[0]["gaze"][0, :, 0], [0, 2, 4, 6], atol=1e-6)
    np.testing.assert_allclose(predictor.asked[1]["gaze"][0, :, 0], [0, 1, 2, 3], atol=1e-6)
    assert len(found.moving) == 6
