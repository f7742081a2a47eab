# SPDX-License-Identifier: Apache-2.0
"""Normalisation for training on the CPU beside its definition in float64 and beside MindSpore's own."""

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, numbers
from mindspore import Tensor, nn

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.device.context import Context
from mindface_eri.models.layers import Linear, layer_norm
from mindface_eri.models.row_norm import NormedProjection, RowAffine, RowNorm, use_row_norms
from mindface_eri.runner.step import TrainStep

GAMMA = np.array([1.0, -2.0, 0.0, 0.5, 3.0], np.float32)  # of which one is zero, and one negative
BETA, WEIGHT, BIAS = (numbers(name, shape) for name, shape in (("beta", 5), ("weight", (3, 5)), ("bias", 3)))


def rows(offset):
    """(2, 4, 5): deviations of 0.1 to 10, one of zero, around `offset`."""
    spread = np.array([0.1, 1.0, 10.0, 0.0, 2.0, 1.0, 1.0, 0.3], np.float32).reshape(2, 4, 1)
    return (numbers("rows", (2, 4, 5)) * spread + np.float32(offset)).astype(np.float32)


def normalised(x):
    x = x.astype(np.float64)
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation, deviation


def norm_gradients(x, gradient):
    """By the definition, in float64: what x, gamma and beta add to the sum of y * gradient."""
    normal, deviation = normalised(x)
    scaled = gradient * GAMMA.astype(np.float64)
    of_x = (scaled - scaled.mean(-1, keepdims=True) - normal * (scaled * normal).mean(-1, keepdims=True)) / deviation
    return of_x, (gradient * normal).sum((0, 1)), gradient.sum((0, 1))


def ours(cell, gradient, arrays):
    """A Cell's first output and what each input adds to the sum of it times `gradient`."""
    out, vjp = ms.vjp(cell, *map(Tensor, arrays))
    out, rest = (out[0], out[1:]) if isinstance(out, tuple) else (out, ())
    cotangents = (Tensor(gradient), *(Tensor(np.zeros(one.shape, np.float32)) for one in rest))
    return out.asnumpy(), [one.asnumpy() for one in vjp(cotangents if rest else cotangents[0])]


def near(found, expected, offset, what=""):
    """Up to the digits that float32 has left behind a mean of `offset`."""
    relative = 2e-6 + 2e-6 * offset
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * max(1.0, np.abs(expected).max()), err_msg=what)


@pytest.fixture(params=["graph", "pynative"])
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("offset", [0, 300])
def test_a_norm_and_its_gradients(offset, mode):
    x, gradient = rows(offset), numbers("gradient", (2, 4, 5))
    y, found = ours(RowNorm(1e-5), gradient, (x, GAMMA, BETA))
    near(y, normalised(x)[0] * GAMMA + BETA, offset)
    for one, expected, name in zip(found, norm_gradients(x, gradient), ("x", "gamma", "beta")):
        near(one, expected, offset, name)


@pytest.mark.parametrize("offset", [0, 300])
def test_a_folded_norm_and_its_gradients(offset, mode):
    x, gradient = rows(offset), numbers("projected", (2, 4, 3))
    y, found = ours(NormedProjection(1e-5), gradient, (x, GAMMA, BETA, WEIGHT, BIAS))
    normal = normalised(x)[0] * GAMMA + BETA
    near(y, normal @ WEIGHT.T.astype(np.float64) + BIAS, offset)
    expected = (*norm_gradients(x, gradient @ WEIGHT.astype(np.float64)), np.einsum("bto,btd->od", gradient, normal),
                gradient.sum((0, 1)))
    for one, wanted, name in zip(found, expected, ("x", "gamma", "beta", "weight", "bias")):
        near(one, wanted, offset, name)


def test_a_large_mean_costs_no_more_digits_than_mindspores_kernels(pynative):
    """Where the product came before the centring, the errors were of the size of the answers."""
    x = (numbers("wide", (64, 5)) + 3000).astype(np.float32)
    norm, linear = layer_norm(5), Linear(5, 3)
    for parameter, values in ((norm.gamma, GAMMA), (norm.beta, BETA), (linear.weight, WEIGHT), (linear.bias, BIAS)):
        parameter.set_data(Tensor(values))
    exact = (normalised(x)[0] * GAMMA + BETA) @ WEIGHT.T.astype(np.float64) + BIAS
    theirs = linear(norm(Tensor(x))).asnumpy()
    folded = NormedProjection(1e-5)(Tensor(x), *map(Tensor, (GAMMA, BETA, WEIGHT, BIAS)))[0].asnumpy()
    assert np.abs(folded - exact).max() <= 2 * np.abs(theirs - exact).max() + 1e-5


@pytest.mark.parametrize("context, level, used", [("CPU", "O0", True), ("CPU", "O2", False), ("CPU", "O3", False),
                                                  ("GPU", "O0", False), ("Ascend", "O0", False)])
def test_training_in_float32_on_the_cpu_uses_them_and_keeps_names(context, level, used, golden_network):
    network = golden_network(GOLDEN_CONFIGS["eri_acoustic temma"])
    names = [(name, parameter.name, id(parameter)) for name, parameter in network.parameters_and_names()]
    TrainStep(network, TrainConfig(), RuntimeConfig(amp_level=level), Context(context, "graph"))
    cells = [cell for _, cell in network.cells_and_names()]
    assert sum(isinstance(cell, RowNorm) for cell in cells) == used * sum(isinstance(c, nn.LayerNorm) for c in cells)
    assert any(isinstance(cell, NormedProjection) for cell in cells) == used
    assert [(name, parameter.name, id(parameter)) for name, parameter in network.parameters_and_names()] == names


def test_a_network_that_is_not_ours_keeps_its_own_epsilon():
    norm = nn.SequentialCell(nn.LayerNorm((3,), epsilon=0.25))
    use_row_norms(norm)
    x = Tensor(np.array([[1.0, 2.0, 6.0]], np.float32))
    np.testing.assert_allclose(norm(x).asnumpy() * np.sqrt(14 / 3 + 0.25), [[-2, -1, 3]], rtol=1e-5)


def test_columns_scaled_and_shifted(mode):
    x, gradient = rows(3), numbers("gradient", (2, 4, 5))
    y, found = ours(RowAffine(), gradient, (x, GAMMA, BETA))
    np.testing.assert_allclose(y, x * GAMMA + BETA, rtol=1e-6, atol=1e-5)
    for one, wanted in zip(found, (gradient * GAMMA, (gradient * x).sum((0, 1)), gradient.sum((0, 1)))):
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-5)


def test_sound_with_a_large_mean_is_standardised_alike(golden_network, pynative):
    network = golden_network(GOLDEN_CONFIGS["eri_acoustic temma"])
    network.mfcc_mean.set_data(Tensor(1000 + numbers("mean", (11,))))
    x = Tensor(1000 + numbers("sound", (2, 6, 11)))
    expected = network._standardized(x).asnumpy()
    np.testing.assert_allclose(use_row_norms(network)._standardized(x).asnumpy(), expected, rtol=1e-6, atol=1e-6)
