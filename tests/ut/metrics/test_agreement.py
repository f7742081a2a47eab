# SPDX-License-Identifier: Apache-2.0
"""Pearson, CCC and the jackknife against SciPy and NumPy, on 10,000 random and degenerate columns."""

import warnings

import numpy as np
import pytest
from scipy import stats

from mindface_eri.errors import DataError
from mindface_eri.metrics import Jackknife, ccc, mae, mse, pearson

# name -> how a pair of columns (rows, E) is bent; Pearson must not care, whatever the size of the numbers
KINDS = {
    "plain": lambda x, y, r: (x, y),
    "ties": lambda x, y, r: (np.round(x * 3) / 3, np.round(y)),
    "constant predictions": lambda x, y, r: (np.full_like(x, 0.3) * r.uniform(0.1, 9, x.shape[1]), y),
    "constant labels": lambda x, y, r: (x, np.zeros_like(y)),
    "equal constants": lambda x, y, r: (np.full_like(x, 0.7), np.full_like(y, 0.7)),
    "huge offsets": lambda x, y, r: (x + 10.0 ** r.uniform(2, 7, x.shape[1]), y - 1e5),
    "tiny variances": lambda x, y, r: (x * 10.0 ** r.uniform(-150, -3, x.shape[1]), y * 1e-9),
    "huge values": lambda x, y, r: (x * 1e200, y * 1e180),
    "alike": lambda x, y, r: (y + 1e-7 * x, y),
    "opposite": lambda x, y, r: (-2 * y, y),
}
ROWS = (2, 3, 10, 60, 400)


