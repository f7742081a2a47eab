# SPDX-License-Identifier: Apache-2.0
"""Agreement measures against SciPy, by hand, and on degenerate columns."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from mindface_eri.errors import DataError
from mindface_eri.metrics import METRICS, PearsonMetric, ccc, mae, mean_pearson, mse, pearson


def test_by_hand():
    predictions = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    labels = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    np.testing.assert_allclose(pearson(predictions, labels), [1.0, -1.0])
    np.testing.assert_allclose(ccc(predictions, labels), [1.0, -1.0])
    np.testing.assert_allclose(mse(predictions, labels), [0.0, 2 / 3])
    np.testing.assert_allclose(mae(predictions, labels), [0.0, 2 / 3])
    assert mean_pearson(predictions, labels) == pytest.approx(0.0)


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 40), st.just(2)),
                  elements=st.floats(0, 1, allow_subnormal=False).map(lambda x: round(x, 6))))
def test_pearson_equals_scipy(columns):
    x, y = columns[:, :1], columns[:, 1:]
    ours = pearson(x, y)[0]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert ours == 0.0
    else:
        assert ours == pytest.approx(stats.pearsonr(x[:, 0], y[:, 0])[0], abs=1e-9)
    assert -1 <= ours <= 1


def test_constant_columns_have_one_answer():
    constant, varied = np.full((4, 1), 0.3), np.array([[0.1], [0.2], [0.3], [0.4]])
    assert pearson(constant, varied)[0] == pearson(varied, constant)[0] == pearson(constant, constant)[0] == 0.0
    assert ccc(constant, varied)[0] == 0.0
    assert ccc(constant, constant)[0] == 1.0
    assert ccc(constant, constant + 0.1)[0] == 0.0


def test_missing_labels_are_left_out_of_their_emotion_only():
    predictions = np.array([[0.1, 0.1], [0.2, 0.9], [0.3, 0.2], [0.9, 0.5]])
    labels = np.array([[0.1, 0.0], [0.2, 1.0], [0.3, 0.3], [np.nan, 0.4]])
    assert pearson(predictions, labels)[0] == pytest.approx(1.0)
    assert pearson(predictions, labels)[1] == pytest.approx(stats.pearsonr(predictions[:, 1], labels[:, 1])[0])
    assert np.isnan(pearson(predictions[:1], labels[:1])).all()


@pytest.mark.parametrize("scale", [1e-250, 1e-80, 1.0, 1e80, 1e250])
def test_no_square_overflows_or_vanishes(scale):
    """Nor where a 0 is among the numbers: correlations are of their shape alone, 1 / 2 of these."""
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [0.0], [2.0]])
    for first, second in ((scale * x, y), (x, -scale * y), (scale * x - scale, y)):
        assert abs(pearson(first, second)[0]) == pytest.approx(0.5, abs=1e-12)
    assert ccc(scale * x, scale * y)[0] == pytest.approx(0.5, abs=1e-12)


def test_bad_shapes_and_diverged_predictions_are_refused():
    with pytest.raises(DataError, match=r"\(3, 2\) and labels \(3, 1\)"):
        pearson(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(DataError, match="row 1, column 0 is nan"):
        pearson(np.array([[0.0], [np.nan]]), np.zeros((2, 1)))


def test_uneven_numbers_by_hand():
    """x = 1 2 6, y = 0 3 4: deviations -2 -1 3 and -7/3 2/3 5/3, products 9, squares 14 and 26/3, means 3 and 7/3."""
    x, y = np.array([[1.0], [2.0], [6.0]]), np.array([[0.0], [3.0], [4.0]])
    assert pearson(x, y)[0] == pytest.approx(9 / np.sqrt(14 * 26 / 3))
    assert ccc(x, y)[0] == pytest.approx(2 * 9 / (14 + 26 / 3 + 3 * (2 / 3) ** 2))
    assert (mse(x, y)[0], mae(x, y)[0]) == (pytest.approx(6 / 3), pytest.approx(4 / 3))
    two = np.hstack([x, -2 * x]), np.hstack([y, y * 3])
    assert mean_pearson(*two) == pytest.approx(0, abs=1e-12)
    assert list(METRICS.items()) == [("pearson", pearson), ("ccc", ccc), ("mse", mse), ("mae", mae)]


def test_one_labelled_row_and_none():
    x, y = np.array([[0.2, 0.4], [0.5, 0.1]]), np.array([[0.1, np.nan], [np.nan, np.nan]])
    for metric in (pearson, ccc):
        assert np.isnan(metric(x, y)).all()
    np.testing.assert_allclose(mse(x, y), [0.01, np.nan])
    np.testing.assert_allclose(mae(x, y), [0.1, np.nan])
    assert np.isnan(mean_pearson(np.repeat(x, 2, 0), np.repeat(y, 2, 0)))  # one emotion without labels is not left out


@pytest.mark.parametrize("offset, expected", [(0.0, 1.0), (1e-13, 1.0), (1e-9, 0.0)])
def test_constants_that_agree(offset, expected):
    constant = np.full((4, 1), 0.4)
    assert ccc(constant, constant + offset)[0] == expected
    assert ccc(constant * 1e-20, (constant + offset) * 1e-20)[0] == expected  # whatever their size
    assert ccc(np.zeros((3, 1)), np.zeros((3, 1)))[0] == 1.0 and pearson(np.zeros((3, 1)), np.zeros((3, 1)))[0] == 0.0


@pytest.mark.parametrize("predictions, message", [
    (np.array([0.1, 0.2]), r"predictions \(2,\) and labels \(2, 2\): both must be \(clips, emotions\) and alike"),
    (np.array([[0.1, 0.2], [0.3, np.inf]]), "row 1, column 1 is inf; a prediction must be finite"),
    (np.array([[0.1, -np.inf], [np.nan, 0.1]]), "row 0, column 1 is -inf"),
])
def test_refusals(predictions, message):
    with pytest.raises(DataError, match=message):
        pearson(predictions, np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"both must be \(clips, emotions\)"):
        mae(np.zeros(3), np.zeros(3))


def test_numpy_functions_need_no_mindspore():
    code = "import sys, mindface_eri.metrics; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_name_of_the_package():
    import mindface_eri.metrics as package

    assert package.PearsonMetric is PearsonMetric
    with pytest.raises(AttributeError, match="module 'mindface_eri.metrics' has no attribute 'PearsonMetrik'"):
        package.PearsonMetrik  # noqa: B018


def test_metric_is_one_correlation_over_all_batches_not_a_mean_of_batches():
    random = np.random.default_rng(0)
    predictions, labels = random.random((10, 3)), random.random((10, 3))
    metric = PearsonMetric()
    for rows in (slice(0, 2), slice(2, 7), slice(7, 10)):
        metric.update(predictions[rows], labels[rows])
    assert metric.eval() == pytest.approx(mean_pearson(predictions, labels))
    metric.clear()
    with pytest.raises(DataError, match="no batch"):
        metric.eval()
    with pytest.raises(DataError, match="differ"):
        metric.update(predictions[:2], labels[:3])


def test_metric_keeps_what_it_was_given():
    """Tensors or arrays, whose memory the caller may use again; the mean and each emotion."""
    from mindspore import Tensor

    random = np.random.default_rng(4)
    predictions, labels = random.random((2, 6, 2)).astype(np.float32)
    metric, buffers = PearsonMetric(), np.empty((2, 3, 2), np.float32)
    for rows in (slice(0, 3), slice(3, 6)):
        buffers[:] = predictions[rows], labels[rows]
        metric.update(*buffers)
    np.testing.assert_allclose(metric.per_emotion(), pearson(predictions, labels))
    assert metric.eval() == pytest.approx(np.mean(pearson(predictions, labels)))
    assert isinstance(metric.eval(), float)
    metric.update(predictions[:1] + 1, np.full((1, 2), np.nan, np.float32))  # a row without labels counts for nothing
    np.testing.assert_allclose(metric.per_emotion(), pearson(predictions, labels))
    metric.clear()
    metric.update(Tensor(predictions), Tensor(labels))
    np.testing.assert_allclose(metric.per_emotion(), pearson(predictions, labels))
    with pytest.raises(DataError, match="takes predictions and labels, got 3 inputs"):
        metric.update(predictions, labels, labels)
    with pytest.raises(DataError, match=r"predictions \(2, 2\) and labels \(3, 2\) differ"):
        metric.update(predictions[:2], labels[:3])
    np.testing.assert_allclose(metric.per_emotion(), pearson(predictions, labels))  # refused batches leave nothing
    metric.clear()
    metric.update(predictions, labels * np.array([1, np.nan], np.float32))
    assert np.isnan(metric.eval())  # an emotion without labels is not left out of the mean
