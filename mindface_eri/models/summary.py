# SPDX-License-Identifier: Apache-2.0
"""What a network costs, part by part: parameters, multiply-adds and activation memory.

Counted from the sizes in the configuration, one rule a layer; biases, normalisations and activation functions are
left out of the multiply-adds, as is usual. Memory counts the float32 outputs that training keeps for the backward
pass; inference needs a fraction of it.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from mindface_eri.config import ModelConfig
from mindface_eri.errors import ConfigError
from mindface_eri.models.resnet import grid_size

_BYTES = 4  # of a float32
_LANDMARKS = 68 * 2
Cost = Tuple[int, int]  # multiply-adds and kept values, for one clip


def summarize(config: ModelConfig, batch_sizes: Sequence[int] = (1, 64)) -> Tuple[List[str], List[list]]:
    """The table of a network's parts.

    Args:
        batch_sizes: a column of activation memory for each.

    Returns:
        Headers and rows: part, parameters, million multiply-adds a clip, MiB of activations at each batch size. The
        last row is the sum.

    Raises:
        ConfigError: a network that `register_model` added, whose layers nothing here counts.
    """
    from mindface_eri.models.registry import OWN, check

    check(config)
    if config.name not in OWN:
        raise ConfigError(f"model.name is {config.name}: only the layers of {', '.join(OWN)} are counted")
    parameters = count_parameters(config)
    costs = part_costs(config)
    rows = [[part, parameters[part], products / 1e6, *(values * _BYTES * size / 2**20 for size in batch_sizes)]
            for part, (products, values) in costs.items()]
    rows.append(["total", *(sum(row[i] for row in rows) for i in range(1, len(rows[0])))])
    return ["part", "parameters", "M mult-adds a clip", *(f"MiB at batch {size}" for size in batch_sizes)], rows


def count_parameters(config: ModelConfig) -> Dict[str, int]:
    """Trainable parameters of each part, counted on the network itself."""
    from mindface_eri.models.registry import build_network

    network = build_network(config, read_stem=False)
    counted = dict.fromkeys(part_costs(config), 0)
    for name, parameter in network.parameters_and_names():
        if name.endswith(("moving_mean", "moving_variance", "landmark_scale", "_mean", "_std")):
            continue
        part = next(part for part in counted if name.startswith(f"{part}."))
        counted[part] += parameter.size
    return counted


def part_costs(config: ModelConfig) -> Dict[str, Cost]:
    """Multiply-adds and kept values of each part, for one clip, in the order of the data's way."""
    if config.name == "eri_statistics":
        return _statistics(config)
    times, width, emotions = config.frames, config.width, len(config.emotions)
    head = _sum(_linear(times, width, 1), (times * width, width), _linear(1, width, emotions))
    joined, inputs = "present" in config.inputs, config.inputs
    prefix = "{}." if joined else ""
    costs: Dict[str, Cost] = {}
    if "frames" in inputs:
        visual = prefix.format("visual")
        costs[visual + "stem"] = _scaled(times, _stem(config))
        costs[visual + "spatial"] = _scaled(times, _spatial(config))
        costs[visual + "temporal"] = _temporal(4 * config.stem_width, config)
    if "mfcc" in inputs:
        costs[prefix.format("acoustic") + "temporal"] = _temporal(config.mfcc_features, config)
    if "landmarks" in inputs:
        costs[prefix.format("landmarks") + "temporal"] = _temporal(_LANDMARKS, config)
    for i, features in enumerate(config.feature_widths):
        costs[prefix.format(f"feature_branches.{i}") + "temporal"] = _temporal(features, config)
    if joined:
        values = (len(inputs) - 1) * width  # of one instant, side by side: once hidden, once normalised
        costs["fusion"] = _sum((0, 2 * times * values), _linear(times, values, width), head)
    else:
        costs["head"] = head
    return costs


