# SPDX-License-Identifier: Apache-2.0
"""Gaps, smoothing and crops with uneven values, each number worked out by a second, slower way."""

import numpy as np
import pytest

from mindface_eri.preprocess.geometry import (
    DETECTED,
    INTERPOLATED,
    NONE,
    aligned_box,
    crop,
    eye_angle,
    face_boxes,
    fill_gaps,
    smooth,
)

LETTERS = {"N": NONE, "I": INTERPOLATED, "D": DETECTED}
UNEVEN = np.random.default_rng(3).normal(100, 30, (40, 68, 2)).astype(np.float32)


def looked(states):
    return (np.array([s == letter for s in states]) for letter in "fm")


@pytest.mark.parametrize("states, window, barriers, expected", [
    # f found, m missed, . not looked at
    ("fmmmf", 3, (), "DIIID"), ("fmmmf", 2, (), "DNNND"), ("fmmmf", 0, (), "DNNND"), ("fmmmmf", 3, (), "DNNNND"),
    ("f.....f", 0, (), "DIIIIID"), ("f.m.f", 3, (), "DIIID"), ("f.m.f", 2, (), "DNNND"), ("f...mf", 3, (), "DNNNND"),
    ("fm...f", 4, (), "DIIIID"), ("fm...f", 3, (), "DNNNND"), ("mm.fmm", 9, (), "NNNDNN"),
    ("..mf...", 9, (), "NNNDNNN"),
    ("f.f.mmmmf.m", 2, (), "DIDNNNNNDNN"), ("ff.m.", 9, (), "DDNNN"), ("m", 9, (), "N"), ("f", 0, (), "D"),
    # a barrier lies before its frame: nothing is filled from one side of it to the other
    ("f.....f", 9, (3,), "DNNNNND"), ("f.....f", 9, (1,), "DNNNNND"), ("f.....f", 9, (6,), "DNNNNND"),
    ("f.....f", 9, (0,), "DIIIIID"), ("f.....f", 9, (7,), "DIIIIID"), ("fmmf.ff", 9, (5, 2), "DNNDNDD"),
    ("ff.f", 9, (1,), "DDID"), ("fmf.fmf", 9, (3,), "DIDNDID")])
def test_what_each_frame_gets(states, window, barriers, expected):
    marks = UNEVEN[:len(states)]  # also where nothing was found: those values are to be ignored
    before = marks.copy()
    filled, got = fill_gaps(marks, *looked(states), window, barriers)
    np.testing.assert_array_equal(got, [LETTERS[letter] for letter in expected])
    assert got.dtype == np.uint8 and filled.dtype == np.float32
    np.testing.assert_array_equal(marks, before)
    found = [k for k, s in enumerate(states) if s == "f"]
    for k, letter in enumerate(expected):
        if letter == "D":
            np.testing.assert_array_equal(filled[k], marks[k])
        elif letter == "I":
            a, b = max(f for f in found if f < k), min(f for f in found if f > k)
            np.testing.assert_allclose(filled[k], ((b - k) * marks[a] + (k - a) * marks[b]) / (b - a), rtol=1e-5)


@pytest.mark.parametrize("sigma, radius", [(1.5, 4), (1.0, 3), (0.5, 2), (0.4, 1), (0.1, 1), (2.7, 8)])
def test_the_gaussian_of_a_single_bump(sigma, radius):
    """round(3 deviations) frames on either side, and at least one."""
    marks = np.zeros((40, 68, 2), np.float32)
    marks[20, 7, 1] = 50.0
    out = smooth(marks, np.full(40, DETECTED, np.uint8), sigma)
    weights = np.exp(-np.arange(-radius, radius + 1.0) ** 2 / (2 * sigma * sigma))
    expected = np.zeros(40)
    expected[20 - radius:21 + radius] = 50 * weights / weights.sum()
    np.testing.assert_allclose(out[:, 7, 1], expected, atol=1e-5)
    assert out.dtype == np.float32 and not np.delete(out.reshape(40, -1), 7 * 2 + 1, axis=1).any()


@pytest.mark.parametrize("states", [
    "DDDIIDDDDDIDDD", "NNDDIIDNNNNNNDDDDNN", "DNNNND", "NNDNDDNN", "NNNNNNND", "DIDNNNIDDNN", "DDNDDDDD", "NNN"])
