# SPDX-License-Identifier: Apache-2.0
"""Statistics over the batches of all processes, against `nn.BatchNorm` over the whole batch."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindface_eri.models import create_model
from mindface_eri.models.batch_norm import GlobalBatchNorm, has_batch_statistics, share_batch_statistics
from mindface_eri.models.resnet import ResNetStem

RANDOM = np.random.default_rng(4)
# Channels that spread by a half around 3, by two around -2, and by thirty around zero.
X = (RANDOM.normal(size=(8, 3, 4, 5)) * [[[[0.5]], [[2]], [[30]]]] + [[[[3]], [[-2]], [[0]]]]).astype(np.float32)
WEIGHTS = RANDOM.normal(size=X.shape).astype(np.float32)  # of each output in the sum that is derived


@pytest.fixture(autouse=True)
def eager():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def others(monkeypatch):
    """`others.add`: what the other processes add to each sum, one after the other; zeros where it is empty."""
    class AllReduce:
        add = []

        def __call__(self, x):
            return x + Tensor(AllReduce.add.pop(0)) if AllReduce.add else x * 1.0

    monkeypatch.setattr(ops, "AllReduce", AllReduce)
    return AllReduce


def norm(dimensions=4):
    made = (nn.BatchNorm2d if dimensions == 4 else nn.BatchNorm1d)(3, eps=1e-5, momentum=0.9)
    for name, values in (("gamma", [1.0, 2, 0.5]), ("beta", [1.0, -2, 0.5]), ("moving_mean", [2.0, 1, -3])):
        getattr(made, name).set_data(Tensor(values, ms.float32))
    return made.set_train()


def computed(cell, x, weights):
    """(output, gradients of x, gamma and beta, running mean and variance) of a training step, and of inference."""
    def weighted(x):
        y = cell(x)
        return (y * Tensor(weights)).sum(), y

    (_, y), (dx, (dgamma, dbeta)) = ms.value_and_grad(weighted, 0, cell.trainable_params(), has_aux=True)(Tensor(x))
    found = [y, dx, dgamma, dbeta, cell.moving_mean, cell.moving_variance, cell.set_train(False)(Tensor(x))]
    return [value.asnumpy() for value in found]


@pytest.mark.parametrize("axes", [(slice(None), slice(None)), (0, 0), (slice(None), 0)])
def test_one_process_alone_is_mindspores_own(others, axes):
    """Of pictures (N, C, H, W), of vectors (N, C) and of sequences (N, C, L)."""
    x, weights = X[(..., *axes)], WEIGHTS[(..., *axes)]
    ours = share_batch_statistics(norm(x.ndim))
    assert isinstance(ours.bn_train, GlobalBatchNorm)
    if x.ndim == 3:  # MindSpore's own takes none in training
        expected = computed(norm(), x[..., None], weights[..., None])
        expected = [value.reshape(x.shape) if value.ndim == 4 else value for value in expected]
    else:
        expected = computed(norm(x.ndim), x, weights)
    for found, value in zip(computed(ours, x, weights), expected):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5)


def test_processes_with_unequal_batches_have_the_statistics_of_all(others):
    whole, part, rest = norm(), X[:3], X[3:]
    y = whole(Tensor(X)).asnumpy()
    mean = X.mean((0, 2, 3), dtype=np.float64, keepdims=True)
    others.add[:] = [np.append(rest.sum((0, 2, 3), dtype=np.float64), 5 * 20).astype("f"),
                     ((rest - mean) ** 2).sum((0, 2, 3)).astype("f")]
    ours = share_batch_statistics(norm())
    np.testing.assert_allclose(ours(Tensor(part)).asnumpy(), y[:3], rtol=1e-5, atol=1e-5)
    assert others.add == []
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(ours, name).asnumpy(), getattr(whole, name).asnumpy(), rtol=1e-5)


def test_a_variance_far_from_zero_keeps_its_digits(others):
    """The mean of squares less the square of the mean would have none left: 1e8 against 1e-2."""
    x = (1e4 + 0.1 * RANDOM.normal(size=(64, 3))).astype(np.float32)
    ours = share_batch_statistics(norm(2))
    ours(Tensor(x))
    expected = 0.9 + 0.1 * x.astype(np.float64).var(0, ddof=1)
    np.testing.assert_allclose(ours.moving_variance.asnumpy(), expected, rtol=1e-4)


def test_half_precision_stays_outside(others):
    ours = share_batch_statistics(norm(2))
    x = np.full((200, 3), 500, np.float16)  # whose sum float16 cannot hold
    y = ours.bn_train(Tensor(x), ours.gamma, ours.beta, ours.moving_mean, ours.moving_variance)[0]
    assert y.dtype == ms.float16
    np.testing.assert_array_equal(y.asnumpy(), np.broadcast_to(np.array([1, -2, 0.5], np.float16), (200, 3)))


def test_names_stay_and_what_is_frozen_is_left(others):
    tiny = {"frames": 2, "crop_size": 32, "stem_width": 4, "spatial_depth": 1, "width": 8, "temporal_depth": 1}
    network = create_model("eri_visual", **tiny)
    names = [p.name for p in network.get_parameters()]
    assert has_batch_statistics(network) and not has_batch_statistics(ResNetStem(4, frozen=True))
    shared = share_batch_statistics(share_batch_statistics(network))  # twice: as once
    assert [p.name for p in shared.get_parameters()] == names
    norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert len(norms) == 15 and all(isinstance(cell.bn_train, GlobalBatchNorm) for cell in norms)
    frozen = share_batch_statistics(ResNetStem(4, frozen=True))
    assert not [cell for _, cell in frozen.cells_and_names() if isinstance(cell, GlobalBatchNorm)]


@pytest.mark.slow
def test_a_stem_that_is_computed_twice_remembers_a_batch_once(graph_mode):
    found, frames = [], Tensor(np.random.default_rng(0).integers(0, 256, (1, 2, 32, 32, 3), np.uint8))
    for twice in (False, True):
        network = create_model("eri_visual", frames=2, crop_size=32, stem_width=8, width=8, spatial_depth=1,
                               spatial_heads=2, temporal_heads=2, temporal_depth=1, recompute_stem=twice,
                               emotions=("Joy",)).set_train()
        for p in network.get_parameters():
            if p.requires_grad:
                p.set_data(Tensor(np.full(p.shape, 0.01, np.float32)))
        ops.grad(network, None, network.trainable_params())(frames)
        found.append(next(p for p in network.get_parameters() if p.name.endswith("moving_mean")).asnumpy().copy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    assert np.abs(found[0]).max() > 1e-4
