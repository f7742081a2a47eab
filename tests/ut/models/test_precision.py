# SPDX-License-Identifier: Apache-2.0
"""Which precision each part of a network computes in."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, golden_inputs, golden_weight, numbers
from mindspore import Tensor, nn

from mindface_eri.errors import ConfigError
from mindface_eri.models import (
    AttentionPooling,
    FusionHead,
    RegressionHead,
    ResidualConvNet,
    ResNetStem,
    TemporalConvNet,
    TransformerEncoder,
    set_precision,
)
from mindface_eri.models.resnet import BasicBlock
from mindface_eri.models.temma import InverseNorms

DUAL = GOLDEN_CONFIGS["eri_dual_branch"]


def flags(network):
    """Each cell's place and kind, and the precision it was given."""
    return {place: (cell, tuple(kind for kind in ("fp16", "fp32", "bf16") if cell.get_flags().get(kind)))
            for place, cell in network.cells_and_names()}


@pytest.mark.parametrize("temporal", ["plain", "temma"])
@pytest.mark.parametrize("level", ["O0", "O2", "O3"])
def test_precision_of_every_cell(level, temporal, golden_network):
    """Products are half, normalisation and sigmoid never; the rest only at O3 inside the three bodies."""
    network = golden_network(dataclasses.replace(DUAL, temporal=temporal))
    assert set_precision(network, level) is network
    found = flags(network)
    bodies = [place for place, (cell, _) in found.items()
              if isinstance(cell, (ResNetStem, TransformerEncoder, TemporalConvNet, ResidualConvNet))]
    assert len(bodies) == 6
    for place, (cell, given) in found.items():
        inside = any(place == body or place.startswith(f"{body}.") for body in bodies)
        if level == "O0":
            expected = ()
        elif isinstance(cell, (nn.BatchNorm2d, nn.LayerNorm, nn.Sigmoid, InverseNorms)):
            expected = ("fp32",)
        elif isinstance(cell, (nn.Dense, nn.Conv2d)) or (inside and level == "O3"):
            expected = ("fp16",)
        else:
            expected = ()
        assert given == expected, (place, type(cell).__name__)


def seen_types(network, inputs):
    """What kinds of Cell were given and gave: (kind, types of its inputs and outputs)."""
    found, hooks = set(), []

    def record(cell, given, made):
        made = made if isinstance(made, tuple) else (made,)
        found.add((type(cell).__name__, *(str(x.dtype).replace("Float", "") for x in (*given, *made))))
    for _, cell in network.cells_and_names():
        hooks.append(cell.register_forward_hook(record))
    answer = network(*inputs)
    for hook in hooks:
        hook.remove()
    return answer, found


@pytest.mark.parametrize("level, expected", [
    ("O2", {("BasicBlock", "32", "32"), ("StemPooling", "32", "32"), ("EncoderBlock", "32", "32"),
            ("TemporalConvNet", "32", "32"), ("ResNetStem", "32", "32")}),
    ("O3", {("BasicBlock", "16", "16"), ("StemPooling", "16", "16"), ("TemporalConvNet", "32", "16"),
            ("ResNetStem", "32", "16")}),
])
def test_types_on_the_way_and_the_answer(level, expected, golden, golden_network, pynative):
    network = golden_network(DUAL).set_train(False)
    inputs = [Tensor(array) for array in golden_inputs(DUAL, clips=1)]
    answer, found = seen_types(set_precision(network, level), inputs)
    kinds = {kind for kind, *_ in expected}
    assert {row for row in found if row[0] in kinds} == expected
    assert {row for row in found if row[0] in ("Sigmoid", "BatchNorm2d")} == {
        ("Sigmoid", "32", "32"), ("BatchNorm2d", "16", "32")}
    assert {row[-1] for row in found if row[0] in ("Linear", "Conv2d")} == {"16"}
    assert {row[-1] for row in found if row[0] == "LayerNorm"} == {"32"}
    assert answer.dtype == ms.float32 and all(p.dtype == ms.float32 for p in network.get_parameters())
    assert 0 < np.abs(answer.asnumpy() - golden["eri_dual_branch intensities"][:1]).max() < 2e-3