@pytest.mark.parametrize("sigma", [0.6, 1.5])
@pytest.mark.parametrize("barriers", [(), (4, 7), (1, 2, 3, 11), (0, 99)])
def test_smoothing_over_runs_holes_and_cuts(states, sigma, barriers):
    marks, radius = UNEVEN[:len(states)], round(3 * sigma)
    before, solid = marks.copy(), [letter in "DI" for letter in states]
    out = smooth(marks, np.array([LETTERS[letter] for letter in states], np.uint8), sigma, barriers)
    np.testing.assert_array_equal(marks, before)
    expected = before.astype(np.float64)
    for k in (k for k, whole in enumerate(solid) if whole):
        near = [j for j in range(k - radius, k + radius + 1) if 0 <= j < len(states)
                and all(solid[min(j, k):max(j, k) + 1])  # those with nothing but faces between
                and not any(min(j, k) < barrier <= max(j, k) for barrier in barriers)]  # in one shot
        weights = np.exp([-(j - k) ** 2 / (2 * sigma * sigma) for j in near])
        expected[k] = np.tensordot(weights / weights.sum(), before[near].astype(np.float64), 1)
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_boxes_of_wide_and_of_high_faces():
    marks = np.random.default_rng(5).uniform(0, 1, (2, 3, 68, 2))
    marks[..., 0, :], marks[..., 1, :] = 0, 1
    marks = marks * np.array([[[[40, 20]], [[20, 50]], [[10, 10]]]] * 2) + np.array([100, 60])
    wide, high, even = (120, 70, 40), (110, 85, 50), (105, 65, 10)
    for margin in (0.0, 0.1, 0.75):
        boxes = face_boxes(marks, margin)
        assert boxes.shape == (2, 3, 4) and boxes.dtype == np.float32
        for box, (x, y, side) in zip(boxes[1], (wide, high, even)):
            half = side / 2 + margin * side
            np.testing.assert_allclose(box, [x - half, y - half, x + half, y + half], rtol=1e-5)


def level_face():
    """Landmarks with level eyes, their extent 70 x 54 from (-30, -20): not around the middle that they turn about."""
    marks = np.random.default_rng(5).uniform([-25, -15], [35, 30], (68, 2))
    marks[0], marks[8] = (-30, -20), (40, 34)
    marks[36:42] = [[-14, -9], [-10, -12], [-6, -11], [-2, -8], [-7, -6], [-9, -8]]  # mean (-8, -9)
    marks[42:48] = marks[36:42] + [26, 0]
    return marks


@pytest.mark.parametrize("degrees", [-70, -25, -3, 0, 12, 40, 110])
def test_an_aligned_box_is_the_level_box_turned_about_its_middle(degrees):
    """Positive angles turn the face clockwise on the screen, where y points down: its right eye hangs."""
    angle = np.deg2rad(degrees)
    x, y = level_face().T
    marks = np.stack([x * np.cos(angle) - y * np.sin(angle) + 200, x * np.sin(angle) + y * np.cos(angle) + 150],
                     axis=1).astype(np.float32)
    assert eye_angle(marks) == pytest.approx(angle, abs=1e-5)
    box, turned = aligned_box(marks, 0.3)
    assert turned == pytest.approx(angle, abs=1e-5) and box.dtype == np.float32
    cx, cy, half = 5, 7, 70 * (0.5 + 0.3)
    middle = np.array([cx * np.cos(angle) - cy * np.sin(angle) + 200, cx * np.sin(angle) + cy * np.cos(angle) + 150])
    np.testing.assert_allclose(box, [*(middle - half), *(middle + half)], atol=1e-3)


def test_the_eyes_are_landmarks_36_to_47():
    marks = np.random.default_rng(5).uniform(0, 100, (68, 2))
    changed = marks.copy()
    changed[:36] += 50
    changed[48:] -= [20, 90]
    assert eye_angle(changed) == eye_angle(marks)
    left, right = marks[36:42].sum(axis=0) / 6, marks[42:48].sum(axis=0) / 6
    assert np.tan(eye_angle(marks)) == pytest.approx((right[1] - left[1]) / (right[0] - left[0]))


