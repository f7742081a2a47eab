# SPDX-License-Identifier: Apache-2.0
"""Drawn people: repeatable, different from each other, and what a movement moves."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.synthetic.drawing import Portrait, Pose
from mindface_eri.synthetic.expression import Expression
from mindface_eri.synthetic.people import draw_person

SIZE = (320, 240)
MOVEMENTS = ("smile", "blush", "furrow", "sneer", "grief", "wide", "brows", "jaw", "blink")


def portrait(seed, noise=True):
    rng = np.random.default_rng(seed)
    person = draw_person(rng)
    return Portrait(person if noise else dataclasses.replace(person, noise=0.0), SIZE, rng)


def face_box(picture_of):
    """Rows and columns that the face covers: (top, bottom, left, right)."""
    person, (width, height) = picture_of.person, SIZE
    unit = person.scale * height
    cx, cy = person.centre[0] * width, person.centre[1] * height
    x, y = unit + 3, person.length * unit + 3
    return int(cy - y), int(cy + y), int(cx - x), int(cx + x)


def test_same_seed_same_picture_and_other_seed_another():
    one, two, other = (portrait(seed).frame(Expression(), Pose()) for seed in (3, 3, 4))
    assert one.shape == (240, 320, 3) and one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert np.abs(one.astype(int) - other).mean() > 5


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_each_movement_changes_the_face_and_nothing_else(movement):
    drawn = portrait(1, noise=False)
    rest = drawn.frame(Expression(), Pose()).astype(int)
    moved = drawn.frame(Expression(**{movement: 1.0}), Pose()).astype(int)
    change = np.abs(moved - rest).sum(axis=2)
    top, bottom, left, right = face_box(drawn)
    inside = change[top:bottom, left:right]
    assert (inside > 30).mean() > 0.004
    assert change.sum() == inside.sum()


def test_stronger_is_more():
    drawn = portrait(2, noise=False)
    rest = drawn.frame(Expression(), Pose()).astype(int)
    for movement in MOVEMENTS:
        changes = [np.abs(drawn.frame(Expression(**{movement: s}), Pose()) - rest).sum() for s in (0.3, 0.6, 1.0)]
        assert changes == sorted(changes) and changes[0] < changes[2], movement


def test_pose_moves_the_head_by_the_stated_way():
    drawn = portrait(5, noise=False)
    background = np.asarray(drawn._background).astype(int)

    def middle(pose):
        covered = np.abs(drawn.frame(Expression(), pose).astype(int) - background).sum(axis=2) > 12
        covered[int(SIZE[1] * 0.75):] = False  # the neck hides the chin's edge
        return np.nonzero(covered)[1].mean()

    unit = drawn.person.scale * SIZE[1]
    assert middle(Pose(shift=(0.2, 0.0))) - middle(Pose()) == pytest.approx(0.2 * unit, abs=0.25 * 0.2 * unit + 1)


def test_noise_is_centred_and_as_strong_as_stated():
    drawn = portrait(6)
    frames = np.stack([drawn.frame(Expression(), Pose(), (k, 2 * k % 64)) for k in range(24)]).astype(float)
    spread = frames[:, 20:60, 10:60].std(axis=0).mean()
    stated = drawn.person.noise * np.sqrt(1.25)  # grey noise and half as much in each colour
    assert spread == pytest.approx(stated, rel=0.15)


def test_people_differ_in_skin_hair_and_proportions():
    people = [draw_person(np.random.default_rng(seed)) for seed in range(60)]
    assert len({person.skin for person in people}) > 50
    assert {person.hair_style for person in people} == {0, 1, 2, 3}
    assert {person.tilt_side for person in people} == {-1.0, 1.0}
    luminance = [np.mean(person.skin) for person in people]
    assert max(luminance) - min(luminance) > 80


@pytest.mark.slow
def test_detector_finds_the_faces():
    dlib = pytest.importorskip("dlib")
    detector = dlib.get_frontal_face_detector()
    expressions = [Expression(), *(Expression(**{name: 1.0}) for name in MOVEMENTS), Expression(furrow=1, gaze=1),
                   Expression(tilt=1, blush=1), Expression(brows=1, jaw=1)]
    found = []
    for seed in range(40):
        drawn = portrait(seed)
        found += [bool(detector(drawn.frame(e, Pose(roll=8.0 * e.tilt * drawn.person.tilt_side)), 0))
                  for e in expressions]
    assert np.mean(found) >= 0.98
