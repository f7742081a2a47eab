# SPDX-License-Identifier: Apache-2.0
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

WINDOW = 3


def track(states):
    """Landmarks whose coordinates are all ten times the frame number where found; `states`: f found, m missed."""
    found, missed = (np.array([s == letter for s in states]) for letter in "fm")
    landmarks = np.zeros((len(states), 68, 2), np.float32)
    landmarks[found] = (10.0 * np.flatnonzero(found))[:, None, None]
    return landmarks, found, missed


def test_gap_inside_the_window_is_interpolated():
    filled, states = fill_gaps(*track("fmmmf"), WINDOW)
    np.testing.assert_array_equal(states, [DETECTED, INTERPOLATED, INTERPOLATED, INTERPOLATED, DETECTED])
    np.testing.assert_allclose(filled[:, 0, 0], [0, 10, 20, 30, 40])


def test_a_longer_gap_is_none():
    _, states = fill_gaps(*track("fmmmmmmf"), WINDOW)
    np.testing.assert_array_equal(states, [DETECTED, *[NONE] * 6, DETECTED])


def test_ends_are_not_extrapolated():
    _, states = fill_gaps(*track("mfffm"), WINDOW)
    np.testing.assert_array_equal(states, [NONE, DETECTED, DETECTED, DETECTED, NONE])


def test_frames_not_looked_at_are_no_gap():
    filled, states = fill_gaps(*track("f......f"), WINDOW)
    assert (states[1:-1] == INTERPOLATED).all()
    np.testing.assert_allclose(filled[:, 0, 0], np.arange(8) * 10)


def test_no_face_at_all():
    _, states = fill_gaps(*track("mmm"), WINDOW)
    assert (states == NONE).all()


def test_smoothing_keeps_a_constant_and_calms_noise():
    states = np.full(60, DETECTED, np.uint8)
    constant = np.full((60, 68, 2), 5.0, np.float32)
    np.testing.assert_allclose(smooth(constant, states, 1.5), constant, rtol=1e-6)
    noise = np.random.default_rng(0).normal(0, 1, (60, 68, 2)).astype(np.float32)
    assert smooth(noise, states, 1.5).std() < 0.55
    assert smooth(noise, states, 0.0) is noise


def test_smoothing_weights_by_hand():
    states = np.full(3, DETECTED, np.uint8)
    landmarks = np.zeros((3, 68, 2), np.float32)
    landmarks[1] = 1.0
    w = np.exp(-0.5 / 0.25)  # one frame away, deviation 0.5
    out = smooth(landmarks, states, 0.5)[:, 0, 0]
    far = np.exp(-0.5 * 4 / 0.25)
    np.testing.assert_allclose(out, [w / (1 + w + far), 1 / (1 + 2 * w), w / (1 + w + far)], rtol=1e-5)


def test_smoothing_does_not_cross_a_hole():
    states = np.array([DETECTED, DETECTED, NONE, NONE, DETECTED, DETECTED], np.uint8)
    landmarks = np.zeros((6, 68, 2), np.float32)
    landmarks[4:] = 100.0
    out = smooth(landmarks, states, 2.0)[:, 0, 0]
    np.testing.assert_allclose(out[[0, 1, 4, 5]], [0, 0, 100, 100], atol=1e-5)


def test_box_is_square_with_its_margin():
    marks = np.zeros((68, 2), np.float32)
    marks[:, 0] = np.linspace(10, 50, 68)
    marks[:, 1] = np.linspace(30, 50, 68)
    np.testing.assert_allclose(face_boxes(marks, 0.25), [0, 10, 60, 70], atol=1e-4)


def test_crop_at_its_own_size_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop(picture, np.array([8, 4, 40, 36]), 32), picture[4:36, 8:40])


def test_a_crop_goes_on_outside_and_reduction_averages():
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[:, :20] = 90
    out = crop(picture, np.array([-32, 0, 32, 64]), 16)
    assert (out[:, :12] == 90).all() and (out[:, 14:] == 200).all()
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(crop(stripes, np.array([0, 0, 128, 128]), 32).astype(int)[2:-2, 2:-2] - 100).max() <= 2
    assert (crop(picture, np.array([500, 500, 600, 600]), 16) == 0).all()


@pytest.mark.parametrize("degrees", [-25, 0, 30])
def test_alignment_levels_the_eyes(degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = np.zeros((68, 2))
    level[:, 0], level[:, 1] = np.linspace(-30, 30, 68), 20 * np.cos(np.arange(68))
    level[36:42], level[42:48] = [-15, -10], [15, -10]
    marks = (level @ turn.T + [100, 90]).astype(np.float32)
    assert eye_angle(marks) == pytest.approx(angle, abs=1e-5)
    picture = np.zeros((200, 200, 3), np.uint8)
    for eye in (marks[36], marks[42]):
        x, y = np.round(eye).astype(int)
        picture[y - 1:y + 2, x - 1:x + 2] = 255
    box, turned = aligned_box(marks, 0.2)
    out = crop(picture, box, 64, turned)[:, :, 0].astype(float)
    halves = [np.argwhere(half > 60).mean(axis=0) for half in (out[:, :32], out[:, 32:])]
    assert halves[0][0] == pytest.approx(halves[1][0], abs=1.2)