def slope(width, height):
    """Red rises by 1 a pixel to the right, green by 1 a pixel down, blue falls to the right: bilinear sampling of it is
    exact, so a crop says for each of its pixels where it was taken."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x + 20, y + 30, 250 - x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0, 20, -35, 90])
@pytest.mark.parametrize("x, y, side, size", [
    (100, 80, 60, 60), (100.3, 79.6, 40, 96), (100.7, 80.2, 70.5, 32), (90, 85, 80, 33), (110, 70, 90, 16)])
def test_each_pixel_of_a_crop_comes_from_its_place(degrees, x, y, side, size):
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    angle = np.deg2rad(degrees)
    out = crop(slope(200, 160), box, size, angle)
    assert out.shape == (size, size, 3) and out.dtype == np.uint8
    down, right = (np.mgrid[:size, :size] + 0.5 - size / 2) * side / size  # from the crop's middle, source pixels
    place_x = x - 0.5 + right * np.cos(angle) - down * np.sin(angle)  # in pixel indices
    place_y = y - 0.5 + right * np.sin(angle) + down * np.cos(angle)
    for channel, expected in enumerate((place_x + 20, place_y + 30, 250 - place_x)):
        off = out[..., channel] - expected
        assert np.abs(off).max() < (1.05 if side > size else 0.6) and abs(off.mean()) < 0.3  # reducing rounds twice


@pytest.mark.parametrize("x, y", [(0, 0), (50, 0), (0, 40), (50, 40), (13, 27)])
def test_crops_of_whole_pixels_reach_to_the_edges(x, y):
    picture = np.random.default_rng(5).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    out = crop(picture, np.array([x, y, x + 40, y + 40], np.float32), 40)
    np.testing.assert_array_equal(out, picture[y:y + 40, x:x + 40])


@pytest.mark.parametrize("size", [128, 40])
def test_a_crop_over_the_edge_goes_on_outside_and_is_in_place_inside(size):
    """The part inside is reduced by sides of its own, 93 and 84 pixels here."""
    out = crop(slope(90, 80), np.array([-30, -40, 98, 88], np.float32), size).astype(float)
    step = 128 / size
    for axis, (begin, limit) in enumerate(((-30, 90), (-40, 80))):
        centres = begin + (np.arange(size) + 0.5) * step
        line = out[:, size // 2, 1] if axis else out[size // 2, :, 0]
        inside = (centres > 1.5 * step) & (centres < limit - 1.5 * step)
        np.testing.assert_allclose(line[inside], centres[inside] - 0.5 + (30 if axis else 20), atol=1.0)
        for outside, edge in ((centres < -step, 0), (centres > limit + step, limit - 1)):
            assert np.abs(line[outside] - (edge + (30 if axis else 20))).max() <= step / 2 + 1


def test_a_turned_crop_of_a_narrow_picture_is_in_place():
    """30 columns are reduced to 8, 145 rows to 36: not by the same share."""
    angle, step = np.deg2rad(35), 4
    out = crop(slope(30, 160), np.array([-35, 30, 65, 130], np.float32), 25, angle)
    down, right = (np.mgrid[:25, :25] + 0.5 - 12.5) * step
    x = 15 + right * np.cos(angle) - down * np.sin(angle)
    y = 80 + right * np.sin(angle) + down * np.cos(angle)
    inside = (x > 6) & (x < 24)
    assert np.abs(y - 80)[inside].max() > 45
    np.testing.assert_allclose(out[..., 0][inside].astype(float), x[inside] - 0.5 + 20, atol=1.05)
    np.testing.assert_allclose(out[..., 1][inside].astype(float), y[inside] - 0.5 + 30, atol=1.05)


@pytest.mark.parametrize("box", [[150, 10, 190, 50], [-90, 10, -50, 50], [10, 150, 50, 190], [10, -90, 50, -50]])
def test_a_crop_beside_the_picture_is_black(box):
    assert not crop(slope(90, 80), np.array(box, np.float32), 24, 0.3).any()


def test_a_strip_too_thin_for_a_pixel_of_the_crop_fills_it():
    """5 columns of a picture, where a pixel of the crop stands for 12.5 and the last one's middle lies beside them."""
    out = crop(slope(90, 80), np.array([-198, -60, 2, 140], np.float32), 16)
    assert out.shape == (16, 16, 3) and np.abs(out[..., 0].astype(int) - 22).max() <= 2


def test_a_box_without_extent_gives_its_pixel():
    out = crop(slope(90, 80), np.array([40, 30, 40, 30], np.float32), 8)
    np.testing.assert_allclose(out[..., 0].mean(), 39.5 + 20, atol=0.6)
    np.testing.assert_allclose(out[..., 1].mean(), 29.5 + 30, atol=0.6)


def test_reduction_averages_all_pixels():
    """Of noise, whose single pixels are 74 from their mean: samples instead of averages would be that far off."""
    picture = np.random.default_rng(5).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    expected = picture.reshape(12, 8, 12, 8, 3).mean(axis=(1, 3))
    out = crop(np.pad(picture, ((24, 24), (24, 24), (0, 0))), np.array([24, 24, 120, 120], np.float32), 12)
    assert np.abs(out - expected)[1:-1, 1:-1].mean() < 10
