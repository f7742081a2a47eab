# SPDX-License-Identifier: Apache-2.0
"""How each parameter starts, and the constants of each layer that a network is made of."""

import math
import re

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, TINY
from mindspore import nn

from mindface_eri.models import (
    RegressionHead,
    ResNetStem,
    SelfAttention,
    SpatialEncoder,
    TemporalConvNet,
    TransformerEncoder,
    create_model,
)
from mindface_eri.models.layers import Linear, batch_norm, convolution
from mindface_eri.models.resnet import BasicBlock
from mindface_eri.models.transformer import EncoderBlock

LARGE = {**TINY, "stem_width": 16, "width": 48, "mfcc_features": 64, "tcn_dilations": (1, 2),
         "emotions": tuple(f"e{i}" for i in range(40)), "features": ("fau",), "feature_widths": (30,)}


def uniform(bound):
    return "uniform", bound


# What ends a parameter's name -> its distribution, from its shape: PyTorch's and torchvision's defaults.
RULES = {
    r"position": lambda shape, _: ("normal", 0.02),
    r"stem\..*(conv\d|downsample\.0)\.weight": lambda shape, _: ("normal", math.sqrt(2 / (shape[0] * shape[2] ** 2))),
    r"(gamma|moving_variance|_std)": lambda shape, _: ("constant", 1),
    r"(beta|moving_mean|_mean)": lambda shape, _: ("constant", 0),
    r"qkv\.weight": lambda shape, _: uniform(math.sqrt(6 / (shape[0] + shape[1]))),
    r"attention\.(qkv|out)\.bias": lambda shape, _: ("constant", 0),
    r"convolutions\.\d\.product\.weight": lambda shape, _: uniform(1 / math.sqrt(3 * shape[1])),
    r"convolutions\.\d\.bias": lambda _, shapes: uniform(1 / math.sqrt(3 * shapes["product.weight"][1])),
    r"(out|linear\d|score|regression|project)\.weight": lambda shape, _: uniform(1 / math.sqrt(shape[1])),
    r"(linear\d|score|regression|project)\.bias": lambda _, shapes: uniform(1 / math.sqrt(shapes["weight"][1])),
}


# Of the module of the paper's reference 3, as its code leaves them: Xavier uniform for what has two or more dimensions.
TEMMA_RULES = {
    r"(gamma|_std)": lambda shape, _: ("constant", 1),
    r"(beta|_mean)": lambda shape, _: ("constant", 0),
    r"qkv\.weight": lambda shape, _: uniform(math.sqrt(6 / (2 * shape[1]))),  # three matrices, each (d, d)
    r"attention\.(qkv|out)\.bias": lambda shape, _: uniform(1 / math.sqrt(48)),
    r"conv\d\.product\.weight": lambda shape, _: uniform(math.sqrt(6 / (3 * shape[1] + shape[0]))),
    r"conv\d\.magnitude": lambda shape, _: uniform(math.sqrt(6 / (1 + shape[0]))),
    r"conv\d\.bias": lambda _, shapes: uniform(1 / math.sqrt(3 * shapes["product.weight"][1])),
    r"(out|linear\d|shortcut)\.weight": lambda shape, _: uniform(math.sqrt(6 / sum(shape))),
    r"(linear\d|shortcut)\.bias": lambda _, shapes: uniform(1 / math.sqrt(shapes["weight"][1])),
    r"head\.(pooling\.score|regression)\.weight": lambda shape, _: uniform(1 / math.sqrt(shape[1])),
    r"head\.(pooling\.score|regression)\.bias": lambda _, shapes: uniform(1 / math.sqrt(shapes["weight"][1])),
}


@pytest.mark.parametrize("model, rules", [
    (("eri_multi_branch", LARGE), RULES),
    (("eri_acoustic", {**LARGE, "temporal": "temma", "features": (), "feature_widths": ()}), TEMMA_RULES)],
    ids=["as PyTorch", "as reference 3"])
