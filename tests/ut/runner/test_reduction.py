# SPDX-License-Identifier: Apache-2.0
"""The mean of gradients in its two ways, by a stand-in for MindSpore's communication."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.device.context import Context
from mindface_eri.models import create_model
from mindface_eri.runner import reduction
from mindface_eri.runner.reduction import EagerMean, GatherRows, GraphMean, settle, shared_within
from mindface_eri.runner.step import TrainStep

X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
Y = np.random.default_rng(1).uniform(size=(8, 2)).astype(np.float32)
SECOND = Context("CPU", "graph", 1, 2)
EAGER = RuntimeConfig(all_reduce="eager")


class Twice(nn.Cell):
    """An AllReduce of two processes that have the same."""

    calls = []

    def construct(self, x):
        return x + x

    def __call__(self, x):
        Twice.calls.append(x.shape)
        return super().__call__(x)

    def add_prim_attr(self, name, value):
        return self


@pytest.fixture
def twice(monkeypatch):
    """`twice.calls`: shapes of what was summed outside graphs."""
    monkeypatch.setattr(ops, "AllReduce", Twice)
    Twice.calls = []
    return Twice


@pytest.fixture
def by_operator():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("reducer, messages", [(GraphMean, [(3,), (2, 2), ()]), (EagerMean, [(8,)])])
def test_each_gradient_is_the_mean_in_its_own_shape_and_type(twice, by_operator, reducer, messages):
    given = [np.array([1, 2, 3], "f"), np.array([[4, -5], [6, 7]], np.float16), np.array(8, "f")]
    found = reducer(4)(tuple(map(Tensor, given)))
    for mean, gradient in zip(found, given):
        assert mean.asnumpy().dtype == gradient.dtype and mean.shape == gradient.shape
        np.testing.assert_array_equal(mean.asnumpy(), gradient / 2)  # two of four have it, the others nothing
    assert twice.calls == messages


def test_rows_of_all_come_behind_each_other(twice, by_operator):
    rows = Tensor(np.array([[1, 2]], "f"))
    np.testing.assert_array_equal(GatherRows(1, 3)(rows).asnumpy(), [[0, 0], [2, 4], [0, 0]])
    gradient = ops.grad(lambda x: (GatherRows(1, 3)(x) * Tensor(np.array([[9, 9], [3, 5], [9, 9]], "f"))).sum())(rows)
    np.testing.assert_array_equal(gradient.asnumpy(), [[6, 10]])  # of its own rows only, as often as processes have it


def trained(tiny_network, runtime, context, **train):
    """Weights after four batches."""
    ms.set_seed(3)
    step = TrainStep(tiny_network(), TrainConfig(lr=0.01, **train), runtime, context).set_train()
    losses = [float(step(Tensor(X[rows]), Tensor(Y[rows])).asnumpy()) for rows in 2 * (slice(0, 4), slice(4, 8))]
    return step, losses, {name: p.asnumpy().copy() for name, p in step.state().items()}


def test_two_processes_with_the_same_clips_train_as_one_in_both_ways(tiny_network, twice):
    """And so they do with all that lies between gradients and weights."""
    options, runtime = {"accumulate": 2, "clip_norm": 0.01, "ema": 0.5}, RuntimeConfig(loss_scale="dynamic")
    _, losses, alone = trained(tiny_network, runtime, Context("CPU", "graph"), **options)
    for eager in (False, True):
        wanted = dataclasses.replace(runtime, all_reduce="eager" if eager else "graph")
        step, again, state = trained(tiny_network, wanted, SECOND, **options)
        assert again == pytest.approx(losses, abs=1e-7) and step.eager == eager
        for name, value in alone.items():
            np.testing.assert_allclose(state[name], value, atol=1e-6, rtol=1e-5, err_msg=name)
        weights = sum(p.size for p in step.apply_step.weights)
        assert twice.calls == [(weights,)] * 2 * eager  # one message an update, and none outside the compiled step


@pytest.mark.parametrize("loss", ["mse", "ccc"])
def test_a_loss_over_all_clips_sees_all(tiny_network, twice, by_operator, loss):
    step = TrainStep(tiny_network(), TrainConfig(loss=loss), RuntimeConfig(mode="pynative"), SECOND).set_train()
    step(Tensor(X), Tensor(Y))
    assert ((16, 2) in twice.calls) == (loss == "ccc")
    assert shared_within(step.network, loss) == ("" if loss == "mse" else "the loss ccc")


def test_batch_statistics_are_shared_before_the_first_step(twice):
    tiny = {"frames": 2, "crop_size": 32, "stem_width": 4, "spatial_depth": 1, "width": 8, "temporal_depth": 1}
    network = create_model("eri_visual", **tiny)
    assert shared_within(network, "mse") == "batch normalisation"
    TrainStep(network, TrainConfig())
    assert not isinstance(network.stem.bn1.bn_train, nn.Cell)
    TrainStep(network, TrainConfig(), context=SECOND)
    assert isinstance(network.stem.bn1.bn_train, nn.Cell)


def test_what_graphs_refuse_is_tried_once_and_said(monkeypatch):
    """In whichever way a later release says so."""
    said = []

    def refuse(x):
        raise NotImplementedError("AllReduce is not for graphs\nany more")

    runtime = RuntimeConfig()
    monkeypatch.setattr(reduction, "_Sum", lambda: lambda x: x)  # graphs take it
    assert settle(runtime, SECOND, "", said.append) is runtime and said == []
    monkeypatch.setattr(reduction, "_Sum", lambda: refuse)
    lone = Context("CPU", "graph")
    assert settle(runtime, lone, "batch normalisation", said.append) is runtime and said == []
    assert settle(runtime, SECOND, "", said.append) == EAGER
    assert len(said) == 1 and "takes no communication in graphs (AllReduce is not for graphs)" in said.pop()
    assert settle(EAGER, SECOND, "", said.append) is EAGER and said == []
    slow = settle(EAGER, SECOND, "the loss ccc", said.append)
    assert slow == dataclasses.replace(EAGER, mode="pynative")
    assert len(said) == 1 and "the loss ccc needs the other processes" in said[0]
    assert settle(slow, SECOND, "the loss ccc", said.append) is slow and len(said) == 1
