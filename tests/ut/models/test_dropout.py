# SPDX-License-Identifier: Apache-2.0
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindface_eri.models import create_model
from mindface_eri.models.dropout import SeededDropout, active_dropout, seed_dropout


@pytest.fixture(autouse=True)
def eager():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def pair(drop=0.25):
    return nn.SequentialCell(nn.Dropout(p=drop), nn.Dropout(p=0.0), nn.Dropout(p=drop))


def draws(seed, drop=0.25, times=12):
    """Of each of two layers at each of some steps."""
    cells, x = seed_dropout(pair(drop).set_train(), seed), Tensor(np.ones((250, 8), np.float32))
    return np.array([[cells[0](x).asnumpy(), cells[2](x).asnumpy()] for _ in range(times)])


def test_the_same_seed_draws_the_same_and_all_else_something_else():
    drawn = draws(5)
    np.testing.assert_array_equal(drawn, draws(5))
    masks = [*drawn.reshape(24, -1), draws(6, times=1)[0, 0].ravel()]  # of steps, layers and another seed
    assert len({mask.tobytes() for mask in masks}) == 25
    alike = np.corrcoef(masks) - np.eye(25)
    assert np.abs(alike).max() < 5 / np.sqrt(2000)  # of independent draws, five standard errors


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_was_asked_and_the_rest_makes_up_for_it(drop):
    drawn = draws(1, drop)
    kept = drawn[drawn > 0]
    np.testing.assert_allclose(kept, 1 / (1 - drop), rtol=1e-6)
    assert kept.size / drawn.size == pytest.approx(1 - drop, abs=5 * np.sqrt(drop * (1 - drop) / drawn.size))


def test_gradients_pass_where_values_did_and_types_stay():
    layer, x = SeededDropout(0.5, 3, 1), Tensor(np.full((4, 50), 3, np.float16))
    gradient, y = ops.grad(lambda x: layer(x)[0].sum())(x), layer(x)[0]
    assert y.dtype == gradient.dtype == ms.float16
    assert set(np.unique(y.asnumpy())) == {0, 6} and set(np.unique(gradient.asnumpy())) == {0, 2}


def test_inference_and_layers_that_drop_nothing_stay():
    cells, x = seed_dropout(pair(), 5), Tensor(np.ones((2, 3), np.float32))
    assert active_dropout(cells) == [cells[0], cells[2]] and not isinstance(cells[1].dropout, nn.Cell)
    np.testing.assert_array_equal(cells.set_train(False)(x).asnumpy(), x.asnumpy())
    network = create_model("eri_acoustic", width=8, temporal_depth=1, temporal_heads=2, temporal_dropout=0.0)
    assert active_dropout(network) == []
