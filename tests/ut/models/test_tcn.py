# SPDX-License-Identifier: Apache-2.0
"""Causal convolutions and what is made of them against their definitions, written out with loops."""

import numpy as np
import pytest
from golden import golden_weight, numbers
from mindspore import Tensor

from mindface_eri.config import ModelConfig
from mindface_eri.models import (
    CausalConv1d,
    PreNormEncoder,
    ResidualConvNet,
    TemmaEncoder,
    TemporalConvNet,
    WeightNormConv1d,
    temporal_encoder,
)
from mindface_eri.models.temma import sinusoids


def by_definition(x, weight, bias, dilation):
    """Eq. 6: y[t] = bias + the sum over taps of weight[tap] @ x[t - (kernel - 1 - tap) * dilation]."""
    weight = weight.reshape(-1, len(bias), x.shape[2])  # (kernel, out, in), the oldest tap first
    y = np.tile(bias, (*x.shape[:2], 1)).astype(np.float64)
    for t in range(x.shape[1]):
        for tap, matrix in enumerate(weight):
            past = t - (len(weight) - 1 - tap) * dilation
            if past >= 0:
                y[:, t] += x[:, past] @ matrix.T
    return y


@pytest.mark.parametrize("frames, kernel, dilation", [(5, 3, 1), (4, 3, 2), (3, 3, 2), (7, 2, 3), (4, 1, 5)])
def test_causal_convolution(frames, kernel, dilation, pynative):
    """Delays below, of and above the whole sequence."""
    cell = CausalConv1d(3, 4, kernel, dilation)
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(Tensor(golden_weight(name, parameter.shape)))
    x = numbers("sequence", (2, frames, 3))
    expected = by_definition(x, cell.product.weight.asnumpy(), cell.bias.asnumpy(), dilation)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), expected, atol=1e-5)


def test_network_of_convolutions(pynative):
    cell = TemporalConvNet(3, 4, 2, (3, 1), dropout=0.9).set_train(False)
    assert cell.receptive_field == 1 + 1 * (3 + 1)
    x = expected = numbers("sequence", (2, 6, 3))
    for convolution, dilation in zip(cell.convolutions, (3, 1)):
        expected = np.maximum(by_definition(expected, convolution.product.weight.asnumpy(),
                                            convolution.bias.asnumpy(), dilation), 0)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), expected, atol=1e-5)


def fill(cell):
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(Tensor(golden_weight(name, parameter.shape)))
    return cell.set_train(False)


def normed(x, convolution, dilation):
    """The definition on a weight whose channels have the convolution's magnitudes for norms, by loops."""
    magnitude, weight = convolution.magnitude.asnumpy(), convolution.product.weight.asnumpy().astype("d")
    for channel, size in enumerate(magnitude):
        rows = slice(channel, None, len(magnitude))  # of each tap
        weight[rows] *= size / np.linalg.norm(weight[rows])
    return by_definition(x, weight, convolution.bias.asnumpy(), dilation)


def test_convolution_with_weight_normalisation(pynative):
    cell, x = fill(WeightNormConv1d(3, 4, 2, 3)), numbers("sequence", (2, 7, 3))
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), normed(x, cell, 3), atol=1e-5)
    before = cell(Tensor(x)).asnumpy()
    cell.product.weight.set_data(Tensor(7 * cell.product.weight.asnumpy()))  # its size does not count
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), before, atol=1e-5)


def test_levels_and_what_comes_before_the_attention(pynative):
    """Two levels, the first with a way of its own around it; then the factor and the position codes."""
    config = ModelConfig(frames=6, width=4, tcn_kernel=2, tcn_dilations=(3, 1), temporal_depth=1, temporal_heads=2)
    encoder = temporal_encoder(3, config)
    assert isinstance(encoder, TemmaEncoder) and encoder.tcn.receptive_field == 1 + 2 * 1 * (3 + 1)
    x = expected = numbers("sequence", (2, 6, 3))
    for level, dilation in zip(fill(encoder).tcn.levels, (3, 1)):
        y = expected
        for convolution in (level.conv1, level.conv2):
            y = np.maximum(normed(y, convolution, dilation), 0)
        if dilation == 3:
            expected = expected @ level.shortcut.weight.asnumpy().T + level.shortcut.bias.asnumpy()
        expected = np.maximum(y + expected, 0)
    np.testing.assert_allclose(encoder.tcn(Tensor(x)).asnumpy(), expected, atol=1e-5)
    before = (2 * expected + sinusoids(6, 4)).astype(np.float32)  # the root of four channels
    np.testing.assert_allclose(encoder(Tensor(x)).asnumpy(), encoder.encoder(Tensor(before)).asnumpy(), atol=1e-4)


def test_position_codes_by_hand():
    codes = sinusoids(3, 5)
    assert codes.shape == (3, 5) and codes.dtype == np.float32 and codes[0].tolist() == [0, 1, 0, 1, 0]
    slower, slowest = 1000 ** -0.4, 1000 ** -0.8
    np.testing.assert_allclose(codes[2], [np.sin(2), np.cos(2), np.sin(2 * slower), np.cos(2 * slower),
                                          np.sin(2 * slowest)], rtol=1e-5)


def test_levels_do_not_look_ahead(pynative):
    """Instants before a change stay as they were; the change reaches as far as is said, and no further."""
    network = ResidualConvNet(2, 3, 2, (1, 2))
    for _, parameter in network.parameters_and_names():  # all positive: no ReLU hides a dependence
        parameter.set_data(Tensor(0.1 + np.abs(golden_weight(parameter.name, parameter.shape))))
    x = np.abs(numbers("sequence", (1, 12, 2)))
    changed = x.copy()
    changed[0, 3] += 1
    network.set_train(False)
    differs = (network(Tensor(x)).asnumpy() != network(Tensor(changed)).asnumpy()).any(axis=(0, 2))
    assert network.receptive_field == 7 and np.flatnonzero(differs).tolist() == list(range(3, 3 + 7))


def test_blocks_without_their_parts_add_nothing(pynative):
    """Normalisation lies on the parts' way alone, and at the end: what is summed up passes as it is."""
    encoder = fill(PreNormEncoder(4, 2, 2, ffn_ratio=1.5))
    for block in encoder.blocks:
        for part in (block.attention.out, block.linear2):
            part.weight.set_data(Tensor(np.zeros(part.weight.shape, "f")))
            part.bias.set_data(Tensor(np.zeros(4, "f")))
    x = numbers("tokens", (2, 3, 4))
    np.testing.assert_allclose(encoder.blocks(Tensor(x)).asnumpy(), x, atol=1e-6)
    centred = x - x.mean(-1, keepdims=True)
    wanted = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * encoder.norm.gamma.asnumpy()
    np.testing.assert_allclose(encoder(Tensor(x)).asnumpy(), wanted + encoder.norm.beta.asnumpy(), atol=1e-5)