def cases(rows, kind, seed, columns=200):
    """(predictions, labels) of (rows, columns) float64; in every other column some labels are missing."""
    random = np.random.default_rng([seed, rows])
    y = random.random((rows, columns))
    x, y = KINDS[kind](0.5 * y + random.normal(0, 0.3, y.shape), y, random)
    if rows > 4:
        y[:, ::2][random.random((rows, columns // 2)) < 0.15] = np.nan
    return x, y


def columns_of(x, y):
    """Each column's labelled pairs, as long double where the machine has it."""
    for e in range(x.shape[1]):
        known = ~np.isnan(y[:, e])
        yield x[known, e].astype(np.longdouble), y[known, e].astype(np.longdouble)


def is_constant(x):
    return np.ptp(x) <= 1e-12 * np.abs(x).max()


def expected_ccc(x, y):
    if is_constant(x) or is_constant(y):
        return float(is_constant(x) and is_constant(y) and x[0] == y[0])
    a, b = x - x.mean(), y - y.mean()
    return 2 * (a * b).mean() / ((a * a).mean() + (b * b).mean() + (x.mean() - y.mean()) ** 2)


def expected_pearson(x, y):
    if is_constant(x) or is_constant(y):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's own remark on columns that are nearly constant
        return stats.pearsonr(x.astype(np.float64), y.astype(np.float64))[0]


@pytest.mark.parametrize("kind", KINDS)  # 10 kinds x 5 lengths x 200 columns
def test_ten_thousand_columns(kind):
    for rows in ROWS:
        x, y = cases(rows, kind, seed=len(kind))
        pairs = list(columns_of(x, y))
        rho, concordance = pearson(x, y), ccc(x, y)
        tolerance = 1e-7 if kind == "huge offsets" else 1e-9  # SciPy too has only the digits that the offset leaves
        np.testing.assert_allclose(rho, [expected_pearson(*pair) for pair in pairs], rtol=0, atol=tolerance)
        np.testing.assert_allclose(concordance, [float(expected_ccc(*pair)) for pair in pairs], rtol=1e-7, atol=1e-9)
        assert (np.abs(rho) <= 1).all()
        assert (np.abs(concordance) <= np.abs(rho) + 1e-9)[rho != 0].all()
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(mse(x, y), [float(((a - b) ** 2).mean()) if kind != "huge values" else np.inf
                                                   for a, b in pairs], rtol=1e-9)
        np.testing.assert_allclose(mae(x, y), [float(np.abs(a - b).mean()) for a, b in pairs], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_left_out(kind):
    """Each value without a group is Pearson of the other rows, whatever rounding the moments would suffer."""
    for rows, groups in ((2, 2), (3, 2), (10, 10), (60, 7)):
        x, y = cases(rows, kind, seed=1, columns=6)
        group_of = np.random.default_rng(5).permutation(np.arange(rows) % groups)
        expected = np.array([pearson(x[group_of != g], y[group_of != g]) for g in range(groups)])
        found = Jackknife(x, y, [f"g{g}" for g in group_of])
        wrong = np.isfinite(expected) | (pearson(x, y) != 0)  # a constant column is 0, even where one row is left of it
        np.testing.assert_allclose(found.without[:, :-1][wrong], expected[wrong], rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(found.values, [*pearson(x, y), pearson(x, y).mean()])


def test_without_groups_each_clip_is_one():
    x, y = cases(12, "plain", seed=3, columns=2)
    np.testing.assert_array_equal(Jackknife(x, y).without, Jackknife(x, y, list("abcdefghijkl")).without)
    with pytest.raises(DataError, match="3 groups for 12 clips; give one each"):
        Jackknife(x, y, "abc")


def test_an_interval_is_tukeys_on_the_scale_of_fisher():
    """Against values worked out with SciPy's Pearson alone, at two levels of confidence."""
    random = np.random.default_rng(3)
    y = random.random(30)
    x = 0.6 * y + random.normal(0, 0.2, 30)
    people = np.repeat(np.arange(6), [2, 9, 4, 5, 7, 3])
    without = np.arctanh([stats.pearsonr(x[people != p], y[people != p])[0] for p in range(6)])
    error = np.sqrt(5 / 6 * np.sum((without - without.mean()) ** 2))
    middle = np.arctanh(stats.pearsonr(x, y)[0])
    for confidence in (0.95, 0.5):
        low, high = Jackknife(x[:, None], y[:, None], people).interval(confidence)
        reach = stats.t(5).ppf(0.5 + confidence / 2) * error
        np.testing.assert_allclose([low[0], high[0]], np.tanh([middle - reach, middle + reach]))
    with pytest.raises(DataError, match=r"confidence is 95; it must lie within \(0, 1\)"):
        Jackknife(x[:, None], y[:, None]).interval(95)


def test_a_group_without_labels_says_nothing():
    """Its clips may as well not be there; the mean has as many groups as the emotion with the fewest."""
    x, y = (columns[:, 1:] for columns in cases(20, "plain", seed=6, columns=4))
    people = np.arange(20) % 5
    y[people == 2, 1] = np.nan
    y[people == 4] = np.nan
    found, there = Jackknife(x, y, people), np.isin(people, (0, 1, 3))
    assert found.counts.tolist() == [4, 3, 4, 3]
    alone = Jackknife(x[there, 1:2], y[there, 1:2], people[there])
    for ours, theirs in zip(found.interval(), alone.interval()):
        np.testing.assert_allclose(ours[1], theirs[0])


def test_what_has_no_interval():
    random = np.random.default_rng(0)
    x, y = random.random((5, 2)), random.random((5, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for nothing in (Jackknife(x, y * np.nan), Jackknife(x, y, "aaaaa"), Jackknife(x[:1], y[:1]),
                        Jackknife(x[:0], y[:0])):
            assert np.isnan(nothing.interval()).all() and np.isnan(nothing.difference(nothing)[0]).all()
        constant, right = Jackknife(x * 0 + 0.3, y), Jackknife(2 * y + 1, y)
        assert np.array_equal(constant.interval(), np.zeros((2, 3)))
        np.testing.assert_allclose(right.interval(), np.ones((2, 3)))
        np.testing.assert_array_equal(right.difference(right), [[0] * 3, [0] * 3, [1] * 3])
        assert (right.difference(constant)[2] < 1e-9).all()
