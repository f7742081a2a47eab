# SPDX-License-Identifier: Apache-2.0
"""Statistics that branches carry, weights that they take from single networks, and views of a network."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, golden_inputs, numbers
from mindspore import Tensor

from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.models import Attention, FeatureExtractor, build_network

MULTI = GOLDEN_CONFIGS["eri_multi_branch"]


@pytest.mark.parametrize("name, what, cure", [
    ("eri_acoustic", "mfcc", "MFCC {0} has shape .*: take the statistics from records made with the same preprocess"),
    ("eri_features", "feature", "feature {0} has shape .*: model.feature_widths and the feature set must agree"),
])
def test_statistics_are_stored_or_refused(name, what, cure):
    network = build_network(GOLDEN_CONFIGS[name])
    width = 11 if name == "eri_acoustic" else 7
    store = getattr(network, f"set_{what}_statistics")
    mean, std = numbers("mean", width).astype(np.float64), 1 + np.abs(numbers("std", width))
    std[:4] = 0, 1e-6, 1.1e-6, 1e-7  # the first, second and fourth are features that never change
    store(mean, std.tolist())
    kept = [dict(network.parameters_and_names())[f"{what}_{kind}"] for kind in ("mean", "std")]
    assert not any(p.requires_grad for p in kept) and all(p.dtype == ms.float32 for p in kept)
    np.testing.assert_array_equal(kept[0].asnumpy(), mean.astype(np.float32))
    np.testing.assert_allclose(kept[1].asnumpy(), [1, 1, 1.1e-6, 1, *std[4:]], rtol=1e-6)
    for at, kind in enumerate(("mean", "std")):
        with pytest.raises(ConfigError, match=cure.format(kind)):
            store(*(np.ones(width + (i == at)) for i in range(2)))
        for bad in (np.nan, np.inf, -np.inf):
            with pytest.raises(ConfigError, match=f"{kind} holds values that are not finite or negative deviations; "
                                                  "compute the statistics again"):
                store(*(np.where((np.arange(width) == 2) & (i == at), bad, 1.0) for i in range(2)))
    with pytest.raises(ConfigError, match="std holds"):
        store(mean, np.where(np.arange(width) == 1, -1e-3, 1.0))
    np.testing.assert_array_equal(kept[0].asnumpy(), mean.astype(np.float32))  # a refusal changes nothing
    store(-mean, np.ones(width))  # a negative mean is no fault


@pytest.mark.parametrize("modality, prefix, single", [
    ("visual", "visual.", dataclasses.replace(MULTI, name="eri_visual", features=(), feature_widths=())),
    ("acoustic", "acoustic.", dataclasses.replace(MULTI, name="eri_acoustic", features=(), feature_widths=())),
    ("egemaps", "feature_branches.1.", dataclasses.replace(MULTI, name="eri_features", features=("egemaps",),
                                                           feature_widths=(4,))),
])
def test_a_branch_takes_the_single_networks_weights(modality, prefix, single, golden_network):
    network, source = build_network(MULTI), golden_network(single)
    weights = dict(source.parameters_and_names())
    before = {name: p.asnumpy().copy() for name, p in network.parameters_and_names()}
    network.load_branch(modality, weights)
    after = {name: p.asnumpy() for name, p in network.parameters_and_names()}
    of_branch = {name for name in after if name.startswith(prefix)}
    assert {f"{prefix}{name}" for name in weights if not name.startswith("head.")} == of_branch
    for name, values in after.items():
        expected = weights[name[len(prefix):]].asnumpy() if name in of_branch else before[name]
        np.testing.assert_array_equal(values, expected, err_msg=name)
    place = "temporal.tcn.convolutions.0.bias"
    short = {**weights, place: Tensor(np.zeros(5, np.float32))}
    with pytest.raises(CheckpointError, match=rf"the {modality} branch's weights: '{place}' has shape \(5,\), need "
                                              rf"\(12,\) for {prefix}{place}; train that branch"):
        network.load_branch(modality, short)
    del short[place]
    with pytest.raises(CheckpointError, match=rf"'{place}' is missing, need \(12,\)"):
        network.load_branch(modality, short)


def test_branches_by_modality():
    network = build_network(MULTI)
    found = [network.branch(modality) for modality in MULTI.modalities]
    assert [id(branch) for branch in found] == [id(branch) for branch in (
        network.visual, network.acoustic, network.feature_branches[0], network.feature_branches[1])]


def test_views_keep_the_networks_names_and_mode(golden_network):
    """Attention follows training and inference as the network stands, and leaves its parameters and cells alone.

    In graph mode, where a view that does not follow would run what was compiled for the other.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    config = dataclasses.replace(GOLDEN_CONFIGS["eri_acoustic"], temporal_depth=1, tcn_dilations=(1,))
    network = golden_network(config).set_train(False)
    names, cells = [p.name for p in network.get_parameters()], [name for name, _ in network.cells_and_names()]
    inputs = [Tensor(array) for array in golden_inputs(config)]
    calm = network.attention(*inputs)
    assert isinstance(calm, Attention) and calm._fields == ("intensities", "temporal", "spatial")
    ms.set_seed(1)
    stirred = network.set_train().attention(*inputs).intensities.asnumpy()
    assert np.abs(stirred - calm.intensities.asnumpy()).max() > 1e-3 and network.training
    again = network.set_train(False).attention(*inputs).intensities.asnumpy()
    np.testing.assert_array_equal(again, calm.intensities.asnumpy())
    assert [p.name for p in network.get_parameters()] == names
    assert [name for name, _ in network.cells_and_names()] == cells
    extractor = FeatureExtractor(network)
    assert [p.name for p in extractor.get_parameters()] == names
    assert {id(p) for p in extractor.get_parameters()} == {id(p) for p in network.get_parameters()}
