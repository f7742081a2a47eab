# SPDX-License-Identifier: Apache-2.0
"""What a 95% interval and a 5% test must come to: counted over thousands of simulated studies whose truth is known.

One column of predictions is one study, all with the same people, so that 1,500 of them cost one call; the shares have
standard errors of about 0.6%. Other seeds give the same.
"""

import numpy as np
import pytest

from mindface_eri.evaluation.compare import compare
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import Jackknife

TRUTH = 0.5


def people(sizes):
    """Which person is seen in each clip."""
    return np.repeat(np.arange(len(sizes)), sizes)


def study(random, who, columns, *, models=1, of_person=0.5):
    """Labels, and predictions of equally good models, of correlation `TRUTH`; half of all
    variance is the person's."""
    def noise():
        person, clip = random.normal(size=(who.max() + 1, columns)), random.normal(size=(len(who), columns))
        return np.sqrt(of_person) * person[who] + np.sqrt(1 - of_person) * clip

    labels = noise()
    return labels, [TRUTH * labels + np.sqrt(1 - TRUTH**2) * noise() for _ in range(models)]


SIZES = {"ten people, ten clips each": [10] * 10,
         "twelve people, 1 to 40 clips": [1, 2, 3, 5, 5, 8, 10, 12, 16, 20, 30, 40],
         "twenty people, 2 to 30 clips": [2, 30, 5, 9] * 5, "sixty clips": [1] * 60}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=list(SIZES))
def test_the_truth_lies_in_95_of_100_intervals_and_equal_models_differ_in_5(sizes):
    random, who, columns = np.random.default_rng(0), people(sizes), 1500
    labels, (first, second) = study(random, who, columns, models=2)
    one, other = Jackknife(first, labels, who), Jackknife(second, labels, who)
    low, high = one.interval()
    assert 92 <= 100 * np.mean((low <= TRUTH) & (high >= TRUTH), where=np.arange(columns + 1) < columns) <= 98
    low, high, p_value = (found[:-1] for found in one.difference(other))
    assert 3 <= 100 * np.mean(p_value <= 0.05) <= 7
    np.testing.assert_array_equal(p_value <= 0.05, (low > 0) | (high < 0))  # the interval says what the test says


def test_clips_are_no_people():
    """Were ten clips of a person ten people, equal models would differ six times too often."""
    who = people([10] * 10)
    labels, (first, second) = study(np.random.default_rng(0), who, 500, models=2)
    p_value = Jackknife(first, labels).difference(Jackknife(second, labels))[2][:-1]
    assert np.mean(p_value <= 0.05) > 0.2


def test_a_better_model_is_found():
    random, who = np.random.default_rng(1), people([10] * 20)
    labels, (first,) = study(random, who, 300)
    better = first + 0.5 * labels
    assert np.mean(Jackknife(better, labels, who).difference(Jackknife(first, labels, who))[2][:-1] <= 0.05) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[10] * 10, [2, 30, 5, 9] * 5], ids=["ten people", "twenty people"])
def test_means_over_emotions_hold_too_where_labels_are_skewed(sizes):
    """Three emotions as ratings have them, many of them zero, through `compare` itself."""
    random, who, names = np.random.default_rng(2), people(sizes), ("Joy", "Fear", "Awe")
    columns = {"Subject": tuple(f"s{number}" for number in who)}

    def skewed(labels, guesses):
        return np.maximum(labels - 0.3, 0), [1 / (1 + np.exp(-guess)) for guess in guesses]

    labels, (guess,) = skewed(*study(random, np.arange(400_000), 1))
    truth = np.corrcoef(guess[:, 0], labels[:, 0])[0, 1]
    ids, covered, found, studies = tuple(f"c{number}" for number in range(len(who))), 0, 0, 1000
    for _ in range(studies):
        labels, guesses = skewed(*study(random, who, 3, models=2))
        result = compare([Scored(name, ids, names, guess, labels, columns, group="Subject")
                          for name, guess in zip("ab", guesses)])
        covered += result.low[0, -1] <= truth <= result.high[0, -1]
        found += result.p_value[1, -1] <= 0.05
    assert 92 <= 100 * covered / studies <= 98
    assert 3 <= 100 * found / studies <= 7
