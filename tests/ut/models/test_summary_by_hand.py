# SPDX-License-Identifier: Apache-2.0
"""Costs of a tiny network, each part counted layer by layer: parameters, multiply-adds and kept values."""

import pytest

from mindface_eri.config import ModelConfig
from mindface_eri.models.summary import part_costs, summarize

# Sizes whose roles cannot be mistaken for each other's: 5 frames of 41 pixels, stem width 4, tokens of 16 channels,
# 12 channels over time, MFCC stacks of 10, 3 emotions.
SIZES = {"frames": 5, "crop_size": 41, "mfcc_features": 10, "stem_width": 4, "spatial_depth": 2, "spatial_heads": 2,
         "width": 12, "temporal": "plain", "tcn_kernel": 2, "tcn_dilations": (1, 2, 4), "temporal_depth": 3,
         "temporal_heads": 4, "ffn_ratio": 1.5, "emotions": ("Joy", "Awe", "Fear")}

# One frame. Sides, each rounded up: 41 -> 21 (conv1) -> 11 (pooling, layer1) -> 6 (layer2) -> 3 (layer3).
STEM = (21 * 21 * 4 * 3 * 49
        + 4 * (11 * 11 * 4 * 4 * 9)
        + 6 * 6 * 8 * (4 * 9 + 3 * 8 * 9 + 4)  # the last 4: the projected shortcut
        + 3 * 3 * 16 * (8 * 9 + 3 * 16 * 9 + 8))
# Each convolution keeps its own output, its normalisation's and its activation's; pooling keeps its own.
STEM_KEPT = 3 * (21 * 21 * 4 + 4 * 11 * 11 * 4 + 5 * 6 * 6 * 8 + 5 * 3 * 3 * 16) + 11 * 11 * 4


def encoder(tokens, width, heads, hidden):
    """One block: queries, keys and values; scores; weighted sum; out; two layers; and what it keeps."""
    products = 3 * tokens * width ** 2 + 2 * tokens ** 2 * width + tokens * width ** 2 + 2 * tokens * width * hidden
    kept = (3 * tokens * width + 2 * heads * tokens ** 2 + 2 * tokens * width  # scores twice: before and after softmax
            + 2 * tokens * hidden + tokens * width + 4 * tokens * width)
    return products, kept


def spatial():
    """One frame: 9 tokens with their positions, two blocks, scores and the weighted sum."""
    products, kept = encoder(9, 16, 2, 24)
    return 2 * products + 9 * 16 + 9 * 16, 9 * 16 + 2 * kept + 9 + 16


def temporal(inputs):
    """Three convolutions, each with its activation, positions, three blocks."""
    products, kept = encoder(5, 12, 4, 18)
    return 5 * 2 * 12 * (inputs + 12 + 12) + 3 * products, 5 * 12 + 3 * 2 * 5 * 12 + 3 * kept


def residual(inputs):
    """Three levels of two convolutions, the first with a way around it of its own; positions, blocks, the last norm.

    A convolution keeps its output and its activation; a level its sum and that one's activation.
    """
    products, kept = encoder(5, 12, 4, 24)
    return (5 * 12 * (2 * (inputs + 5 * 12) + inputs) + 3 * products,
            5 * 12 * (1 + 3 * (2 * 2 + 2) + 1 + 1) + 3 * kept)


HEAD = (5 * 12 + 5 * 12 + 12 * 3, 5 + 12 + 3)  # scores, weighted sum, regression
VISUAL = {"stem": (5 * STEM, 5 * STEM_KEPT), "spatial": tuple(5 * value for value in spatial()),
          "temporal": temporal(16)}


def fusion(branches):
    """The branches side by side, normalised, projected; then the head."""
    joined = 5 * branches * 12
    return joined * 12 + HEAD[0], 2 * joined + 5 * 12 + HEAD[1]


