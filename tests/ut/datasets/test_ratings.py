# SPDX-License-Identifier: Apache-2.0
"""Scales that are guessed, and how far raters agree, by numbers known from elsewhere."""

import numpy as np
import pytest

from mindface_eri.datasets.ratings import agreement, guess_scale

NAN = np.nan


@pytest.mark.parametrize("values, scale", [
    ([0.0, 0.4, NAN, 1.0], (0, 1)), ([1.0, 1.0], (0, 1)), ([NAN, NAN], (0, 1)), ([], (0, 1)),
    ([1, 2, 3], (1, 3)), ([2, 4], (1, 4)), ([1, 4.5], (1, 5)), ([3, 6], (1, 6)), ([1, 7], (1, 7)), ([1, 8], (1, 9)),
    ([1, 10], (1, 10)), ([0, 3], (0, 3)), ([0.5, 4], (0, 4)), ([0, 7], (0, 8)), ([0, 9], (0, 10)), ([0, 11], (0, 100)),
    ([1, 11], (0, 100)), ([50, 90], (0, 100)), ([0, 101], None), ([-1, 1], None)])
def test_the_first_usual_scale_that_holds_all_ratings(values, scale):
    assert guess_scale(np.array(values, float)) == scale


def test_agreement_is_krippendorffs_own_example():
    """Krippendorff 2011, section C: four observers, twelve units; alpha for interval data is 0.849."""
    ratings = np.array([[1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
                        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
                        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
                        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN]]).T
    assert agreement(ratings) == pytest.approx(0.849, abs=5e-4)
    assert agreement(3 * ratings - 1) == pytest.approx(agreement(ratings))  # whatever the scale


def test_agreement_by_hand():
    assert agreement(np.array([[1.0, 1], [3, 3]])) == 1
    assert agreement(np.array([[1.0, 3], [3, 1]])) == pytest.approx(-0.5)  # 1 - 4 / (8 / 3)
    assert np.isnan(agreement(np.array([[1.0, NAN], [NAN, 2]]))), "nobody rated what another did"
    assert np.isnan(agreement(np.full((3, 2), 4.0))), "all alike"