def _statistics(config: ModelConfig) -> Dict[str, Cost]:
    """The streams have no weights, and training sees what they give only once."""
    widths = dict(zip(("mfcc", "landmarks", *config.features),
                      (config.mfcc_features, _LANDMARKS, *config.feature_widths)))
    products, statistics = 0, 0
    for name in config.streams:
        products += 2 * config.frames * widths[name]  # two squares: of the values and of their differences
        if name == "landmarks":  # three sums of products, the turn, and the filling of gaps
            products += (5 + config.frames) * config.frames * _LANDMARKS
        statistics += 6 * (widths[name] // config.mfcc_stack if name == "mfcc" else widths[name])
    head = _sum((0, statistics), _linear(1, statistics, config.width), (0, 2 * config.width),
                _linear(1, config.width, len(config.emotions)))
    return {"streams": (products, 0), "head": head}


def _sum(*costs: Cost) -> Cost:
    return sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)


def _scaled(factor: int, cost: Cost) -> Cost:
    return factor * cost[0], factor * cost[1]


def _linear(rows: int, inputs: int, outputs: int) -> Cost:
    return rows * inputs * outputs, rows * outputs


def _conv(side: int, inputs: int, outputs: int, kernel: int) -> Cost:
    """A convolution with `side` x `side` outputs, its normalisation and its activation."""
    values = side * side * outputs
    return values * inputs * kernel * kernel, 3 * values


def _stem(config: ModelConfig) -> Cost:
    """One frame through ResNet-18's first three stages."""
    width = config.stem_width
    side = -(-config.crop_size // 2)
    total = _conv(side, 3, width, 7)
    side = -(-side // 2)
    total = _sum(total, (0, side * side * width))  # pooling
    inputs = width
    for stage, outputs in enumerate((width, 2 * width, 4 * width)):
        if stage:
            side = -(-side // 2)
            total = _sum(total, _conv(side, inputs, outputs, 1))  # the projected shortcut
        total = _sum(total, _conv(side, inputs, outputs, 3), *[_conv(side, outputs, outputs, 3)] * 3)
        inputs = outputs
    return total


def _encoder(tokens: int, width: int, depth: int, heads: int, ratio: float) -> Cost:
    hidden = max(1, round(width * ratio))
    scores = heads * tokens * tokens
    attention = _sum(_linear(tokens, width, 3 * width), (scores * width // heads, 2 * scores),
                     (scores * width // heads, tokens * width), _linear(tokens, width, width))
    feed_forward = _sum(_linear(tokens, width, hidden), (0, tokens * hidden), _linear(tokens, hidden, width))
    norms = (0, 4 * tokens * width)  # two residual sums and two normalisations
    return _scaled(depth, _sum(attention, feed_forward, norms))


def _spatial(config: ModelConfig) -> Cost:
    """One frame's tokens through the spatial encoder and its pooling."""
    tokens, channels = grid_size(config.crop_size) ** 2, 4 * config.stem_width
    encoder = _encoder(tokens, channels, config.spatial_depth, config.spatial_heads, config.ffn_ratio)
    return _sum((0, tokens * channels), encoder, _linear(tokens, channels, 1), (tokens * channels, channels))


def _temporal(inputs: int, config: ModelConfig) -> Cost:
    """One clip through the convolutions and the encoder over time."""
    times, width = config.frames, config.width
    residual = config.temporal == "temma"
    total: Cost = (0, times * width)
    for _ in config.tcn_dilations:
        if residual and inputs != width:
            total = _sum(total, _linear(times, inputs, width))  # the level's input, as wide as its output
        for channels in (inputs, width) if residual else (inputs,):
            total = _sum(total, _linear(times, config.tcn_kernel * channels, width), (0, times * width))
        if residual:
            total = _sum(total, (0, 2 * times * width))  # their sum and its activation
        inputs = width
    ratio, _ = config.temporal_settings
    total = _sum(total, _encoder(times, width, config.temporal_depth, config.temporal_heads, ratio))
    return _sum(total, (0, times * width)) if residual else total  # the last normalisation
