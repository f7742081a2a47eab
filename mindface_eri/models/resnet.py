# SPDX-License-Identifier: Apache-2.0
"""The visual stem: ResNet-18 through its third stage (paper section 3.2, "first four convolutional layers").

Names follow torchvision (conv1, bn1, layer1.0.conv1, ...), so that converted weights can be read beside the source.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mindface_eri.models.layers import batch_norm, convolution
from mindface_eri.models.stem_pooling import StemPooling

STRIDE = 16  # input pixels per cell of the feature map


def grid_size(crop_size: int) -> int:
    """Side of the stem's feature map: 112 -> 7. Each of the four halvings rounds up."""
    return -(-crop_size // STRIDE)


class BasicBlock(nn.Cell):
    """Two 3 x 3 convolutions and a shortcut, which is projected where stride or width change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, frozen: bool = False) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, out_channels, 3, stride)
        self.bn1 = batch_norm(out_channels, frozen=frozen)
        self.conv2 = convolution(out_channels, out_channels, 3)
        self.bn2 = batch_norm(out_channels, frozen=frozen)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.SequentialCell(convolution(in_channels, out_channels, 1, stride),
                                                batch_norm(out_channels, frozen=frozen))

    def construct(self, x: Tensor) -> Tensor:
        precision = x.dtype
        shortcut = x if self.downsample is None else self.downsample(x)  # (N, C, H, W)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, C, H, W)
        return self.relu(self.bn2(self.conv2(x)) + shortcut).astype(precision)  # (N, C, H, W)


class ResNetStem(nn.Cell):
    """Normalised RGB (N, 3, S, S) -> feature map (N, 4 * width, S/16, S/16); (N, 256, 7, 7) in the paper.

    Args:
        width: channels of the first stage; 64 makes it ResNet-18.
        frozen: parameters take no gradient and batch normalisation keeps its stored statistics, in training too.
    """

    def __init__(self, width: int = 64, *, frozen: bool = False) -> None:
        super().__init__()
        self.out_channels = 4 * width
        self.conv1 = convolution(3, width, 7, 2)
        self.bn1 = batch_norm(width, frozen=frozen)
        self.relu = nn.ReLU()
        self.maxpool = StemPooling()
        self.layer1 = self._stage(width, width, 1, frozen)
        self.layer2 = self._stage(width, 2 * width, 2, frozen)
        self.layer3 = self._stage(2 * width, 4 * width, 2, frozen)
        if frozen:
            for parameter in self.get_parameters():
                parameter.requires_grad = False

    @staticmethod
    def _stage(in_channels: int, out_channels: int, stride: int, frozen: bool) -> nn.SequentialCell:
        return nn.SequentialCell(BasicBlock(in_channels, out_channels, stride, frozen=frozen),
                                 BasicBlock(out_channels, out_channels, 1, frozen=frozen))

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, width, S/2, S/2)
        x = self.maxpool(x)  # (N, width, S/4, S/4)
        x = self.layer1(x)  # (N, width, S/4, S/4)
        x = self.layer2(x)  # (N, 2 * width, S/8, S/8)
        return self.layer3(x)  # (N, 4 * width, S/16, S/16)


class CropNormalization(nn.Cell):
    """uint8 RGB crops (N, S, S, 3) -> float32 (N, 3, S, S) with ImageNet's mean and deviation.

    Being the network's first step, it runs on the accelerator and travels inside an exported model.
    """

    def __init__(self, mean: tuple, std: tuple) -> None:
        super().__init__()
        self.mean = Tensor([255.0 * value for value in mean]).astype("float32").reshape((1, 3, 1, 1))
        self.scale = Tensor([1.0 / (255.0 * value) for value in std]).astype("float32").reshape((1, 3, 1, 1))
        self.transpose = ops.Transpose()

    def construct(self, crops: Tensor) -> Tensor:
        x = self.transpose(crops, (0, 3, 1, 2)).astype("float32")  # (N, 3, S, S); bytes are the cheapest to move
        return (x - self.mean) * self.scale  # (N, 3, S, S)
