# SPDX-License-Identifier: Apache-2.0
"""Properties of the networks that hold without a reference: what depends on what, and what is refused."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.config import ModelConfig
from mindface_eri.errors import CheckpointError, ConfigError
from mindface_eri.models import (
    FeatureExtractor,
    ModalityDropout,
    ResidualConvNet,
    ResNetStem,
    TemporalConvNet,
    build_network,
    create_model,
    list_models,
)

TINY = {"frames": 6, "crop_size": 32, "mfcc_features": 24, "stem_width": 8, "spatial_depth": 1, "spatial_heads": 2,
        "width": 16, "temporal": "plain", "tcn_dilations": (1, 2), "temporal_depth": 1, "temporal_heads": 2}
PRESENT = np.array([[1, 1], [1, 0], [0, 1]], np.float32)


def random_inputs(clips=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (clips, 6, 32, 32, 3), dtype=np.uint8),
            rng.normal(size=(clips, 6, 24)).astype(np.float32))


@pytest.fixture(scope="module")
def dual():
    """The dual network, compiled once in graph mode for a batch of three; a callable on NumPy arrays."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model("eri_dual_branch", **TINY).set_train(False)
    return network, lambda *arrays: network(*map(Tensor, arrays)).asnumpy()


def test_stem_of_the_paper():
    stem = create_model("eri_visual").stem
    assert sum(parameter.size for parameter in stem.trainable_params()) == 2_782_784
    assert stem.set_train(False)(Tensor(np.zeros((1, 3, 112, 112), np.float32))).shape == (1, 256, 7, 7)


@pytest.mark.parametrize("side", [32, 33, 47, 48, 49])
def test_grid_size_is_the_stems(side):
    from mindface_eri.models.resnet import grid_size

    ms.set_context(mode=ms.PYNATIVE_MODE)
    shape = ResNetStem(4).set_train(False)(Tensor(np.zeros((1, 3, side, side), np.float32))).shape
    ms.set_context(mode=ms.GRAPH_MODE)
    assert shape == (1, 16, grid_size(side), grid_size(side))


def test_absent_modality_equals_zeros(dual):
    frames, mfcc = random_inputs()
    _, run = dual
    zeroed_frames, zeroed_mfcc = frames.copy(), mfcc.copy()
    zeroed_mfcc[1], zeroed_frames[2] = 0, 0
    answer = run(frames, mfcc, PRESENT)
    np.testing.assert_array_equal(answer, run(zeroed_frames, zeroed_mfcc, PRESENT))
    assert np.abs(answer - run(frames, mfcc, np.ones((3, 2), np.float32)))[1:].min() > 0  # they do matter if present
    assert ((answer > 0) & (answer < 1)).all()


def test_answer_for_a_clip_is_independent_of_its_batch(dual):
    frames, mfcc = random_inputs()
    other_frames, other_mfcc = random_inputs(seed=1)
    _, run = dual
    mixed = run(np.concatenate([frames[:1], other_frames[1:]]), np.concatenate([mfcc[:1], other_mfcc[1:]]), PRESENT)
    answer = run(frames, mfcc, PRESENT)
    np.testing.assert_allclose(mixed[0], answer[0], rtol=0, atol=1e-6)
    assert np.abs(mixed[1] - answer[1]).max() > 1e-6