def test_half_precision_inside_the_bodies(pynative):
    """Given half precision, a block hands half precision on, within and behind it, though it normalises in float32."""
    encoder = set_precision(TransformerEncoder(8, 2, 2), "O3").set_train(False)
    answer, found = seen_types(encoder, [Tensor(numbers("tokens", (2, 5, 8)).astype(np.float16))])
    assert answer.dtype == ms.float16
    assert found == {(kind, "16", "16") for kind in ("Linear", "ReLU", "Dropout", "SelfAttention", "EncoderBlock",
                                                     "SequentialCell", "TransformerEncoder")} | {
        ("LayerNorm", "16", "32")}
    block = set_precision(BasicBlock(3, 3, 1), "O2").set_train(False)
    assert block(Tensor(numbers("maps", (1, 3, 4, 4)).astype(np.float16))).dtype == ms.float16


def test_levels_of_half_precision(pynative):
    """Norms of weights are float32 at each level; sums are half precision at O3 alone."""
    x = numbers("sequence", (2, 5, 3))
    exact = None
    for level, kind in (("O0", ms.float32), ("O2", ms.float32), ("O3", ms.float16)):
        network = set_precision(ResidualConvNet(3, 4, 2, (1, 2)), level).set_train(False)
        for name, parameter in network.parameters_and_names():
            parameter.set_data(Tensor(golden_weight(name, parameter.shape)))
        answer, found = seen_types(network, [Tensor(x)])
        assert answer.dtype == kind and {row for row in found if row[0] == "InverseNorms"} == {
            ("InverseNorms", "32", "32")}
        exact = answer.asnumpy() if exact is None else exact
        np.testing.assert_allclose(answer.asnumpy(), exact, atol=4e-3 * np.abs(exact).max())


def test_softmax_is_float32_and_keeps_the_precision_of_what_it_weighs(pynative):
    pooling = AttentionPooling(6)
    pooling.score.weight.set_data(Tensor(3 * numbers("score", (1, 6))))
    x = numbers("pooled", (3, 40, 6)).astype(np.float16)
    _, weights = set_precision(pooling, "O2")(Tensor(x))
    assert weights.dtype == ms.float16
    scores = pooling.score(Tensor(x)).asnumpy()[..., 0].astype(np.float32)
    exact = np.exp(scores - scores.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(weights.asnumpy(), exact, rtol=2 ** -11 * 1.01, atol=2 ** -24)  # one rounding, no more
    pooled, weights = pooling(Tensor(x.astype(np.float32)))
    assert weights.dtype == pooled.dtype == ms.float32


def test_intensities_near_one_are_told_apart(pynative):
    head = RegressionHead(4, 2)
    head.regression.weight.set_data(Tensor(np.zeros((2, 4), np.float32)))
    head.regression.bias.set_data(Tensor(np.array([9.0, 9.5], np.float32)))
    intensities, _ = set_precision(head, "O3")(Tensor(numbers("head", (1, 3, 4)).astype(np.float16)))
    np.testing.assert_allclose(1 - intensities.asnumpy()[0], 1 / (1 + np.exp([9.0, 9.5])), rtol=1e-3)


def test_features_of_half_precision_are_fused_in_it(pynative):
    """Cached features may be half precision; the mask of what is present must not widen them."""
    head = set_precision(FusionHead(DUAL), "O3").set_train(False)
    features = [Tensor(numbers(name, (2, 6, 12)).astype(np.float16)) for name in ("visual", "acoustic")]
    for kind in (np.float32, np.int32):
        answer, found = seen_types(head, [*features, Tensor(np.array([[1, 1], [0, 1]], kind))])
        assert ("LayerNorm", "16", "32") in found and answer.dtype == ms.float32


def test_unknown_level_is_refused():
    with pytest.raises(ConfigError, match="amp_level 'O1' is not one of O0, O2, O3"):
        set_precision(nn.Dense(2, 2), "O1")
