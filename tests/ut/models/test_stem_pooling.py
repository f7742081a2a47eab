# SPDX-License-Identifier: Apache-2.0
"""The stem's pooling beside MaxPool's definition, its gradient, and its answer to ties."""

import mindspore as ms
import numpy as np
import pytest
from golden import numbers
from mindspore import Tensor, nn

from mindface_eri.models.stem_pooling import StemPooling

SIZES = [(4, 6), (5, 4), (4, 7), (3, 5), (1, 1), (2, 1)]


def window_by_window(x, gradient=None):
    """Maxima over 3 x 3 with stride 2 and a border of minus infinity, or the gradient of the first maximum of each."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, columns = (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2
    maxima, handed = np.zeros((*x.shape[:2], rows, columns), x.dtype), np.zeros(padded.shape)
    for n, c, i, j in np.ndindex(maxima.shape):
        window = padded[n, c, 2 * i:2 * i + 3, 2 * j:2 * j + 3]
        maxima[n, c, i, j] = window.max()
        if gradient is not None:
            row, column = np.unravel_index(window.argmax(), window.shape)  # the first, row by row
            handed[n, c, 2 * i + row, 2 * j + column] += gradient[n, c, i, j]
    return maxima if gradient is None else handed[:, :, 1:-1, 1:-1]


def maps(height, width, ties=False):
    """Positive and, behind the ReLU, zero; with ties, of few values."""
    x = numbers("maps", (2, 3, height, width))
    return np.maximum(np.round(x) + 1 if ties else x, 0).astype(np.float32)


@pytest.mark.parametrize("height, width", SIZES)
def test_maxima_to_the_bit(height, width, pynative):
    x = maps(height, width)
    np.testing.assert_array_equal(StemPooling()(Tensor(x)).asnumpy(), window_by_window(x))


def gradient_of(cell, x, gradient):
    _, vjp = ms.vjp(cell, Tensor(x))
    return vjp(Tensor(gradient))[0].asnumpy()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("height, width", SIZES[:4])
def test_the_first_of_equal_values_takes_the_gradient(height, width, ties, pynative):
    x = maps(height, width, ties)
    gradient = numbers("gradient", window_by_window(x).shape).astype(np.float32)
    expected = window_by_window(x, gradient)
    kept = x > 0  # what is given to a zero ends there: ReLU lets nothing through
    assert kept.any() and (expected[kept] != 0).any()
    np.testing.assert_allclose(gradient_of(StemPooling(), x, gradient)[kept], expected[kept], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_in_a_graph_and_in_half_precision(kind, graph_mode):
    x, gradient = maps(4, 6, ties=True).astype(kind), numbers("gradient", (2, 3, 2, 3)).astype(kind)
    pooling = StemPooling()
    answer = pooling(Tensor(x))
    assert answer.dtype == ms.Tensor(x).dtype
    np.testing.assert_array_equal(answer.asnumpy(), window_by_window(x))
    kept = x > 0
    np.testing.assert_allclose(gradient_of(pooling, x, gradient)[kept], window_by_window(x, gradient)[kept],
                               rtol=1e-3 if kind is np.float16 else 1e-6, atol=1e-6)


def test_as_mindspores_pooling(pynative):
    """Whose kernel hands a tie's gradient to the first, too, on the CPU."""
    x = maps(6, 4, ties=True)
    other = nn.SequentialCell(nn.Pad(((0, 0), (0, 0), (1, 0), (1, 0))), nn.MaxPool2d(3, 2, pad_mode="valid"))
    gradient = numbers("gradient", (2, 3, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(StemPooling()(Tensor(x)).asnumpy(), other(Tensor(x)).asnumpy())
    np.testing.assert_allclose(gradient_of(StemPooling(), x, gradient), gradient_of(other, x, gradient), atol=1e-6)
