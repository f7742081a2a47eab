# SPDX-License-Identifier: Apache-2.0
"""The same networks in plain PyTorch, written independently from the paper with PyTorch's own layers.

The tests compare forward values and gradients with it, and the benchmark takes its time as the unit. Nothing else
imports it, since it needs PyTorch (extra `bench`). Names are PyTorch's; `convert-weights` knows how they map to ours.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from mindface_eri.config import ModelConfig
from mindface_eri.constants import IMAGENET_MEAN, IMAGENET_STD


class BasicBlock(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: Optional[nn.Module] = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNetStem(nn.Module):
    """torchvision's ResNet-18 without its fourth stage and classifier, name for name."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer3(self.layer2(self.layer1(x)))


def encoder(width: int, depth: int, heads: int, ffn_ratio: float, dropout: float, first: bool = False
            ) -> nn.TransformerEncoder:
    """`first`: normalisation before each part, and once more at the end."""
    layer = nn.TransformerEncoderLayer(width, heads, max(1, round(width * ffn_ratio)), dropout, batch_first=True,
                                       norm_first=first)
    return nn.TransformerEncoder(layer, depth, nn.LayerNorm(width) if first else None, enable_nested_tensor=False)


class AttentionPooling(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.softmax(self.score(x), dim=1) * x).sum(dim=1)


class SpatialEncoder(nn.Module):
    def __init__(self, channels: int, tokens: int, config: ModelConfig) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, tokens, channels) * 0.02)
        self.encoder = encoder(channels, config.spatial_depth, config.spatial_heads, config.ffn_ratio,
                               config.dropout)
        self.pooling = AttentionPooling(channels)

    def forward(self, maps: Tensor) -> Tensor:
        return self.pooling(self.encoder(maps.flatten(2).transpose(1, 2) + self.position))


class Level(nn.Module):
    """Two convolutions and a way around them, as the paper's reference 3 describes a level."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        weight_norm = nn.utils.parametrizations.weight_norm
        self.past = (kernel - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(inputs, width, kernel, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(width, width, kernel, dilation=dilation))
        self.shortcut = nn.Conv1d(inputs, width, 1) if inputs != width else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in (self.conv1, self.conv2):
            y = self.dropout(torch.relu(conv(nn.functional.pad(y, (self.past, 0)))))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class TemmaEncoder(nn.Module):
    """The temporal module of the paper's reference 3."""

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        width, (ffn_ratio, dropout) = config.width, config.temporal_settings
        widths = (inputs, *[width] * len(config.tcn_dilations))
        self.levels = nn.ModuleList(Level(widths[i], width, config.tcn_kernel, dilation, dropout)
                                    for i, dilation in enumerate(config.tcn_dilations))
        codes = torch.zeros(config.frames, width)
        for place in range(config.frames):
            for channel in range(width):
                angle = place / 1000 ** ((channel - channel % 2) / width)
                codes[place, channel] = math.cos(angle) if channel % 2 else math.sin(angle)
        self.register_buffer("codes", codes, persistent=False)
        self.scale = math.sqrt(width)
        self.dropout = nn.Dropout(dropout)
        self.encoder = encoder(width, config.temporal_depth, config.temporal_heads, ffn_ratio, dropout, first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)  # (B, C, T)
        for level in self.levels:
            x = level(x)
        return self.encoder(self.dropout(x.transpose(1, 2) * self.scale + self.codes))


def temporal_encoder(inputs: int, config: ModelConfig) -> nn.Module:
    return (TemmaEncoder if config.temporal == "temma" else TemporalEncoder)(inputs, config)


class TemporalEncoder(nn.Module):
    """Version 0.1's temporal module."""

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        ffn_ratio, dropout = config.temporal_settings
        self.convs = nn.ModuleList()
        for dilation in config.tcn_dilations:
            self.convs.append(nn.Conv1d(inputs, config.width, config.tcn_kernel, dilation=dilation))
            inputs = config.width
        self.dropout = nn.Dropout(dropout)
        self.position = nn.Parameter(torch.randn(1, config.frames, config.width) * 0.02)
        self.encoder = encoder(config.width, config.temporal_depth, config.temporal_heads, ffn_ratio, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)  # (B, C, T)
        for conv in self.convs:
            past = (conv.kernel_size[0] - 1) * conv.dilation[0]
            x = self.dropout(torch.relu(conv(nn.functional.pad(x, (past, 0)))))
        return self.encoder(x.transpose(1, 2) + self.position)


