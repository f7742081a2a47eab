# SPDX-License-Identifier: Apache-2.0
"""Causal convolutions against their definition, written out with loops."""

import numpy as np
import pytest
from golden import golden_weight, numbers
from mindspore import Tensor

from mindface_eri.models import CausalConv1d, TemporalConvNet


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
