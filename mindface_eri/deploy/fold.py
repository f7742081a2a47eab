# SPDX-License-Identifier: Apache-2.0
"""Rewrites of a network for inference that leave its numbers as they are, up to float32 rounding."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from mindface_eri.models.resnet import BasicBlock, ResNetStem
from mindface_eri.models.stem_pooling import StemPooling
from mindface_eri.models.tcn import CausalConv1d, Delay
from mindface_eri.models.temma import ResidualLevel, WeightNormConv1d


def fold_normalisation(network: nn.Cell) -> nn.Cell:
    """Merges the normalisations that are fixed at inference into their convolutions, in place.

    They are the stem's of batches, by stored statistics, and that of weights in the temporal levels.

    The network is good for inference only afterwards, and its parameter names no longer match a checkpoint's.

    Returns:
        The same network.
    """
    for _, cell in list(network.cells_and_names()):
        if isinstance(cell, (BasicBlock, ResNetStem)):
            cell.conv1 = _merged(cell.conv1, cell.bn1)
            cell.bn1 = nn.Identity()
        if isinstance(cell, BasicBlock):
            cell.conv2 = _merged(cell.conv2, cell.bn2)
            cell.bn2 = nn.Identity()
            if cell.downsample is not None:
                cell.downsample = nn.SequentialCell(_merged(cell.downsample[0], cell.downsample[1]))
        if isinstance(cell, ResidualLevel):
            cell.conv1, cell.conv2 = _plain(cell.conv1), _plain(cell.conv2)
    return _renamed(network).set_train(False)


def _plain(convolution: WeightNormConv1d) -> CausalConv1d:
    magnitude = convolution.magnitude.asnumpy()  # (out,)
    weight = convolution.product.weight.asnumpy().reshape(-1, len(magnitude), convolution.product.in_channels)
    direction = weight / np.sqrt((weight.astype(np.float64) ** 2).sum(axis=(0, 2)))[:, None]  # (kernel, out, in)
    folded = CausalConv1d(convolution.product.in_channels, len(magnitude), len(weight), convolution.dilation)
    scaled = (direction * magnitude[:, None]).reshape(-1, weight.shape[2])  # (kernel * out, in)
    folded.product.weight.set_data(Tensor(scaled.astype(np.float32)))
    folded.bias.set_data(Tensor(convolution.bias.asnumpy()))
    return folded


def _merged(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    scale = norm.gamma.asnumpy() / np.sqrt(norm.moving_variance.asnumpy() + norm.eps)  # (out,)
    weight = convolution.weight.asnumpy() * scale[:, None, None, None]  # (out, in, k, k)
    bias = norm.beta.asnumpy() - norm.moving_mean.asnumpy() * scale  # (out,)
    return nn.Conv2d(convolution.in_channels, convolution.out_channels, convolution.kernel_size, convolution.stride,
                     pad_mode="pad", padding=convolution.padding, has_bias=True,
                     weight_init=Tensor(weight.astype(np.float32)), bias_init=Tensor(bias.astype(np.float32)))


class _SpelledLayerNorm(nn.Cell):
    """Layer normalisation as the chain of elementary operations that ONNX runtimes recognise and fuse."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__(auto_prefix=False)
        self.gamma, self.beta = norm.gamma, norm.beta
        self.epsilon = norm.epsilon
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x: Tensor) -> Tensor:
        centred = x - self.mean(x, -1)  # (..., D)
        variance = self.mean(ops.pow(centred, 2.0), -1)  # (..., 1)
        return centred / ops.sqrt(variance + self.epsilon) * self.gamma + self.beta


class _PaddedDelay(nn.Cell):
    """`models.tcn.Delay` by padding: joined-on zeros would become a constant of the traced batch."""

    def __init__(self, delay: Delay) -> None:
        super().__init__()
        self.pad = nn.Pad(((0, 0), (delay.steps, 0), (0, 0)))

    def construct(self, x: Tensor) -> Tensor:
        return self.pad(x)[:, :x.shape[1]]  # (B, T, C)


def _plain_pooling(_: StemPooling) -> nn.Cell:
    """ONNX runtimes have a pooling on every device; `onnx_graph` then moves the padding into it."""
    return nn.SequentialCell(nn.Pad(((0, 0), (0, 0), (1, 1), (1, 1))), nn.MaxPool2d(3, 2, pad_mode="valid"))


_SPELLINGS = {nn.LayerNorm: _SpelledLayerNorm, Delay: _PaddedDelay, StemPooling: _plain_pooling}


def spell_for_onnx(network: nn.Cell) -> nn.Cell:
    """Replaces Cells by others of the same numbers that ONNX export, and its runtimes, take better, in place."""
    for _, cell in list(network.cells_and_names()):
        for name, child in list(cell.name_cells().items()):
            spelling = _SPELLINGS.get(type(child))
            if spelling is not None and isinstance(cell, nn.CellList):
                cell[int(name)] = spelling(child)
            elif spelling is not None:
                setattr(cell, name, spelling(child))
    return _renamed(network)


def _renamed(network: nn.Cell) -> nn.Cell:
    """Cells put in later name their parameters by their own place only; a graph wants names that differ."""
    for name, parameter in network.parameters_and_names():
        parameter.name = name
    return network