class RegressionHead(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pooling = AttentionPooling(config.width)
        self.regression = nn.Linear(config.width, len(config.emotions))

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.regression(self.pooling(features)))


class VisualBranch(nn.Module):
    """Crops to features over time."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.stem = ResNetStem(config.stem_width)
        tokens = (-(-config.crop_size // 16)) ** 2
        self.spatial = SpatialEncoder(4 * config.stem_width, tokens, config)
        self.temporal = temporal_encoder(4 * config.stem_width, config)

    def features(self, frames: Tensor) -> Tensor:
        clips, times = frames.shape[:2]
        images = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        vectors = self.spatial(self.stem((images - self.mean) / self.std))
        return self.temporal(vectors.view(clips, times, -1))


class AcousticBranch(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("mfcc_mean", torch.zeros(config.mfcc_features))
        self.register_buffer("mfcc_std", torch.ones(config.mfcc_features))
        self.temporal = temporal_encoder(config.mfcc_features, config)

    def features(self, mfcc: Tensor) -> Tensor:
        return self.temporal((mfcc - self.mfcc_mean) / self.mfcc_std)


class FeatureBranch(nn.Module):
    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_std", torch.ones(width))
        self.temporal = temporal_encoder(width, config)

    def features(self, features: Tensor) -> Tensor:
        return self.temporal((features - self.feature_mean) / self.feature_std)


class VisualNetwork(VisualBranch):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = RegressionHead(config)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.features(frames))


class AcousticNetwork(AcousticBranch):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = RegressionHead(config)

    def forward(self, mfcc: Tensor) -> Tensor:
        return self.head(self.features(mfcc))


class FeatureNetwork(FeatureBranch):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.feature_widths[0])
        self.head = RegressionHead(config)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.features(features))


class FusionHead(nn.Module):
    """Branches joined, with modality dropout, to intensities."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        others = len(config.features) + 1
        self.p_both = config.p_both
        self.p_alone = config.p_alone or (config.p_visual, *[(1 - config.p_visual) / others] * others)
        self.norm = nn.LayerNorm((1 + others) * config.width)
        self.project = nn.Linear((1 + others) * config.width, config.width)
        self.head = RegressionHead(config)

    def hide(self, present: Tensor) -> Tensor:
        """Modality dropout (eq. 7)."""
        chosen = torch.multinomial(torch.tensor(self.p_alone), len(present), replacement=True)
        alone = nn.functional.one_hot(chosen, present.shape[1]).bool()
        lacking = ~(alone & (present > 0)).any(dim=1, keepdim=True)
        return present * (alone | lacking | (torch.rand(len(present), 1) < self.p_both))

    def forward(self, visual: Tensor, acoustic: Tensor, *rest: Tensor) -> Tensor:
        *others, present = rest
        if self.training:
            present = self.hide(present)
        branches, order = (visual, acoustic, *others), (1, 0, *range(2, 2 + len(others)))
        joined = torch.cat([branches[i] * present[:, i, None, None] for i in order], dim=-1)
        return self.head(self.project(self.norm(joined)))


class MultiBranchNetwork(nn.Module):
    """The paper's network, and with feature sets one of more branches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.visual = VisualBranch(config)
        self.acoustic = AcousticBranch(config)
        self.feature_branches = nn.ModuleList(FeatureBranch(config, width) for width in config.feature_widths)
        self.fusion = FusionHead(config)

    def forward(self, frames: Tensor, mfcc: Tensor, *rest: Tensor) -> Tensor:
        others = [branch.features(x) for branch, x in zip(self.feature_branches, rest)]
        return self.fusion(self.visual.features(frames), self.acoustic.features(mfcc), *others, rest[-1])


def build_twin(config: ModelConfig) -> nn.Module:
    """The PyTorch twin of `mindface_eri.models.build_network(config)`."""
    networks: Tuple[Tuple[str, type], ...] = (("eri_visual", VisualNetwork), ("eri_acoustic", AcousticNetwork),
                                              ("eri_features", FeatureNetwork),
                                              ("eri_dual_branch", MultiBranchNetwork),
                                              ("eri_multi_branch", MultiBranchNetwork))
    return dict(networks)[config.name](config)
