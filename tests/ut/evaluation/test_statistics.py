# SPDX-License-Identifier: Apache-2.0
"""Statistics over time, by hand; shapes, by turning them; labels that exclude each other."""

import numpy as np
import pytest

from mindface_eri.evaluation.statistics import exclusive, is_exclusive, laid_on, mean_shape, thirds


def test_the_six_statistics_by_hand():
    # features over 7 instants; thirds are instants 0-1, 2-3, 4-6; differences 1 1 1 1 1 -5 have mean 0
    x = np.array([0, 1, 2, 3, 4, 5, 0.0])[:, None]
    mean = 15 / 7
    want = [mean, np.sqrt(55 / 7 - mean ** 2), np.sqrt(5), 0.5, 2.5, 3.0]
    np.testing.assert_allclose(thirds(x), want)
    np.testing.assert_allclose(thirds(x, movement=True), [*want[1:3], *(part - mean for part in want[3:])])


def test_features_stand_side_by_side_within_each_statistic():
    x = np.random.default_rng(0).random((9, 3))
    np.testing.assert_allclose(thirds(x).reshape(6, 3)[:, 1], thirds(x[:, 1:2]))
    np.testing.assert_allclose(thirds(x, movement=True).reshape(5, 3)[:, 2], thirds(x[:, 2:], movement=True))
    np.testing.assert_allclose(thirds(x + 5, movement=True), thirds(x, movement=True))  # what stays does not count


@pytest.mark.parametrize("count", [1, 2])
def test_short_clips_share_their_instants(count):
    found = thirds(np.array([[2.0], [4.0]])[:count])
    assert np.isfinite(found).all() and found[3] == 2.0 and found[5] == 2.0 * count


def face(seed=0):
    return np.random.default_rng(seed).normal(size=(68, 2)) * [30, 40] + [300, 200]


def moved(shape, angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * shape @ turn.T + shift


def test_shift_scale_and_turn_do_not_count():
    clip = np.stack([face() + np.random.default_rng(t).normal(size=(68, 2)) for t in range(5)])
    mean = mean_shape([face()[None], clip])
    np.testing.assert_allclose(mean.mean(0), 0, atol=1e-12)
    assert np.linalg.norm(mean) == pytest.approx(1)
    np.testing.assert_allclose(laid_on(moved(clip, 0.4, 2.5, [7, -3]), mean), laid_on(clip, mean), atol=1e-12)


def test_a_face_is_laid_on_the_mean_as_near_as_it_can_be():
    """No other turn and scale is nearer, and the face of which all others are copies lies on it exactly."""
    mean = mean_shape([moved(face(), angle, 1.3, [5, 6])[None] for angle in (-0.3, 0.1, 0.2)])
    np.testing.assert_allclose(laid_on(face()[None], mean)[0], mean, atol=1e-9)
    upright = np.vdot(mean[:, 0] + 1j * mean[:, 1], (face() - face().mean(0)) @ [1, 1j])
    assert np.angle(upright) == pytest.approx(0, abs=0.01)  # no mean face lies on its side
    other = laid_on(face(1)[None], mean)[0]
    best = ((other - mean) ** 2).sum()
    for angle, scale in ((0.01, 1), (-0.01, 1), (0, 1.01), (0, 0.99)):
        assert ((moved(other, angle, scale, [0, 0]) - mean) ** 2).sum() > best


def test_an_instant_without_a_face_takes_the_nearest():
    clip = np.stack([face(1), np.zeros((68, 2)), np.zeros((68, 2)), np.zeros((68, 2)), face(2)])
    mean = mean_shape([clip])
    np.testing.assert_allclose(mean, mean_shape([clip[[0, 4]]]))  # zeros have no part in it
    laid, ends = laid_on(clip, mean), laid_on(clip[[0, 4]], mean)
    np.testing.assert_allclose(laid[[0, 1, 3, 4]], ends[[0, 0, 1, 1]])
    np.testing.assert_allclose(laid[2], ends.mean(0))
    for nothing in (lambda: mean_shape([np.zeros((3, 68, 2))]), lambda: laid_on(np.zeros((3, 68, 2)), mean)):
        with pytest.raises(ValueError):
            nothing()


@pytest.mark.parametrize("labels, said", [
    ([[0, 0.5, 0], [1, 0, 0], [0, 0, 0]], True), ([[0, 0.5, 0.1], [1, 0, 0]], False), ([[0, 0], [0, 0]], False),
    ([[0.5], [0.2]], False)])
def test_labels_that_exclude_each_other(labels, said):
    assert is_exclusive(np.array(labels)) is said


def test_a_softmax_times_the_intensity_by_hand():
    labels, found = np.array([[0.5, 0], [0, 1.0]]), np.array([[0.75, 0.0]])  # their mean intensity is 0.75
    first = np.exp(4.5) / (np.exp(4.5) + 1)
    np.testing.assert_allclose(exclusive(found, labels), [[0.75 * first, 0.75 * (1 - first)]])
    neutral = np.vstack([labels, [[0, 0]]])
    np.testing.assert_allclose(exclusive(found, neutral), 0.75 * np.exp([[4.5, 0]]) / (np.exp(4.5) + 2))
    assert np.isfinite(exclusive(np.array([[1e6, 0.0]]), labels)).all()


def test_what_is_not_known_excludes_nothing():
    acted = np.array([[0.5, 0.0], [0.0, 0.7]])
    assert is_exclusive(acted) and not is_exclusive(np.where(acted == 0, np.nan, acted))
