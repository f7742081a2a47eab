# SPDX-License-Identifier: Apache-2.0
"""A face between two: where it is drawn, what it is at either end, and how strong it is over a clip."""

import numpy as np
import pytest

from mindface_eri.synthetic.morph import Morph
from mindface_eri.synthetic.portraits import Face, lay_over, read_portraits
from mindface_eri.synthetic.takes import Camera, plan

SIDE = 96


@pytest.fixture(scope="module")
def drawn(portraits):
    faces = lay_over(read_portraits(portraits)[0][0], 192)
    return faces, Morph(*faces)


def made_up(seed=2, lift=5.0):
    """Two dark pictures whose landmarks are spots of light; the second's last twenty lie lower, as a mouth's do."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(9)), -1).reshape(-1, 2)[:68]
    places = grid * 9.0 + 12 + rng.uniform(-1, 1, (68, 2))
    moved = places.copy()
    moved[48:] += (2.0, lift)
    faces = []
    for points, colour in ((places, (200, 0, 0)), (moved, (0, 200, 0))):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        x, y = np.round(points[60]).astype(int)
        picture[y - 1:y + 2, x - 1:x + 2] = colour
        faces.append(Face(picture, points.astype(np.float32)))
    return faces, Morph(*faces)


def centre(channel):
    weights = channel.astype(float)
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def test_either_end_is_the_portrait(drawn):
    faces, morph = drawn
    for intensity, face in zip((0.0, 1.0), faces):
        assert np.abs(morph.picture(intensity).astype(int) - face.picture).max() <= 1
        assert np.allclose(morph.landmarks(intensity), face.landmarks)


@pytest.mark.parametrize("intensity", [0.25, 0.7])
def test_both_pictures_meet_at_the_place_between_in_their_shares(intensity):
    faces, morph = made_up()
    picture = morph.picture(intensity)
    wanted = (1 - intensity) * faces[0].landmarks[60] + intensity * faces[1].landmarks[60]
    assert np.allclose(morph.landmarks(intensity)[60], wanted, atol=1e-3)
    for channel, share in ((0, 1 - intensity), (1, intensity)):
        assert np.abs(centre(picture[:, :, channel]) - wanted).max() < 0.8
        assert picture[:, :, channel].max() == pytest.approx(200 * share, abs=16)
    assert not picture[:, :, 2].any()


def test_stronger_is_more_of_the_second(drawn):
    faces, morph = drawn
    left = [np.abs(morph.picture(x).astype(int) - faces[1].picture).mean() for x in (0.0, 0.3, 0.6, 1.0)]
    assert left == sorted(left, reverse=True) and left[0] > 2 * left[2]


def test_the_border_stays_and_nothing_is_left_undrawn(drawn):
    faces, morph = drawn
    white = [Face(np.full_like(face.picture, 255), face.landmarks) for face in faces]
    assert Morph(*white).picture(0.4).min() == 255
    assert np.abs(morph.picture(0.5)[0].astype(int) - faces[0].picture[0]).max() < 60


def still(**changes):
    return Camera(**{"sway": (0.0, 0.0), "tilt": 0.0, "zoom": 1.0, "gain": 1.0, "bias": 0.0, "noise": 0.0, **changes})


def test_a_camera_at_rest_shows_the_picture():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    assert np.array_equal(still().shoot(picture, 0.3, rng), picture)
    brighter = still(gain=0.5, bias=30.0).shoot(picture, 0.3, rng)
    assert np.abs(brighter - (picture * 0.5 + 30)).max() <= 0.5
    noisy = still(noise=3.0).shoot(np.full_like(picture, 128), 0.3, rng).astype(float)
    assert noisy.std() == pytest.approx(3.0, abs=0.1) and noisy.mean() == pytest.approx(128, abs=0.1)
    assert still(gain=3.0).shoot(picture, 0.3, rng).max() == 255


def test_a_camera_moves_the_head():
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[46:51, 46:51] = 200
    rng, begin = np.random.default_rng(0), np.array([48.0, 48.0])
    moved = centre(still(sway=(0.1, -0.05)).shoot(picture, 1 / 2.8, rng)[:, :, 0]) - begin  # a quarter of 1.4 pi's wave
    assert np.allclose(moved, (9.6, -4.8), atol=0.3)
    picture[:] = 0
    picture[46:51, 76:81] = 200
    assert centre(still(zoom=0.5).shoot(picture, 0, rng)[:, :, 0])[0] == pytest.approx(63, abs=0.5)
    assert centre(still(tilt=30.0).shoot(picture, 0.05, rng)[:, :, 0])[1] == pytest.approx(33, abs=1)  # up


def test_plans_are_of_the_seed_and_cover_all_strengths():
    takes = [plan(3, index, (2.0, 3.0), (10, 20)) for index in range(200)]
    again = plan(3, 7, (2.0, 3.0), (10, 20))
    assert np.array_equal(again.curve, takes[7].curve) and again.camera == takes[7].camera
    assert not np.array_equal(plan(4, 7, (2.0, 3.0), (10, 20)).curve, again.curve)
    labels = np.array([take.label for take in takes])
    assert 0 <= labels.min() < 0.03 and 0.97 < labels.max() <= 1
    assert np.histogram(labels, 4, (0, 1))[0].min() > 30
    for take in takes:
        assert take.label == take.curve.max() and take.curve.min() >= 0 and take.curve[0] == 0
        assert 10 <= take.fps <= 20 and 2.0 <= round(len(take.curve) / take.fps, 1) <= 3.0
        top = int(take.curve.argmax())
        assert (np.diff(take.curve[:top + 1]) >= -1e-12).all() and (np.diff(take.curve[top:]) <= 1e-12).all()
    ends = np.array([take.curve[-1] / take.label for take in takes])
    assert (ends > 0.99).any() and (ends < 0.3).any()


def test_a_take_draws_its_curve(drawn):
    faces, morph = drawn
    take = plan(1, 2, (1.0, 1.0), (5, 5))
    frames = list(take.frames(morph))
    assert len(frames) == 5 == len(take.curve) and frames[0].shape == (192, 192, 3)
    assert np.array_equal(frames[3], list(take.frames(morph))[3])

    class Seen:
        def picture(self, intensity):
            asked.append(intensity)
            return faces[0].picture

    asked = []
    list(take.frames(Seen()))
    assert asked == list(take.curve)
