# SPDX-License-Identifier: Apache-2.0
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindface_eri.errors import ConfigError
from mindface_eri.loss import (
    CCCLoss,
    MSELoss,
    PearsonLoss,
    check_loss,
    create_loss,
    is_mean_over_clips,
    list_losses,
    register_loss,
)

PREDICTIONS = np.array([[0.1, 0.9], [0.4, 0.5], [0.7, 0.4], [0.2, 0.1]], np.float32)
LABELS = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.5, 0.0]], np.float32)


def value(name, predictions=PREDICTIONS, labels=LABELS):
    return float(create_loss(name)(Tensor(predictions), Tensor(labels)).asnumpy())


def test_mse_by_hand():
    # squares: 0.01 0.01 0.09 0.09 | 0.01 0.00 0.16 0.01 -> 0.38 / 8
    assert value("mse") == pytest.approx(0.38 / 8, abs=1e-6)


def by_formula(name, x, y):
    """The losses in float64, as they are documented: 1e-6 is added to each variance, to CCC's whole denominator."""
    if name == "mse":
        return np.mean((x - y) ** 2)
    gap, vx, vy = x.mean(0) - y.mean(0), x.var(0), y.var(0)
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    if name == "pearson":
        return 1 - np.mean(covariance / np.sqrt((vx + 1e-6) * (vy + 1e-6)))
    return 1 - np.mean(2 * covariance / (vx + vy + gap ** 2 + 1e-6))


@pytest.mark.parametrize("name", ["mse", "pearson", "ccc"])
@pytest.mark.parametrize("scale", [1, 1e-3], ids=["plain", "of a spread like the epsilon"])
def test_values_and_gradients_follow_the_formula(name, scale):
    x, y = (scale * array.astype(np.float64) for array in (PREDICTIONS, LABELS))
    loss = create_loss(name)
    made = loss(Tensor(x.astype(np.float32)), Tensor(y.astype(np.float32)))
    assert made.dtype == ms.float32 and made.shape == ()
    assert float(made) == pytest.approx(by_formula(name, x, y), rel=1e-5)
    for place, array in enumerate((x, y)):
        gradient = ops.grad(loss, place)(Tensor(x.astype(np.float32)), Tensor(y.astype(np.float32))).asnumpy()
        expected, step = np.empty_like(array), 1e-5 * scale
        for at in np.ndindex(array.shape):
            sides = [array.copy(), array.copy()]
            sides[0][at] += step
            sides[1][at] -= step
            up, down = (by_formula(name, *((s, y) if place == 0 else (x, s))) for s in sides)
            expected[at] = (up - down) / (2 * step)
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["mse", "pearson", "ccc"])
def test_half_precision_on_either_side_is_widened_first(name):
    """Squares of 400 do not fit into half precision."""
    x, y = (400 * array.astype(np.float16) for array in (PREDICTIONS, LABELS))
    expected = by_formula(name, x.astype(np.float64), y.astype(np.float64))
    for left, right in ((x, y), (x, y.astype(np.float32)), (x.astype(np.float32), y)):
        made = create_loss(name)(Tensor(left), Tensor(right))
        assert made.dtype == ms.float32 and float(made) == pytest.approx(expected, rel=1e-5)


def test_names_and_the_default():
    assert list_losses()[:3] == ("mse", "pearson", "ccc")
    assert [type(create_loss(name)) for name in list_losses()[:3]] == [MSELoss, PearsonLoss, CCCLoss]
    assert type(create_loss()) is MSELoss
    assert check_loss("ccc") is None
    with pytest.raises(ConfigError, match="loss 'cc' is unknown; did you mean 'ccc'"):
        check_loss("cc")
    with pytest.raises(ConfigError, match="loss 'mse' is .*MSELoss already"):
        register_loss("mse")(PearsonLoss)


def test_pearson_is_one_minus_the_mean_correlation():
    rho = [np.corrcoef(PREDICTIONS[:, e], LABELS[:, e])[0, 1] for e in range(2)]
    assert value("pearson") == pytest.approx(1 - np.mean(rho), abs=1e-4)


def test_ccc_by_its_definition():
    rho = []
    for e in range(2):
        x, y = PREDICTIONS[:, e], LABELS[:, e]
        rho.append(2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))
    assert value("ccc") == pytest.approx(1 - np.mean(rho), abs=1e-4)


def test_ccc_minds_an_offset_and_pearson_does_not():
    shifted = PREDICTIONS + np.float32(0.3)
    assert value("pearson", shifted) == pytest.approx(value("pearson"), abs=1e-5)
    assert value("ccc", shifted) > value("ccc") + 0.05


@pytest.mark.parametrize("name", list_losses())
def test_constant_labels_give_finite_gradients(name):
    loss, labels = create_loss(name), Tensor(np.full((4, 2), 0.5, np.float32))
    gradient = ops.grad(loss)(Tensor(PREDICTIONS), labels).asnumpy()
    assert gradient.shape == (4, 2) and np.isfinite(gradient).all()


def test_which_loss_is_the_mean_of_its_clips():
    """Ranks need not see each other's clips for it."""
    assert {name: is_mean_over_clips(create_loss(name)) for name in ("mse", "pearson", "ccc")} == {
        "mse": True, "pearson": False, "ccc": False}


def test_unknown_name_suggests():
    with pytest.raises(ConfigError, match="did you mean 'pearson'"):
        create_loss("pearsn")


@pytest.mark.parametrize("name", ["mse", "pearson", "ccc"])
def test_an_unknown_label_counts_for_nothing(name):
    """Each emotion's value, and its gradient, are those of the clips whose label is known."""
    labels = LABELS.copy()
    labels[2, 0] = labels[0, 1] = labels[3, 1] = np.nan
    loss = create_loss(name)
    gradient = ops.grad(loss)(Tensor(PREDICTIONS), Tensor(labels)).asnumpy()
    kept, parts, expected = ([0, 1, 3], [1, 2]), [], np.zeros_like(PREDICTIONS)
    for e, rows in enumerate(kept):
        x, y = PREDICTIONS[rows, e:e + 1].astype(np.float64), LABELS[rows, e:e + 1].astype(np.float64)
        weight = len(rows) / 5 if name == "mse" else 0.5  # squares count alike, emotions of the others do
        parts.append(weight * by_formula(name, x, y))
        expected[rows, e] = weight * ops.grad(loss)(Tensor(x.astype(np.float32)), Tensor(y.astype(np.float32)))[:, 0]
    assert value(name, labels=labels) == pytest.approx(sum(parts), rel=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)
    assert (gradient[np.isnan(labels)] == 0).all()


@pytest.mark.parametrize("name, nothing", [("mse", 0.0), ("pearson", 1.0), ("ccc", 1.0)])
def test_a_batch_without_any_label_has_a_value_and_no_gradient(name, nothing):
    unknown = np.full_like(LABELS, np.nan)
    assert value(name, labels=unknown) == nothing
    assert (ops.grad(create_loss(name))(Tensor(PREDICTIONS), Tensor(unknown)).asnumpy() == 0).all()