@pytest.mark.parametrize("name, more, wanted", [
    ("eri_visual", {}, {**VISUAL, "head": HEAD}), ("eri_acoustic", {}, {"temporal": temporal(10), "head": HEAD}),
    ("eri_acoustic", {"temporal": "temma"}, {"temporal": residual(10), "head": HEAD}),
    ("eri_features", {"features": ("fau",), "feature_widths": (7,)}, {"temporal": temporal(7), "head": HEAD}),
    ("eri_dual_branch", {}, {**{f"visual.{part}": cost for part, cost in VISUAL.items()},
                             "acoustic.temporal": temporal(10), "fusion": fusion(2)}),
    ("eri_multi_branch", {"features": ("fau", "gaze"), "feature_widths": (7, 2)}, {
        **{f"visual.{part}": cost for part, cost in VISUAL.items()}, "acoustic.temporal": temporal(10),
        "feature_branches.0.temporal": temporal(7), "feature_branches.1.temporal": temporal(2), "fusion": fusion(4)}),
    ("eri_multi_branch", {"takes": ("mfcc", "landmarks")}, {
        "acoustic.temporal": temporal(10), "landmarks.temporal": temporal(136), "fusion": fusion(2)}),
    # Squares of ten frames of 5 coefficients, 5 instants of 136 coordinates and of 7 features; the face laid on the
    # mean, gaps filled from 5 instants. Six statistics of 148 features, the hidden layer, its activation, 3 emotions.
    ("eri_statistics", {"mfcc_stack": 2, "features": ("fau",), "feature_widths": (7,)}, {
        "streams": (2 * (10 * 5 + 5 * 136 + 5 * 7) + 5 * 136 * (5 + 5), 0),
        "head": (6 * 148 * 12 + 12 * 3, 6 * 148 + 12 + 2 * 12 + 3)})])
def test_costs_by_hand(name, more, wanted):
    config = ModelConfig(name, **{**SIZES, **more})
    found = part_costs(config)
    assert list(found) == list(wanted) and {part: tuple(cost) for part, cost in found.items()} == wanted


def block(width, hidden):
    """Parameters of an encoder's block."""
    return 4 * (width ** 2 + width) + width * hidden + hidden + hidden * width + width + 4 * width


def test_the_table():
    headers, rows = summarize(ModelConfig("eri_multi_branch", features=("fau",), feature_widths=(7,), **SIZES), (3, 8))
    assert headers == ["part", "parameters", "M mult-adds a clip", "MiB at batch 3", "MiB at batch 8"]
    over_time = 5 * 12 + 3 * block(12, 18)
    wanted = {"visual.stem": 3 * 4 * 49 + 4 * 16 * 9 + 8 * 9 * (4 + 3 * 8) + 8 * 4 + 16 * 9 * (8 + 3 * 16) + 16 * 8
                             + 2 * (4 + 4 * 4 + 5 * 8 + 5 * 16),  # scale and shift of each convolution's channels
              "visual.spatial": 9 * 16 + 2 * block(16, 24) + 17,
              "visual.temporal": over_time + 12 * (2 * (16 + 12 + 12) + 3),
              "acoustic.temporal": over_time + 12 * (2 * (10 + 12 + 12) + 3),
              "feature_branches.0.temporal": over_time + 12 * (2 * (7 + 12 + 12) + 3),
              "fusion": 2 * 36 + 36 * 12 + 12 + 13 + 12 * 3 + 3}
    assert {row[0]: row[1] for row in rows} == {**wanted, "total": sum(wanted.values())}
    products, kept = fusion(3)
    assert rows[-2][2:] == pytest.approx([products / 1e6, 3 * 4 * kept / 1048576, 8 * 4 * kept / 1048576])
    assert rows[-1][0] == "total"
    assert rows[-1][2:] == pytest.approx([sum(row[i] for row in rows[:-1]) for i in (2, 3, 4)])
    visual = summarize(ModelConfig("eri_visual", stem_checkpoint="gone.ckpt", **SIZES))[1]  # sizes need no weights
    assert [row[1] for row in visual[:2]] == [row[1] for row in rows[:2]]
    assert summarize(ModelConfig("eri_acoustic", **SIZES))[0][3:] == ["MiB at batch 1", "MiB at batch 64"]


def test_hidden_channels_are_rounded_as_in_the_network():
    for ratio in (0.25, 0.35, 0.4):  # of 4 channels: 1, 1.4 and 1.6
        config = ModelConfig("eri_acoustic", **{**SIZES, "width": 4, "ffn_ratio": ratio})
        products, kept = encoder(5, 4, 4, 2 if ratio == 0.4 else 1)
        assert part_costs(config)["temporal"] == (5 * 2 * 4 * 18 + 3 * products, 5 * 4 + 3 * 2 * 5 * 4 + 3 * kept)
