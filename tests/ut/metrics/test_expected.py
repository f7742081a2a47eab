# SPDX-License-Identifier: Apache-2.0
"""The interval that a split's size lets expect, beside the one that it then has."""

import numpy as np
import pytest

from mindface_eri.metrics import Jackknife, interval_to_expect, is_small, words_of_expectation


def test_the_formula_by_hand():
    # variance 2 / (240 * 7) + 0.02 / 4 = 0.006190, error 0.07868; t(0.975, 3) = 3.1824; atanh(0.5) = 0.549306
    low, high = interval_to_expect(240, 4, 7)
    assert (low, high) == (pytest.approx(np.tanh(0.549306 - 3.182446 * 0.078681), abs=1e-5),
                           pytest.approx(np.tanh(0.549306 + 3.182446 * 0.078681), abs=1e-5))
    assert interval_to_expect(240, 4, 7, correlation=0.0)[0] == pytest.approx(np.tanh(-3.182446 * 0.078681), abs=1e-5)
    assert interval_to_expect(240, 4, 7, confidence=0.5)[0] > low


def test_more_clips_people_and_emotions_make_it_narrower():
    def width(*size):
        low, high = interval_to_expect(*size)
        return high - low
    first = width(100, 10, 2)
    assert width(200, 10, 2) < first and width(100, 20, 2) < first and width(100, 10, 7) < first
    assert np.isnan(interval_to_expect(50, 1)).all()


def test_it_is_about_as_wide_as_the_jackknife_over_people():
    """Of clips as the constants assume them: people differ in how well they are predicted, and labels are sparse."""
    random, widths = np.random.default_rng(2), []
    for _ in range(40):
        who = np.repeat(np.arange(8), 15)
        labels = (random.random(120) < 0.25) * random.choice([0.5, 1.0], 120)
        predictions = 0.6 * labels + random.normal(0, 0.3, 120) + 0.05 * random.normal(size=8)[who]
        low, high = Jackknife(predictions[:, None], labels[:, None], who).interval()
        widths.append(np.arctanh(high[-1]) - np.arctanh(low[-1]))
    low, high = interval_to_expect(120, 8)
    assert 0.6 < np.mean(widths) / (np.arctanh(high) - np.arctanh(low)) < 1.4


def test_what_is_small_and_what_is_said():
    assert is_small(199, 50) and is_small(5000, 9) and not is_small(200, 10)
    low, high = interval_to_expect(90, 18)
    assert words_of_expectation(90, 18) == (
        f"a mean Pearson of 0.5 on them means something between about {low:.2f} and {high:.2f} (95%)")
    assert "no interval can be told from one person" in words_of_expectation(90, 1)