def test_attention_weights(dual):
    network, run = dual
    frames, mfcc = random_inputs()
    seen = network.attention(Tensor(frames), Tensor(mfcc), Tensor(PRESENT))
    np.testing.assert_allclose(seen.intensities.asnumpy(), run(frames, mfcc, PRESENT), atol=1e-6)
    assert seen.spatial.shape == (3, 6, 2, 2) and seen.temporal.shape == (3, 6)
    np.testing.assert_allclose(seen.spatial.asnumpy().sum((2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(seen.temporal.asnumpy().sum(1), 1, atol=1e-5)


def test_branch_weights_load_by_prefix(dual):
    network, _ = dual
    single = create_model("eri_acoustic", **TINY).set_train(False)
    network.load_branch("acoustic", dict(single.parameters_and_names()))
    _, mfcc = random_inputs()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ours = FeatureExtractor(network.acoustic)(Tensor(mfcc)).asnumpy()
    np.testing.assert_array_equal(ours, FeatureExtractor(single)(Tensor(mfcc)).asnumpy())
    ms.set_context(mode=ms.GRAPH_MODE)
    with pytest.raises(CheckpointError, match="visual branch.*is missing"):
        network.load_branch("visual", {})


def test_future_does_not_leak_and_receptive_field():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = TemporalConvNet(3, 4, 3, (1, 2, 4)).set_train(False)
    assert network.receptive_field == 1 + 2 * (1 + 2 + 4)
    for layer in network.convolutions:  # positive weights on positive input: no ReLU hides a dependence
        layer.product.weight.set_data(Tensor(np.abs(layer.product.weight.asnumpy()) + 0.1))
        layer.bias.set_data(Tensor(np.abs(layer.bias.asnumpy())))
    x = np.abs(np.random.default_rng(0).normal(size=(1, 40, 3))).astype(np.float32)
    changed = x.copy()
    changed[0, 12] += 1
    differs = (network(Tensor(x)).asnumpy() != network(Tensor(changed)).asnumpy()).any(axis=(0, 2))
    ms.set_context(mode=ms.GRAPH_MODE)
    assert np.flatnonzero(differs).tolist() == list(range(12, 12 + network.receptive_field))


def test_default_receptive_field_covers_the_clip():
    config = ModelConfig()
    sizes = (1, 4, config.tcn_kernel, config.tcn_dilations)
    assert TemporalConvNet(*sizes).receptive_field == 63 >= config.frames
    assert ResidualConvNet(*sizes).receptive_field == 125


@pytest.mark.parametrize("p_both, p_visual", [(0.9, 0.5), (0.6, 0.2), (1.0, 0.5), (0.0, 1.0)])
def test_modality_dropout_frequencies(p_both, p_visual):
    """Three frequencies over 100,000 draws in graph mode, within five standard errors; never both dropped."""
    draws = 100_000
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    dropout = ModalityDropout(p_both, (p_visual, 1 - p_visual)).set_train()
    kept = dropout(Tensor(np.ones((draws, 2), np.float32))).asnumpy()
    assert kept.max(axis=1).min() == 1
    counted = ((kept.sum(1) == 2).mean(), (kept[:, 0] > kept[:, 1]).mean(), (kept[:, 1] > kept[:, 0]).mean())
    for share, expected in zip(counted, (p_both, (1 - p_both) * p_visual, (1 - p_both) * (1 - p_visual))):
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws)


def test_modality_dropout_spares_incomplete_clips_and_inference():
    present = np.repeat(np.array([[1, 0], [0, 1], [0, 0]], np.float32), 500, axis=0)
    dropout = ModalityDropout(0.0, (0.5, 0.5))
    np.testing.assert_array_equal(dropout.set_train()(Tensor(present)).asnumpy(), present)
    both = np.ones((500, 2), np.float32)
    np.testing.assert_array_equal(dropout.set_train(False)(Tensor(both)).asnumpy(), both)


@pytest.mark.parametrize("p_all, p_alone", [(0.6, (0.5, 0.25, 0.25)), (0.0, (0.2, 0.0, 0.8)), (1.0, (1.0, 0.0, 0.0))])
def test_modality_dropout_of_three(p_all, p_alone):
    """All, or exactly one, at the given frequencies: 100,000 draws in graph mode, within five standard errors."""
    draws = 100_000
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(2)
    kept = ModalityDropout(p_all, p_alone).set_train()(Tensor(np.ones((draws, 3), np.float32))).asnumpy()
    assert set(kept.sum(axis=1)) <= {1, 3}
    for place, share in enumerate(p_alone):
        expected = (1 - p_all) * share
        counted = ((kept.sum(axis=1) == 1) & (kept[:, place] == 1)).mean()
        assert abs(counted - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws)


def test_modality_dropout_never_takes_the_last_of_three():
    rows = [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    present = np.repeat(np.array(rows, np.float32), 500, axis=0)
    kept = ModalityDropout(0.0, (0.5, 0.25, 0.25)).set_train()(Tensor(present)).asnumpy()
    assert (kept <= present).all() and ((kept.sum(axis=1) > 0) == (present.sum(axis=1) > 0)).all()
    lacking = kept[present.tolist().index([0, 1, 1]):][:500]  # no video: when that is drawn, the others stay
    assert {tuple(row) for row in lacking} == {(0, 1, 0), (0, 0, 1), (0, 1, 1)}


FEATURES = {"features": ("fau", "egemaps"), "feature_widths": (5, 3)}


@pytest.fixture(scope="module")
def four():
    """A network of four branches, compiled for a batch of four; a callable on NumPy arrays, and its inputs."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model("eri_multi_branch", **FEATURES, **TINY).set_train(False)
    rng = np.random.default_rng(4)
    inputs = [*random_inputs(clips=4), rng.normal(size=(4, 6, 5)).astype(np.float32),
              rng.normal(size=(4, 6, 3)).astype(np.float32), np.eye(4, dtype=np.float32)]
    return network, inputs, lambda arrays: network(*map(Tensor, arrays)).asnumpy()


def test_absent_modalities_of_many_equal_zeros(four):
    _, inputs, run = four
    zeroed = [array * (np.arange(4) == place).astype(array.dtype).reshape(-1, *[1] * (array.ndim - 1))
              for place, array in enumerate(inputs[:-1])]  # of each clip, what it has is left
    answer = run(inputs)
    np.testing.assert_array_equal(answer, run([*zeroed, inputs[-1]]))
    whole = run([*inputs[:-1], np.ones((4, 4), np.float32)])
    assert np.abs(answer - whole).min() > 0  # they do matter if present


def test_many_branches_answer_clip_by_clip(four):
    network, inputs, run = four
    mixed = [np.concatenate([array[:1], array[:0:-1]]) for array in inputs]
    np.testing.assert_allclose(run(mixed)[0], run(inputs)[0], rtol=0, atol=1e-6)
    seen = network.attention(*map(Tensor, inputs))
    np.testing.assert_allclose(seen.intensities.asnumpy(), run(inputs), atol=1e-6)
    assert seen.spatial.shape == (4, 6, 2, 2) and seen.temporal.shape == (4, 6)


def test_two_branches_are_the_papers_network():
    """`eri_dual_branch` keeps the names it had, and its weights fit the general network of two branches."""
    names = {p.name for p in create_model("eri_dual_branch", **TINY).get_parameters()}
    assert {name.split(".")[0] for name in names} == {"visual", "acoustic", "fusion"}
    assert {"acoustic.mfcc_mean", "fusion.norm.gamma", "fusion.project.weight"} <= names


def test_network_of_features_alone():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model("eri_features", features=("fau",), feature_widths=(5,), **TINY).set_train(False)
    features = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    plain = network(Tensor(features)).asnumpy()
    network.set_feature_statistics(np.full(5, 5.0), np.full(5, 3.0))
    shifted = network(Tensor(features * 3 + 5)).asnumpy()
    assert plain.shape == (3, 7) and ((plain > 0) & (plain < 1)).all()
    np.testing.assert_allclose(shifted, plain, atol=1e-6)
    np.testing.assert_allclose(network(Tensor(features[:2] * 3 + 5)).asnumpy(), plain[:2], atol=1e-6)  # any batch


def test_frozen_stem_takes_no_gradient_and_keeps_its_statistics():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = create_model("eri_visual", freeze_stem=True, **TINY).set_train()
    assert not network.stem.trainable_params() and network.spatial.trainable_params()
    before = network.stem.bn1.moving_mean.asnumpy().copy()
    network(Tensor(random_inputs()[0]))
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_array_equal(network.stem.bn1.moving_mean.asnumpy(), before)


def test_mfcc_statistics_are_applied_and_checked():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = create_model("eri_acoustic", **TINY).set_train(False)
    _, mfcc = random_inputs()
    plain = network(Tensor(mfcc)).asnumpy()
    std = np.full(24, 3.0)
    std[0] = 0  # a feature that never changes
    network.set_mfcc_statistics(np.full(24, 5.0), std)
    shifted = mfcc * np.where(std == 0, 1, 3) + 5
    np.testing.assert_allclose(network(Tensor(shifted.astype(np.float32))).asnumpy(), plain, atol=1e-6)
    ms.set_context(mode=ms.GRAPH_MODE)
    assert not network.mfcc_mean.requires_grad
    with pytest.raises(ConfigError, match=r"shape \(3,\), need \(24,\)"):
        network.set_mfcc_statistics(np.zeros(3), np.ones(24))
    with pytest.raises(ConfigError, match="not finite"):
        network.set_mfcc_statistics(np.full(24, np.nan), np.ones(24))


def test_recomputed_stem_gives_the_same_gradients():
    frames = Tensor(random_inputs()[0])
    gradients = []
    for recompute in (False, True):
        ms.set_seed(0)
        network = build_network(dataclasses.replace(
            ModelConfig(**TINY), name="eri_visual", dropout=0.0, recompute_stem=recompute)).set_train(False)
        stem = network.stem.trainable_params()
        for parameter in network.get_parameters():
            values = np.random.default_rng(parameter.size).uniform(0.01, 0.1, parameter.shape)
            parameter.set_data(Tensor(values.astype(np.float32)))
        gradients.append(ms.grad(network, None, stem)(frames))
    for plain, recomputed in zip(*gradients):
        np.testing.assert_allclose(recomputed.asnumpy(), plain.asnumpy(), rtol=1e-4, atol=1e-7)


def test_names():
    assert list_models() == ["eri_acoustic", "eri_dual_branch", "eri_features", "eri_multi_branch", "eri_statistics",
                             "eri_visual"]


@pytest.mark.parametrize("fields, message", [
    ({"name": "eri_visal"}, "did you mean 'eri_visual'"),
    ({"name": "eri_visual", "wdth": 8}, "did you mean 'model.width'|did you mean 'width'"),
    ({"name": "eri_visual", "spatial_heads": 3}, "256 channels cannot be shared evenly by 3 heads"),
    ({"name": "eri_acoustic", "temporal_heads": 5}, "128 channels cannot be shared evenly by 5 heads"),
    ({"name": "eri_acoustic", "freeze_stem": True}, "no visual stem"),
    ({"name": "eri_acoustic", "tcn_dilations": (1, 0)}, "is below 1"),
    ({"name": "eri_visual", "emotions": ("Fear", "Fear")}, "names one twice"),
    ({"name": "eri_features"}, "eri_features takes exactly one"),
    ({"name": "eri_features", "features": ("a", "b")}, "eri_features takes exactly one"),
    ({"name": "eri_features", "features": ("a",)}, r"feature_widths is \[\], need one width"),
    ({"name": "eri_multi_branch"}, "takes at least one"),
    ({"name": "eri_dual_branch", "features": ("a",)}, "eri_dual_branch takes none"),
    ({"name": "eri_multi_branch", "features": ("a", "visual")}, "differ from visual"),
    ({"name": "eri_multi_branch", "features": ("a",), "p_alone": (0.5, 0.5)}, "chance for each of visual, acoustic, a"),
    ({"name": "eri_multi_branch", "features": ("a",), "p_alone": (0.5, 0.5, 0.5)}, "a sum of 1"),
])
def test_refusals(fields, message):
    with pytest.raises(ConfigError, match=message):
        create_model(**fields)


def test_stem_checkpoint_that_is_none(tmp_path):
    path = tmp_path / "stem.ckpt"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="convert-weights"):
        create_model("eri_visual", stem_checkpoint=str(path), **TINY)
