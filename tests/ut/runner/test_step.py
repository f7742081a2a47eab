# SPDX-License-Identifier: Apache-2.0
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.runner.optim import set_lr
from mindface_eri.runner.step import AveragedWeights, TrainStep

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(8, 6)).astype(np.float32)
Y = RANDOM.uniform(size=(8, 2)).astype(np.float32)


def make(tiny_network, loss_scale="none", **train):
    ms.set_seed(3)
    step = TrainStep(tiny_network(), TrainConfig(**{"lr": 0.01, **train}), RuntimeConfig(loss_scale=loss_scale))
    return step.set_train()


def weights(step):
    return {p.name: p.asnumpy().copy() for p in step.network.get_parameters()}


def run(step, x=X, y=Y):
    return float(step(Tensor(x), Tensor(y)).asnumpy())


def distance(one, two):
    return max(np.abs(one[name] - two[name]).max() for name in one)


def test_two_accumulated_halves_equal_the_whole_batch(tiny_network):
    whole, halves = make(tiny_network), make(tiny_network, accumulate=2)
    for _ in range(2):
        run(whole)
        run(halves, X[:4], Y[:4])
        before = weights(halves)
        run(halves, X[4:], Y[4:])
    assert distance(before, weights(halves)) > 1e-3  # only the second half updates
    assert distance(weights(whole), weights(halves)) < 1e-6


@pytest.mark.parametrize("loss_scale", ["fixed", "dynamic"])
def test_loss_scale_changes_nothing_but_range(tiny_network, loss_scale):
    plain, scaled = make(tiny_network), make(tiny_network, loss_scale)
    assert [run(plain) for _ in range(3)] == pytest.approx([run(scaled) for _ in range(3)], abs=1e-6)
    assert distance(weights(plain), weights(scaled)) < 1e-5


def test_an_overflow_is_left_out_and_halves_the_scale(tiny_network):
    step = make(tiny_network, "dynamic")
    run(step)
    before, scale = weights(step), float(step.apply_step.scale.asnumpy())
    run(step, X * np.float32(np.inf))
    assert distance(before, weights(step)) == 0
    assert float(step.apply_step.scale.asnumpy()) == scale / 2
    run(step)
    assert distance(before, weights(step)) > 1e-3  # and training goes on


def test_clipping_bounds_the_gradient(tiny_network):
    """Adam ignores a gradient's scale, its second moment tells it: sum v = (1 - beta2) * |g|^2 after one step."""
    step = make(tiny_network, clip_norm=0.01)
    run(step)
    moments = sum(p.asnumpy().sum() for p in step.apply_step.optimizer.moment2)
    assert np.sqrt(moments / 1e-3) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("loss_scale", ["none", "dynamic"])
def test_lr_changes_a_compiled_graph(tiny_network, loss_scale):
    step = make(tiny_network, loss_scale)
    run(step)
    set_lr(step.apply_step.optimizer, 0.0)
    before = weights(step)
    run(step)
    assert distance(before, weights(step)) == 0


def test_averaged_weights_follow_their_formula_and_are_given_back(tiny_network):
    step = make(tiny_network, ema=0.5)
    expected, name = weights(step), "hidden.weight"
    for update in (1, 2, 3):
        run(step)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = {k: decay * expected[k] + (1 - decay) * v for k, v in weights(step).items()}
    live = weights(step)
    with AveragedWeights(step):
        assert distance(weights(step), expected) < 1e-6
    assert distance(weights(step), live) == 0 and np.abs(live[name] - expected[name]).max() > 1e-4


def test_the_state_is_all_there_is(tiny_network):
    step = make(tiny_network, "dynamic", ema=0.9, accumulate=2, clip_norm=1.0)
    for _ in range(3):
        run(step)
    state = {name: p.asnumpy().copy() for name, p in step.state().items()}
    straight = [run(step) for _ in range(4)]
    for name, value in state.items():
        ops.assign(step.state()[name], Tensor(value))
    assert [run(step) for _ in range(4)] == straight
