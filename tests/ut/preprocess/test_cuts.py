# SPDX-License-Identifier: Apache-2.0
"""Where a film is cut, and which looks are taken for one face, on pictures whose differences are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.preprocess.cuts import CutFinder, alike, face_of, scene_of, turned


def picture(seed, size=(120, 160), level=120, contrast=40.0):
    """Soft blotches around a level."""
    small = np.random.default_rng(seed).normal(0, 1, (6, 8)).repeat(size[0] // 6, 0).repeat(size[1] // 8, 1)
    return SimpleNamespace(solid_grey=np.clip(level + contrast * small, 0, 255).astype(np.uint8))


def shots(*pictures):
    finder = CutFinder()
    return [finder.begins_shot(one) for one in pictures]


def moved(one, columns):
    return SimpleNamespace(solid_grey=np.roll(one.solid_grey, columns, 1))


@pytest.mark.parametrize("size", [(120, 160), (720, 1280), (48, 64)])
def test_another_picture_is_another_shot_and_the_first_is_none(size):
    one, other = picture(1, size), picture(2, size)
    assert shots(one, one, other, other, one) == [False, False, True, False, True]


def test_light_alone_is_no_cut_but_an_empty_wall_is():
    one = picture(1)
    assert not any(shots(one, picture(1, level=150), picture(1, level=80), picture(1, contrast=36)))
    for level in (0, 80, 200, 255):
        wall = SimpleNamespace(solid_grey=np.full((120, 160), level, np.uint8))
        assert shots(one, wall, wall, one) == [False, True, False, True]


@pytest.mark.parametrize("change, cut", [(9.5, False), (10.5, True)])
def test_ten_grey_levels_make_a_cut(change, cut):
    """A chequered pattern whose levels move apart by so many."""
    pattern = np.where(np.indices((24, 32)).sum(0) % 2, 1.0, -1.0).repeat(5, 0).repeat(5, 1)
    before, after = (SimpleNamespace(solid_grey=(120 + depth * pattern).astype(np.float32))
                     for depth in (20.0, 20.0 + change))
    assert shots(before, after) == [False, cut]


def test_what_moves_all_the_time_is_not_cut_all_the_time():
    """A camera that is carried about; and in the middle of it a cut, which is more than that."""
    carried = [moved(picture(1, contrast=20.0), 5 * k) for k in range(12)]
    begin = shots(*carried)
    assert sum(begin) <= 1 and not any(begin[2:])
    assert shots(*carried, picture(7, contrast=90.0)).count(True) == sum(begin) + 1


def marks(x, y, side):
    """Landmarks whose box, a tenth wider on each side, is `side` wide."""
    corners = np.array([[-0.5, -0.5], [0.5, 0.5]]).repeat(34, 0) / 1.2
    return (corners * side + [x, y]).astype(np.float32)


def test_a_face_looks_the_same_wherever_it_is_and_however_bright():
    pattern = picture(3, (60, 80)).solid_grey[:48, :48]
    wide = np.full((200, 300), 90, np.uint8)
    here, there = wide.copy(), wide.copy()
    here[20:68, 30:78] = pattern
    there[120:168, 210:258] = pattern // 2 + 60
    one = face_of(SimpleNamespace(solid_grey=here), marks(54, 44, 48))
    other = face_of(SimpleNamespace(solid_grey=there), marks(234, 144, 48))
    assert one.shape == (24, 24) and (one ** 2).sum() == pytest.approx(1) and one.sum() == pytest.approx(0, abs=1e-4)
    assert alike(one, other) and alike(one, other, lost=True) and not turned(one, other)
    elsewhere = face_of(SimpleNamespace(solid_grey=there), marks(100, 100, 48))
    assert not elsewhere.any() and not alike(one, elsewhere) and alike(elsewhere, elsewhere)


def test_noise_on_a_wall_is_nothing_to_know_a_face_by():
    rng = np.random.default_rng(0)
    one, other = (face_of(SimpleNamespace(solid_grey=rng.integers(110, 113, (90, 90)).astype(np.uint8)),
                          marks(45, 45, 48)) for _ in range(2))
    assert not alike(one, other) and (one ** 2).sum() < 0.6
    beside = face_of(SimpleNamespace(solid_grey=np.full((90, 90), 7, np.uint8)), marks(400, 45, 48))
    assert beside.shape == (24, 24) and not beside.any()


@pytest.mark.parametrize("correlation, expected", [(0.95, (True, True, False)), (0.87, (True, False, False)),
                                                   (0.82, (True, False, True)), (0.78, (False, False, True))])
def test_how_much_two_looks_must_agree(correlation, expected):
    """A moment apart, where the face was lost between, and after a second."""
    one = np.zeros((24, 24), np.float32)
    one[3, 4] = 1
    other = correlation * one
    other[8, 9] = np.sqrt(1 - correlation ** 2)
    assert (alike(one, other), alike(one, other, lost=True), turned(one, other)) == expected


def test_a_scene_is_small_and_around_zero():
    scene = scene_of(picture(5, (480, 640)))
    assert scene.shape == (24, 32) and scene.dtype == np.float32 and abs(scene.mean()) < 1e-3