def test_each_parameter_starts_as_in_pytorch(model, rules):
    """Bounds and moments within six standard errors, so that neither distribution passes for the other."""
    ms.set_seed(5)
    network = create_model(model[0], **model[1])
    parameters, table = {name: p.asnumpy() for name, p in network.parameters_and_names()}, rules
    for name, values in parameters.items():
        rules = [rule for ending, rule in table.items() if re.search(rf"(^|[._]){ending}$|{ending}$", name)]
        assert len(rules) == 1, (name, len(rules))
        beside = {key: parameters.get(f"{name.rpartition('.')[0]}.{key}", np.empty((0, 0))).shape
                  for key in ("weight", "product.weight")}
        kind, size = rules[0](values.shape, beside)
        if kind == "constant":
            assert (values == size).all(), name
            continue
        deviation = size / math.sqrt(3) if kind == "uniform" else size
        error = 6 * deviation / math.sqrt(values.size)
        assert abs(values.mean()) <= error and np.abs(values).min() > 0, name
        assert abs(math.sqrt((values ** 2).mean()) - deviation) <= error, name
        if kind == "uniform":
            assert (1 - 14 / values.size) * size <= np.abs(values).max() <= size * (1 + 1e-6), name
        elif values.size > 2000:
            assert np.abs(values).max() > 2.5 * size, name


@pytest.mark.parametrize("name", GOLDEN_CONFIGS)
def test_constants_of_every_layer(name, golden_network):
    """PyTorch's epsilon and momentum, and the configured dropout, wherever a network has such a layer.

    MindSpore's batch normalisation keeps the share of the new batch, one minus the momentum it was given.
    """
    config = GOLDEN_CONFIGS[name]
    cells = [cell for place, cell in golden_network(config).cells_and_names() if "modality_dropout" not in place]
    norms = [cell for cell in cells if isinstance(cell, nn.LayerNorm)]
    batches = [cell for cell in cells if isinstance(cell, nn.BatchNorm2d)]
    assert {cell.epsilon for cell in norms} == {1e-5}
    assert {(cell.eps, round(cell.momentum, 9), cell.use_batch_statistics) for cell in batches} <= {(1e-5, 0.1, None)}
    assert {cell.p for cell in cells if isinstance(cell, nn.Dropout)} == {0.25}
    visual, joined = "frames" in config.inputs, "present" in config.inputs
    temporal = len(config.modalities) if joined else 1
    last = config.temporal == "temma"  # of what its blocks sum up
    assert len(norms) == 2 * config.spatial_depth * visual + (2 * config.temporal_depth + last) * temporal + joined
    assert len(batches) == 15 * visual


def test_defaults():
    """Those of the paper and of PyTorch, for a Cell that is used alone."""
    encoder = TransformerEncoder(8, 3, 2)
    assert len(encoder.blocks) == 3 and encoder.blocks[2].linear1.weight.shape == (32, 8)
    spatial, tcn, stem = SpatialEncoder(8, 5, 1, 2), TemporalConvNet(3, 8, 3, (1, 2)), ResNetStem()
    assert spatial.encoder.blocks[0].linear2.weight.shape == (8, 32) and spatial.position.shape == (1, 5, 8)
    alone = (encoder, spatial, tcn, SelfAttention(8, 2), EncoderBlock(8, 2, 9))
    drops = {cell.p for whole in alone for _, cell in whole.cells_and_names() if isinstance(cell, nn.Dropout)}
    assert drops == {0.0}
    assert stem.out_channels == 256 and all(p.requires_grad for p in stem.get_parameters() if "moving" not in p.name)
    assert {layer.use_batch_statistics for layer in (stem.bn1, BasicBlock(4, 4, 1).bn2, batch_norm(3))} == {None}
    assert BasicBlock(4, 4, 1).downsample is None and BasicBlock(4, 4, 2).downsample is not None
    assert convolution(3, 4, 3).stride == (1, 1) and Linear(3, 2).bias.shape == (2,)
    assert RegressionHead(8, 5).regression.weight.shape == (5, 8)


@pytest.mark.parametrize("width, ratio, expected", [(6, 0.3, 2), (2, 0.1, 1), (8, 1.5, 12)])
def test_width_of_the_feed_forward_layers_is_rounded_and_at_least_one(width, ratio, expected):
    assert TransformerEncoder(width, 1, 1, ffn_ratio=ratio).blocks[0].linear1.weight.shape == (expected, width)


@pytest.mark.parametrize("name, parameters", [
    ("eri_visual", (7_061_961, 7_048_393)), ("eri_acoustic", (1_500_552, 1_388_680))])
def test_number_of_parameters_of_the_papers_networks(name, parameters):
    assert tuple(sum(p.size for p in create_model(name, temporal=temporal).trainable_params())
                 for temporal in ("temma", "plain")) == parameters
