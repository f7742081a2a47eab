# SPDX-License-Identifier: Apache-2.0
"""Outputs, gradients and statistics of all networks against numbers that PyTorch computed once (make_golden.py)."""

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, digest, golden_inputs, numbers
from mindspore import Tensor

from mindface_eri.models import FeatureExtractor
from mindface_eri.models.row_norm import use_row_norms

NAMES = list(GOLDEN_CONFIGS)


def near(ours, theirs, relative, what):
    ours = np.asarray(ours.asnumpy() if isinstance(ours, Tensor) else ours).reshape(theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=relative * max(1e-3, np.abs(theirs).max(initial=0)),
                               err_msg=what)


@pytest.mark.parametrize("name", NAMES)
def test_inference(name, golden, golden_network, pynative):
    """Intensities, features and both kinds of attention weights, with dropout set but inactive."""
    config = GOLDEN_CONFIGS[name]
    network = golden_network(config).set_train(False)
    inputs = [Tensor(array) for array in golden_inputs(config)]
    answer = network(*inputs)
    near(answer, golden[f"{name} intensities"], 1e-4, "intensities")
    seen = network.attention(*inputs)
    np.testing.assert_allclose(seen.intensities.asnumpy(), answer.asnumpy(), atol=1e-6)
    near(seen.temporal, golden[f"{name} temporal"], 1e-4, "temporal")
    if "frames" in config.inputs:
        side = -(-config.crop_size // 16)
        assert seen.spatial.shape == (4, config.frames, side, side)
        near(seen.spatial, golden[f"{name} spatial"], 1e-4, "spatial")
    else:
        assert seen.spatial is None
    if f"{name} features" in golden:
        near(FeatureExtractor(network)(*inputs), golden[f"{name} features"], 1e-4, "features")


@pytest.mark.parametrize("name, on_cpu", [*((name, False) for name in NAMES), ("eri_dual_branch", True),
                                          ("eri_acoustic temma", True)])
def test_training(name, on_cpu, golden, golden_network, dropout_by_rule):
    """Intensities, gradients of all parameters and of the inputs, and the statistics that batches leave behind."""
    config = GOLDEN_CONFIGS[name]
    network = golden_network(config).set_train()
    if on_cpu:
        use_row_norms(network)
    inputs = [Tensor(array) for array in golden_inputs(config)]
    weights = Tensor(numbers("projection", (4, 3)))

    def objective(*arrays):
        answer = network(*arrays)
        return (answer * weights).sum(), answer

    places = tuple(i for i, which in enumerate(config.inputs) if which not in ("frames", "present"))
    parameters = dict(sorted((n, p) for n, p in network.parameters_and_names() if p.requires_grad))
    gradient = ms.value_and_grad(objective, places or None, list(parameters.values()), has_aux=True)
    (_, answer), found = gradient(*inputs)
    near(answer, golden[f"{name} trained"], 1e-4, "intensities")
    of_inputs, of_parameters = found if places else ((), found)
    of_inputs = of_inputs if isinstance(of_inputs, tuple) else (of_inputs,)
    if places:
        near(np.concatenate([digest(f"input {i}", g.asnumpy()) for i, g in zip(places, of_inputs)]),
             golden[f"{name} input_gradients"], 1e-3, "inputs")
    theirs = golden[f"{name} gradients"]
    largest, start = np.abs(theirs).max(), 0
    for parameter, g in zip(parameters, of_parameters):
        ours = digest(parameter, g.asnumpy())
        expected = theirs[start:start + ours.size]
        start += ours.size
        # A bias before a softmax or batch normalisation has a true gradient of zero: judged against all gradients.
        assert np.abs(ours - expected).max() <= 1e-3 * max(np.abs(expected).max(), 1e-2 * largest), parameter
    assert start == theirs.size
    moved = [digest(n, p.asnumpy()) for n, p in sorted(network.parameters_and_names()) if "moving" in n]
    near(np.concatenate(moved or [np.empty(0)]), golden[f"{name} moved"], 1e-4, "statistics")
