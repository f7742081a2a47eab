# SPDX-License-Identifier: Apache-2.0
"""One update by hand: what reaches Adam after ranks, scale, accumulation and clipping, and when nothing may."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.loss import create_loss
from mindface_eri.runner.step import AveragedWeights, TrainStep

pytestmark = pytest.mark.usefixtures("eager")
GRADIENTS = ([3.0, -4.0], [[12.0, 0.0], [0.0, 0.0]])  # together of norm 13
START = {"vector": [1.0, 2.0], "matrix": [[1.0, -1.0], [0.5, 2.0]]}


class Affine(nn.Cell):
    """(B, 2), (B, 2) -> (B, 2); beside its weights one that is frozen and one that is no float."""

    def __init__(self):
        super().__init__()
        for name, value in START.items():
            setattr(self, name, Parameter(Tensor(value, ms.float32), name=name))
        self.mean = Parameter(Tensor([0.25, 0.5], ms.float32), name="mean", requires_grad=False)
        self.count = Parameter(Tensor([3], ms.int32), name="count", requires_grad=False)

    def construct(self, x, shift):
        return ops.matmul(x, self.matrix) + self.vector + shift - self.mean


def make(loss_scale="none", amp_level="O0", **train):
    train = TrainConfig(**{"lr": 0.1, **train})
    return TrainStep(Affine(), train, RuntimeConfig(loss_scale=loss_scale, amp_level=amp_level))


def apply(step, gradients=GRADIENTS, times=1.0):
    return float(step.apply_step(tuple(Tensor(np.multiply(g, times), ms.float32) for g in gradients)).asnumpy())


def value(step, name):
    return step.state()[name].asnumpy()


def put(step, **values):
    for name, number in values.items():
        ops.assign(step.state()[name], Tensor(number, ms.float32))


def reached_adam(step):
    """The first gradients that Adam saw: its first moment holds a tenth of them."""
    return [value(step, f"moment1.{name}") * 10 for name in START]


def expect(step, times):
    for found, gradient in zip(reached_adam(step), GRADIENTS):
        np.testing.assert_allclose(found, np.multiply(gradient, times), rtol=1e-5)


@pytest.mark.parametrize("clip_norm, times", [(0.0, 1), (6.5, 0.5), (13.5, 1), (1000.0, 1)])
def test_one_norm_over_all_gradients_is_bounded_and_a_smaller_one_left(clip_norm, times):
    step = make(clip_norm=clip_norm)
    assert apply(step) == 1
    expect(step, times)


@pytest.mark.parametrize("loss_scale, accumulate, times", [
    ("none", 1, 1), ("none", 2, 2), ("none", 4, 4), ("fixed", 1, 1024), ("fixed", 4, 4096),
    ("dynamic", 1, 65536), ("dynamic", 2, 131072)])
def test_scale_and_sums_are_taken_out_before_the_norm_is_bounded(loss_scale, accumulate, times):
    step = make(loss_scale, accumulate=accumulate, clip_norm=6.5)
    apply(step, times=times)
    expect(step, 0.5)


@pytest.mark.parametrize("loss_scale, after", [("fixed", 1024), ("dynamic", 32768)])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_bad_number_leaves_the_whole_update_out(loss_scale, after, bad):
    step = make(loss_scale, ema=0.9, clip_norm=1.0, weight_decay=0.1)
    put(step, finite_updates=5.0)
    before = {name: p.asnumpy().copy() for name, p in step.state().items()}
    assert apply(step, ([1.0, 2.0], [[3.0, 4.0], [bad, 5.0]])) == 0
    changed = {name for name, p in step.state().items() if not np.array_equal(p.asnumpy(), before[name])}
    assert changed == ({"loss_scale", "finite_updates"} if loss_scale == "dynamic" else set())
    assert value(step, "loss_scale") == after
    assert value(step, "finite_updates") == (0 if loss_scale == "dynamic" else 5)
    assert apply(step, times=after) == 1  # and the next counts again
    assert not np.array_equal(value(step, "vector"), START["vector"])


def test_without_a_scale_nothing_is_left_out():
    step = make()
    assert apply(step, ([np.nan, 0.0], GRADIENTS[1])) == 1
    assert np.isnan(value(step, "vector")[0]) and value(step, "loss_scale") == 1


def test_a_dynamic_scale_doubles_after_a_thousand_finite_updates_in_a_row():
    step = make("dynamic")
    assert value(step, "loss_scale") == 65536 and value(step, "finite_updates") == 0
    put(step, finite_updates=998.0)
    scales = []
    for _ in range(3):
        apply(step)
        scales.append((float(value(step, "loss_scale")), float(value(step, "finite_updates"))))
    assert scales == [(65536, 999), (131072, 0), (131072, 1)]


@pytest.mark.parametrize("scale, streak, bad, after", [
    (1.0, 0.0, True, 1.0), (1.5, 999.0, True, 1.0), (2.0**24, 999.0, False, 2.0**24), (2.0**23, 999.0, False, 2.0**24)])
def test_a_dynamic_scale_stays_between_one_and_sixteen_million(scale, streak, bad, after):
    step = make("dynamic")
    put(step, loss_scale=scale, finite_updates=streak)
    apply(step, times=np.nan if bad else 1.0)
    assert value(step, "loss_scale") == after


def test_a_fixed_scale_never_grows():
    step = make("fixed")
    put(step, finite_updates=999.0)
    apply(step)
    assert value(step, "loss_scale") == 1024 and value(step, "finite_updates") == 999


def test_averages_follow_updates_and_begin_with_a_short_memory():
    """All float32 values, the frozen too: running statistics are such."""
    step = make(ema=0.5)
    assert {name for name in step.state() if name.startswith("ema.")} == {"ema.vector", "ema.matrix", "ema.mean"}
    expected = np.array(START["vector"])
    np.testing.assert_array_equal(value(step, "ema.vector"), expected)
    for decay in (2 / 11, 3 / 12, 4 / 13):
        apply(step)
        put(step, mean=[4.0, 8.0])
        expected = decay * expected + (1 - decay) * value(step, "vector")
        np.testing.assert_allclose(value(step, "ema.vector"), expected, rtol=1e-6)
    np.testing.assert_allclose(value(step, "ema.mean"), 4 / 13 * (3 / 12 * np.array([0.25, 0.5]) + 0.75 *
                                                                  np.array([4, 8])) + 9 / 13 * np.array([4, 8]))
    put(step, updates=100.0)
    apply(step)
    expected = 0.5 * expected + 0.5 * value(step, "vector")  # 102 / 111 would be longer than the recipe's
    np.testing.assert_allclose(value(step, "ema.vector"), expected, rtol=1e-6)


def test_averages_are_lent_and_given_back_whatever_happens():
    step = make(ema=0.5)
    apply(step)
    live, average = value(step, "vector").copy(), value(step, "ema.vector").copy()
    with pytest.raises(KeyboardInterrupt), AveragedWeights(step):
        np.testing.assert_array_equal(value(step, "vector"), average)
        raise KeyboardInterrupt
    np.testing.assert_array_equal(value(step, "vector"), live)
    np.testing.assert_array_equal(value(step, "ema.vector"), average)
    assert not np.array_equal(live, average)
    plain = make()
    apply(plain)
    live = value(plain, "vector").copy()
    with AveragedWeights(plain):
        np.testing.assert_array_equal(value(plain, "vector"), live)


X = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, 0.0], [0.5, -2.0]], np.float32)
SHIFT = np.array([[0.5, 0.0], [0.0, 0.25], [1.0, -1.0], [0.0, 0.0]], np.float32)
LABELS = np.array([[0.0, 1.0], [0.5, 0.25], [1.0, 0.0], [0.25, 0.75]], np.float32)


def residual(x=X, shift=SHIFT, labels=LABELS):
    return x @ np.array(START["matrix"]) + START["vector"] + shift - [0.25, 0.5] - labels


def run(step, rows=slice(None), x=X):
    return float(step(Tensor(x[rows]), Tensor(SHIFT[rows]), Tensor(LABELS[rows])).asnumpy())


@pytest.mark.parametrize("loss_scale", ["none", "fixed", "dynamic"])
def test_loss_and_gradients_by_hand(loss_scale):
    """Mean squared error over B x E: d/d vector_e = 2 / (B E) * the sum of residuals; the last input is the labels."""
    step = make(loss_scale)
    assert run(step) == pytest.approx(np.mean(residual() ** 2), rel=1e-6)
    vector, matrix = reached_adam(step)
    np.testing.assert_allclose(vector, residual().sum(axis=0) / 4, rtol=1e-5)
    np.testing.assert_allclose(matrix, X.T @ residual() / 4, rtol=1e-5)
    np.testing.assert_array_equal(value(step, "mean"), [0.25, 0.5])  # frozen


@pytest.mark.parametrize("loss_scale", ["none", "fixed"])
def test_every_third_batch_updates_with_the_mean_of_three(loss_scale):
    step = make(loss_scale, accumulate=3)
    for rows in (slice(0, 1), slice(1, 2)):
        assert run(step, rows) == pytest.approx(np.mean(residual()[rows] ** 2), rel=1e-6)
        np.testing.assert_array_equal(value(step, "vector"), START["vector"])
    assert value(step, "accumulated_batches") == 2 and value(step, "updates") == 0
    run(step, slice(2, 3))
    np.testing.assert_allclose(reached_adam(step)[0], residual()[:3].sum(axis=0) / 3, rtol=1e-5)
    assert value(step, "accumulated_batches") == 0 and value(step, "updates") == 1
    assert not value(step, "accumulated.vector").any() and not value(step, "accumulated.matrix").any()
    after = value(step, "vector").copy()
    run(step, slice(3, 4))
    np.testing.assert_array_equal(value(step, "vector"), after)
    assert value(step, "accumulated_batches") == 1 and value(step, "accumulated.vector").any()


def test_an_overflow_while_accumulating_leaves_one_update_out():
    step = make("dynamic", accumulate=2)
    run(step, x=X * np.float32(np.nan))
    run(step)
    np.testing.assert_array_equal(value(step, "vector"), START["vector"])
    assert value(step, "loss_scale") == 32768 and not value(step, "accumulated.vector").any()
    for rows in (slice(0, 2), slice(2, 4)):
        run(step, rows)
    np.testing.assert_allclose(reached_adam(step)[0], residual().sum(axis=0) / 4, rtol=1e-5)


def test_loss_precision_and_frozen_weights_are_those_of_the_recipe(tiny_network):
    x, y = Tensor(np.random.default_rng(2).normal(size=(6, 6)).astype("f")), Tensor(X[[0, 1, 2, 3, 0, 1]])
    losses = {}
    for loss, amp_level in (("mse", "O0"), ("pearson", "O0"), ("mse", "O2")):
        ms.set_seed(4)
        network = tiny_network()
        network.hidden.weight.requires_grad = False
        frozen, by_hand = network.hidden.weight.asnumpy().copy(), create_loss(loss)(network(x), y)
        step = TrainStep(network, TrainConfig(loss=loss), RuntimeConfig(amp_level=amp_level))
        losses[loss, amp_level] = float(step(x, y).asnumpy())
        assert losses[loss, amp_level] == pytest.approx(float(by_hand.asnumpy()), rel=0.01 * (amp_level > "O0") + 1e-6)
        np.testing.assert_array_equal(network.hidden.weight.asnumpy(), frozen)
        assert "moment1.hidden.weight" not in step.state() and "moment1.hidden.bias" in step.state()
    assert losses["mse", "O0"] != losses["mse", "O2"]  # float16 products


def test_state_holds_each_weight_moment_average_and_counter():
    weights, more = {"vector", "matrix"}, {"mean", "count", "updates", "loss_scale", "finite_updates", "learning_rate",
                                           "accumulated_batches", "global_step", "beta1_power", "beta2_power"}
    twins = {f"{kind}.{name}" for kind in ("moment1", "moment2", "accumulated", "ema") for name in weights}
    state = make(ema=0.9, accumulate=2).state()
    assert set(state) == weights | more | twins | {"ema.mean"}
    ours = ("ema.", "accumulated", "updates", "loss_scale", "finite_updates")
    assert not [name for name, p in state.items() if p.requires_grad and name.startswith(ours)]
    assert set(make().state()) == weights | more | {name for name in twins if name.startswith("moment")}
