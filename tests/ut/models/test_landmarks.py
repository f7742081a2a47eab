# SPDX-License-Identifier: Apache-2.0
"""Landmarks laid on the mean shape inside the network: by hand, whatever the camera, and where no face is."""

import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.errors import ConfigError
from mindface_eri.models import LandmarkAlignment, create_model

RNG = np.random.default_rng(4)
MEAN = RNG.normal(size=(68, 2)) * [1.0, 1.5]
MEAN -= MEAN.mean(axis=0)


def turned(shapes, angle):
    return shapes @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.fixture
def alignment(pynative):
    made = LandmarkAlignment(5)
    made.set_landmark_statistics(MEAN, np.array([0.25]))
    return lambda landmarks: made(Tensor(np.asarray(landmarks, np.float32))).asnumpy()


def test_the_mean_shape_is_zero_wherever_it_stands_in_the_picture(alignment):
    faces = [turned(MEAN, angle) * size + place for angle, size, place in (
        (0.0, 1, (0, 0)), (0.4, 60, (300, 200)), (-1.2, 7, (20, 900)), (3.0, 200, (500, 500)), (0.1, 33.3, (1, 2)))]
    found = alignment([faces])
    assert found.shape == (1, 5, 136) and np.abs(found).max() < 2e-4


def test_what_moves_is_told_in_the_deviation_of_the_training_set(alignment):
    """A movement that is neither shift, scale nor turn of the mean stays as it is, over 0.25."""
    basis = np.stack([np.tile([1, 0], 68), np.tile([0, 1], 68), MEAN.ravel(), turned(MEAN, np.pi / 2).ravel()])
    move = RNG.normal(size=136)
    move -= np.linalg.lstsq(basis.T, move, rcond=None)[0] @ basis
    face = MEAN + 0.05 * move.reshape(68, 2)
    found = alignment([[turned(face, 0.3 * t) * (10 + t) + (50, 9 * t) for t in range(5)]])
    # The face is larger than the mean shape by its movement, and fitted as a whole to it: smaller by that.
    share = (MEAN ** 2).sum() / (face ** 2).sum()
    expected = (share * face - MEAN).ravel() / 0.25
    np.testing.assert_allclose(found[0], np.tile(expected, (5, 1)), atol=2e-4)
    assert np.abs(share * 0.05 * move / 0.25).max() > 0.3


def test_an_instant_without_a_face_takes_the_nearest_one(alignment):
    faces = [MEAN + RNG.normal(size=(68, 2)) * 0.1 for _ in range(5)]
    whole = alignment([faces])[0]
    shown = np.stack([faces, faces, faces])
    shown[0, [0, 1]], shown[1, 2], shown[2, [0, 2, 3, 4]] = 0, 0, 0
    found = alignment(shown)
    np.testing.assert_allclose(found[0], whole[[2, 2, 2, 3, 4]], atol=1e-5)
    np.testing.assert_allclose(found[1, 2], (whole[1] + whole[3]) / 2, atol=1e-5)  # both equally near
    np.testing.assert_allclose(found[2], whole[[1, 1, 1, 1, 1]], atol=1e-5)


def test_a_clip_without_any_face_is_the_mean_shape(alignment):
    assert (alignment(np.zeros((2, 5, 68, 2))) == 0).all()


def test_a_shape_is_moved_around_zero(pynative):
    made = LandmarkAlignment(1)
    made.set_landmark_statistics(MEAN + [3, -2], np.array([1.0]))
    np.testing.assert_allclose(made.landmark_mean.asnumpy(), MEAN, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in made.get_parameters())


@pytest.mark.parametrize("mean, scale, message", [
    (MEAN[:5], np.ones(1), r"landmark mean has shape \(5, 2\), need \(68, 2\)"),
    (MEAN, np.ones(()), r"landmark scale has shape \(\), need \(1,\)"),
    (MEAN * np.nan, np.ones(1), "landmark mean holds"), (MEAN, np.zeros(1), "a scale that is not positive")])
def test_statistics_that_cannot_be(mean, scale, message):
    with pytest.raises(ConfigError, match=message):
        LandmarkAlignment(2).set_landmark_statistics(mean, scale)


BESIDE = {"frames": 5, "crop_size": 32, "mfcc_features": 6, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2,
          "width": 8, "temporal": "plain", "tcn_dilations": (1,), "temporal_depth": 1, "temporal_heads": 2,
          "takes": ("frames", "landmarks")}


@pytest.fixture(scope="module")
def beside():
    """A branch of landmarks beside that of crops, in graph mode; no sound."""
    return create_model("eri_multi_branch", **BESIDE).set_train(False)


def _given(present):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (len(present), 5, 32, 32, 3), np.uint8)
    landmarks = 300 + 40 * rng.normal(size=(len(present), 5, 68, 2))
    return frames, landmarks.astype(np.float32), np.array(present, np.float32)


def test_landmarks_beside_crops_share_their_presence(beside):
    assert beside.config.inputs == ("frames", "landmarks", "present")
    frames, landmarks, present = _given([[1, 0], [1, 1], [0, 1]])
    answer = beside(*map(Tensor, (frames, landmarks, present))).asnumpy()
    assert answer.shape == (3, 7) and np.isfinite(answer).all()
    other = beside(*map(Tensor, (frames, landmarks[::-1].copy(), present))).asnumpy()
    assert np.abs(other - answer)[0].max() > 1e-5 and np.abs(other - answer)[2].max() < 1e-6  # absent: neither counts
    dark = beside(*map(Tensor, (frames * 0, landmarks, present))).asnumpy()
    assert np.abs(dark - answer)[0].max() > 1e-5 and np.abs(dark - answer)[2].max() < 1e-6
    silent = beside(*map(Tensor, (frames, landmarks, present * [1, 0]))).asnumpy()
    np.testing.assert_allclose(silent, answer, atol=1e-6)  # it takes no sound
    seen = beside.attention(*map(Tensor, (frames, landmarks, present)))
    assert seen.temporal.shape == (3, 5) and seen.spatial.shape[:2] == (3, 5)
    np.testing.assert_allclose(seen.intensities.asnumpy(), answer, atol=1e-6)


def test_landmarks_beside_sound_have_no_spatial_weights(pynative):
    network = create_model("eri_multi_branch", **{**BESIDE, "takes": ("mfcc", "landmarks")}).set_train(False)
    _, landmarks, present = _given([[1, 1], [1, 0]])
    mfcc = np.random.default_rng(2).normal(size=(2, 5, 6)).astype(np.float32)
    assert network.config.inputs == ("mfcc", "landmarks", "present")
    network.branch("landmarks").set_landmark_statistics(MEAN, np.array([0.25]))
    seen = network.attention(*map(Tensor, (mfcc, landmarks, present)))
    assert seen.spatial is None and seen.temporal.shape == (2, 5)


def test_one_branch_is_not_joined():
    with pytest.raises(ConfigError, match="eri_multi_branch joins branches, and model.takes leaves it landmarks alone"):
        create_model("eri_multi_branch", **{**BESIDE, "takes": ["landmarks"]})
