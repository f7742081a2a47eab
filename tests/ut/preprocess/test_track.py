# SPDX-License-Identifier: Apache-2.0
"""The followed face in every frame: which frame an instant shows, and what a clip's track says beside its crops."""

import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.geometry import face_boxes
from mindface_eri.preprocess.track import Track
from mindface_eri.preprocess.video import frame_times, write_video


@pytest.mark.parametrize("seconds, frame", [(-1, 0), (0, 0), (0.04, 0), (0.06, 1), (0.1, 1), (0.29, 1), (0.31, 2),
                                            (0.5, 2), (9, 2), (0.05, 0), (0.3, 1)])
def test_the_nearest_frame_is_shown(seconds, frame):
    assert Track.empty(np.array([0.0, 0.1, 0.5])).at(seconds) == frame  # between two, the earlier one


def test_without_a_face_all_is_zero():
    track = Track.empty(np.arange(3) / 4)
    assert track.times.dtype == np.float64 and track.times.tolist() == [0, 0.25, 0.5]
    assert (track.boxes.shape, track.landmarks.shape, track.states.shape) == ((3, 4), (3, 68, 2), (3,))
    assert not track.boxes.any() and not track.landmarks.any() and not track.states.any()
    assert Track.empty(np.array([2.0])).at(0) == 0


@pytest.fixture(scope="module")
def clip(tmp_path_factory, face_picture):
    """A face that moves, is lost, and does not come back."""
    path = tmp_path_factory.mktemp("track") / "clip.mp4"
    faces = [face_picture(320, 240, [(130 + k, 120, 120)]) for k in range(16)]
    write_video(path, [*faces, *[face_picture(320, 240, [])] * 14], 20)
    face = FaceConfig(detector="dlib", mode="every-frame", gap_window=2)
    return path, extract_clip(path, PreprocessConfig(frames=7, face=face))


def test_the_track_holds_every_frame_and_the_crops_are_among_them(clip):
    path, clip = clip
    times = frame_times(path)
    np.testing.assert_allclose(clip.track.times, times - times[0], atol=1e-9)
    states = [FRAME_STATES[state] for state in clip.track.states]
    assert states[:16] == ["detected"] * 16
    assert states[16:] == ["none"] * 14
    picks = [clip.track.at(second) for second in clip.timestamps]
    np.testing.assert_array_equal(clip.track.states[picks], clip.detected)
    np.testing.assert_array_equal(clip.track.landmarks[picks], clip.landmarks)
    np.testing.assert_allclose(clip.track.boxes[picks], clip.boxes, atol=1e-4)
    shown = clip.track.states > 0
    np.testing.assert_allclose(clip.track.boxes[shown], face_boxes(clip.track.landmarks[shown], 0.2), atol=1e-3)
    assert not clip.track.boxes[~shown].any() and not clip.track.landmarks[~shown].any()
    centres = clip.track.boxes[:16, [0, 2]].mean(axis=1)
    assert np.diff(centres).mean() == pytest.approx(1, abs=0.4), "it moves on between the sampled frames"


def test_a_clip_without_a_face_has_the_times_alone(tmp_path, tone, face_picture):
    write_video(tmp_path / "empty.mp4", [face_picture(160, 120, [])] * 5, 10, tone)
    clip = extract_clip(tmp_path / "empty.mp4", PreprocessConfig(frames=4, face=FaceConfig(detector="dlib")))
    np.testing.assert_allclose(clip.track.times, np.arange(5) / 10, atol=1e-6)
    assert not clip.track.states.any() and not clip.track.boxes.any() and not clip.present[0]
