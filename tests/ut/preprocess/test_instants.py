# SPDX-License-Identifier: Apache-2.0
"""As many instants of a clip as its length asks for, and those of a coarser sampling among them."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.video import write_video

CONFIG = PreprocessConfig(frames=8, face=FaceConfig(detector="dlib", gap_window=2))
ARRAYS = ("frames", "mfcc", "present", "timestamps", "boxes", "landmarks", "detected")


@pytest.fixture(scope="module")
def path(tmp_path_factory, face_picture, tone):
    """A face that goes to and fro at an uneven pace, and is not there at the end."""
    path = tmp_path_factory.mktemp("instants") / "clip.mp4"
    pictures = [face_picture(320, 240, [(150 + 25 * np.sin(k / 5), 120 + 6 * np.cos(k), 120)]) for k in range(36)]
    write_video(path, [*pictures, *[face_picture(320, 240, [])] * 11], 30, tone)
    return path


def check_same(clip, other):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(clip, name), getattr(other, name), err_msg=name)
    assert clip.content_hash() == other.content_hash() and clip.quality == other.quality


def test_every_second_of_twice_as_many_instants_is_the_usual_sampling_exactly(path):
    usual = extract_clip(path, CONFIG)
    for count in (15, 22):  # each interval cut in two, in three
        many = extract_clip(path, CONFIG, instants=lambda _, count=count: count)
        assert len(many.timestamps) == count
        check_same(many.every((count - 1) // 7), usual)
        np.testing.assert_array_equal(many.envelope.high, usual.envelope.high)
        np.testing.assert_array_equal(many.track.landmarks, usual.track.landmarks)


def test_it_is_asked_with_the_seconds_between_first_and_last_frame(path, tmp_path, tone):
    asked = []

    def instants(seconds):
        asked.append(seconds)
        return 5

    clip = extract_clip(path, CONFIG, instants=instants)
    assert asked == [pytest.approx(46 / 30, abs=1e-3)] and clip.frames.shape == (5, 112, 112, 3)
    assert clip.mfcc.shape == (5, 1024) and clip.boxes.shape == (5, 4) and clip.detected.shape == (5,)
    np.testing.assert_allclose(clip.timestamps, np.array([0, 12, 23, 35, 46]) / 30, atol=1e-3)
    soundfile.write(tmp_path / "alone.wav", tone, 16000)
    alone = extract_clip(tmp_path / "alone.wav", CONFIG, instants=instants)
    assert asked[1:] == [1.5] and alone.mfcc.shape == (5, 1024), "of sound alone: its length"
    np.testing.assert_allclose(alone.timestamps, np.linspace(0, 1.5, 5))


def test_every_leaves_the_rest_as_it_is(path):
    clip = extract_clip(path, CONFIG)
    thin = clip.every(3)
    for name in set(ARRAYS) - {"present"}:
        np.testing.assert_array_equal(getattr(thin, name), getattr(clip, name)[::3])
    assert thin.envelope is clip.envelope and thin.track is clip.track
    assert (thin.duration, thin.fps, thin.found_share) == (clip.duration, clip.fps, clip.found_share)
    check_same(clip.every(1), clip)
    assert clip.present.tolist() == thin.present.tolist() == [1, 1] and thin.present.dtype == np.float32


def test_a_face_at_none_of_the_instants_left_is_absence(path):
    clip = extract_clip(path, CONFIG)
    between = replace(clip, detected=np.array([0, 3, 0, 3, 0, 3, 0, 3], np.uint8))
    assert between.every(2).present.tolist() == [0, 1] and between.every(3).present.tolist() == [1, 1]
    silent = replace(between, present=np.array([1, 0], np.float32))
    assert silent.every(2).present.tolist() == [0, 0]
    unseen = replace(clip, present=np.array([0, 1], np.float32))
    assert unseen.every(2).present.tolist() == [0, 1], "what was absent does not come back"
