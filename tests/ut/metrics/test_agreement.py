# SPDX-License-Identifier: Apache-2.0
"""Pearson, CCC and the bootstrap against SciPy and NumPy, on 10,000 random and degenerate columns."""

import warnings

import numpy as np
import pytest
from scipy import stats

from mindface_eri.errors import DataError
from mindface_eri.metrics import bootstrap, ccc, intervals, mae, mse, pearson, resample

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
def test_each_draw_is_the_metric_of_its_rows(kind):
    for rows in (2, 3, 10, 60):
        x, y = cases(rows, kind, seed=1, columns=6)
        random = np.random.default_rng(5)
        drawn = [random.integers(0, rows, rows) for _ in range(40)]
        for metric in (pearson, ccc, mae):
            expected = np.array([metric(x[chosen], y[chosen]) for chosen in drawn])
            values = resample(x, y, metric, draws=40, seed=5)
            np.testing.assert_allclose(values[:, :-1], expected, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(values[:, -1], expected.mean(1), rtol=1e-6, atol=1e-8)


def test_draws_do_not_depend_on_how_many_are_taken_at_once(monkeypatch):
    from mindface_eri.metrics import correlation

    x, y = cases(60, "plain", seed=2, columns=4)
    whole = resample(x, y, draws=30)
    monkeypatch.setattr(correlation, "_CHUNK", 60 * 7)
    np.testing.assert_allclose(resample(x, y, draws=30), whole, rtol=0, atol=1e-12)


def test_intervals_are_those_of_scipy():
    random = np.random.default_rng(3)
    y = random.random((150, 1))
    x = 0.6 * y + random.normal(0, 0.2, y.shape)
    low, high = bootstrap(x, y, draws=4000)
    theirs = stats.bootstrap((x[:, 0], y[:, 0]), lambda a, b: stats.pearsonr(a, b)[0], paired=True, vectorized=False,
                             method="percentile", n_resamples=2000, random_state=random).confidence_interval
    assert (low[0], high[0]) == (pytest.approx(theirs.low, abs=0.015), pytest.approx(theirs.high, abs=0.015))


def test_without_labels_there_is_no_interval():
    low, high = bootstrap(np.random.default_rng(0).random((5, 2)), np.full((5, 2), np.nan), draws=10)
    assert np.isnan(low).all() and np.isnan(high).all()


@pytest.mark.parametrize("metric, options, tail", [
    (pearson, {}, 2.5), (ccc, {"draws": 70, "seed": 3, "confidence": 0.8}, 10), (mae, {"confidence": 0.5}, 25)])
def test_bootstrap_is_the_percentiles_of_its_draws(metric, options, tail):
    x, y = cases(30, "plain", seed=3, columns=4)
    drawn = resample(x, y, metric, draws=options.get("draws", 1000), seed=options.get("seed", 0))
    low, high = bootstrap(x, y, metric, **options)
    np.testing.assert_allclose(low, np.percentile(drawn, tail, axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(high, np.percentile(drawn, 100 - tail, axis=0), rtol=0, atol=1e-12)


def test_draws_are_paired_and_follow_the_seed():
    x, y = cases(40, "plain", seed=4, columns=2)
    drawn = resample(x, y)
    assert drawn.shape == (1000, 3)
    np.testing.assert_array_equal(resample(x, y, pearson, draws=1000, seed=0), drawn)
    np.testing.assert_allclose(resample(3 * x - 1, y), drawn, atol=1e-9)  # the same clips whatever the predictions
    assert (resample(x, y, seed=1) != drawn).mean() > 0.9


def test_draws_without_a_value_are_left_out_of_intervals():
    values = np.array([[np.nan, 1.0, np.nan], [3.0, 2.0, np.nan], [5.0, 4.0, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(intervals(values, [0, 50, 100]), [[3, 1, np.nan], [4, 2, np.nan], [5, 4, np.nan]])


@pytest.mark.parametrize("clips, options, message", [
    (4, {"confidence": 0}, r"confidence is 0; it must lie within \(0, 1\)"), (4, {"confidence": 1}, "confidence is 1"),
    (4, {"confidence": 95}, "confidence is 95"), (4, {"draws": 0}, "0 draws of 4 clips; need at least one of each"),
    (0, {"draws": 5}, "5 draws of 0 clips"),
])
def test_bootstrap_refuses(clips, options, message):
    with pytest.raises(DataError, match=message):
        bootstrap(np.zeros((clips, 2)), np.zeros((clips, 2)), **options)


def test_one_draw_of_many_clips_is_a_draw():
    x, y = cases(400, "plain", seed=5, columns=2)
    chosen = np.random.default_rng(0).integers(0, 400, 400)
    np.testing.assert_allclose(resample(x, y, draws=1)[0, :-1], pearson(x[chosen], y[chosen]), atol=1e-9)
