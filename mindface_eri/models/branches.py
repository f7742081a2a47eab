# SPDX-License-Identifier: Apache-2.0
"""The branches without heads (paper section 3, figure 1), and one for features that others computed."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindface_eri.config import ModelConfig
from mindface_eri.constants import IMAGENET_MEAN, IMAGENET_STD
from mindface_eri.errors import ConfigError
from mindface_eri.models.batch_norm import norms_of
from mindface_eri.models.landmarks import AXES, POINTS, LandmarkAlignment
from mindface_eri.models.resnet import CropNormalization, ResNetStem, grid_size
from mindface_eri.models.spatial import SpatialEncoder
from mindface_eri.models.temporal import temporal_encoder


class VisualBranch(nn.Cell):
    """Face crops (B, T, S, S, 3) uint8 RGB -> features (B, T, D) and spatial weights (B, T, h, w)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.frames = config.frames
        self.crop_size = config.crop_size
        self.grid = grid_size(config.crop_size)
        self.channels = 4 * config.stem_width
        self.normalize = CropNormalization(IMAGENET_MEAN, IMAGENET_STD)
        self.stem = ResNetStem(config.stem_width, frozen=config.freeze_stem)
        self.spatial = SpatialEncoder(self.channels, self.grid ** 2, config.spatial_depth, config.spatial_heads,
                                      ffn_ratio=config.ffn_ratio, dropout=config.dropout)
        self.temporal = temporal_encoder(self.channels, config)
        if config.recompute_stem:
            self.stem.recompute()
            for norm in norms_of(self.stem):
                norm.bn_train.recompute(False)  # computed twice, it would remember a batch twice

    def maps(self, frames: Tensor) -> Tensor:
        """The stem's feature map of each frame, (N, C, h, w), however the N frames are laid out."""
        crops = frames.reshape((-1, self.crop_size, self.crop_size, 3))  # (N, S, S, 3)
        return self.stem(self.normalize(crops))

    def encode_frames(self, frames: Tensor) -> Tuple[Tensor, Tensor]:
        """Vectors (N, C) and spatial weights (N, h*w) of N frames, each seen alone."""
        return self.spatial(self.maps(frames))

    def encode(self, frames: Tensor) -> Tuple[Tensor, Tensor]:
        """Features (B, T, D) and the spatial weights (B, T, h, w) of each frame."""
        vectors, weights = self.encode_frames(frames)  # (B*T, C), (B*T, h*w)
        vectors = vectors.reshape((-1, self.frames, self.channels))  # (B, T, C)
        return self.temporal(vectors), weights.reshape((-1, self.frames, self.grid, self.grid))

    def features(self, frames: Tensor) -> Tensor:
        """Features (B, T, D), the input of the fusion head."""
        features, _ = self.encode(frames)
        return features

    def construct(self, frames: Tensor) -> Tuple[Tensor, Tensor]:
        return self.encode(frames)


class AcousticBranch(nn.Cell):
    """MFCC stacks (B, T, M) float32 -> features (B, T, D).

    The statistics of the training set, `mfcc_mean` and `mfcc_std` (M,), are parameters without gradient, so that
    checkpoints and exported models carry them; they start as zeros and ones.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.affine = None
        self.mfcc_mean, self.mfcc_std = _statistics("mfcc", config.mfcc_features)
        self.temporal = temporal_encoder(config.mfcc_features, config)

    def scale_columns(self, affine: nn.Cell) -> None:
        """From now on `affine`, a `row_norm.RowAffine`, scales and shifts the columns."""
        self.affine = affine

    def features(self, mfcc: Tensor) -> Tensor:
        """Features (B, T, D), the input of the fusion head."""
        return self.temporal(self._standardized(mfcc))  # (B, T, D)

    def _standardized(self, mfcc: Tensor) -> Tensor:
        if self.affine is None:
            return (mfcc - self.mfcc_mean) / self.mfcc_std  # (B, T, M)
        ones, zeros = self.mfcc_std / self.mfcc_std, self.mfcc_mean * 0.0
        return self.affine(self.affine(mfcc, ones, -self.mfcc_mean), 1 / self.mfcc_std, zeros)  # (B, T, M)

    def construct(self, mfcc: Tensor) -> Tensor:
        return self.features(mfcc)

    def set_mfcc_statistics(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Stores the training set's mean and deviation of each MFCC feature, both (M,).

        Raises:
            ConfigError: a wrong shape, a value that is not finite, or a negative deviation.
        """
        _store(self.mfcc_mean, self.mfcc_std, mean, std, "MFCC",
               "take the statistics from records made with the same preprocess.audio settings")


class LandmarkBranch(nn.Cell):
    """Landmarks (B, T, 68, 2) float32, pixels, zeros without a face -> features (B, T, D). Not in the paper."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.alignment = LandmarkAlignment(config.frames)
        self.temporal = temporal_encoder(POINTS * AXES, config)

    def features(self, landmarks: Tensor) -> Tensor:
        """Features (B, T, D), the input of the fusion head."""
        return self.temporal(self.alignment(landmarks))  # (B, T, 136) -> (B, T, D)

    def construct(self, landmarks: Tensor) -> Tensor:
        return self.features(landmarks)

    def set_landmark_statistics(self, mean: np.ndarray, scale: np.ndarray) -> None:
        """As `LandmarkAlignment.set_landmark_statistics`."""
        self.alignment.set_landmark_statistics(mean, scale)


class FeatureBranch(nn.Cell):
    """Feature vectors of any width over time (B, T, F) float32, computed by other programs -> features (B, T, D).

    Not in the paper: the temporal encoder of its branches over the per-frame features that data sets come with (FAU,
    eGeMAPS, ...). `feature_mean` and `feature_std` (F,) are kept as in `AcousticBranch`.

    Args:
        width: F.
    """

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.feature_mean, self.feature_std = _statistics("feature", width)
        self.temporal = temporal_encoder(width, config)

    def features(self, features: Tensor) -> Tensor:
        """Features (B, T, D), the input of the fusion head."""
        x = (features - self.feature_mean) / self.feature_std  # (B, T, F)
        return self.temporal(x)  # (B, T, D)

    def construct(self, features: Tensor) -> Tensor:
        return self.features(features)

    def set_feature_statistics(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Stores the training set's mean and deviation of each feature, both (F,).

        Raises:
            ConfigError: a wrong shape, a value that is not finite, or a negative deviation.
        """
        _store(self.feature_mean, self.feature_std, mean, std, "feature",
               "model.feature_widths and the feature set must agree")


def _statistics(name: str, width: int) -> Tuple[Parameter, Parameter]:
    return tuple(Parameter(Tensor(np.full(width, value, np.float32)), name=f"{name}_{kind}", requires_grad=False)
                 for kind, value in (("mean", 0), ("std", 1)))


def _store(mean_parameter: Parameter, std_parameter: Parameter, mean: np.ndarray, std: np.ndarray, what: str,
           cure: str) -> None:
    """Puts checked statistics into their parameters."""
    width = mean_parameter.shape[0]
    for name, values in (("mean", np.asarray(mean)), ("std", np.asarray(std))):
        if values.shape != (width,):
            raise ConfigError(f"{what} {name} has shape {values.shape}, need ({width},): {cure}")
        if not np.isfinite(values).all() or (name == "std" and (values < 0).any()):
            raise ConfigError(f"{what} {name} holds values that are not finite or negative deviations; "
                              "compute the statistics again from records that hold this modality")
    deviation = np.asarray(std, np.float32)
    mean_parameter.set_data(Tensor(np.asarray(mean, np.float32)))
    # A feature that never changes carries nothing: dividing by one keeps it at zero instead of infinity.
    std_parameter.set_data(Tensor(np.where(deviation > 1e-6, deviation, 1).astype(np.float32)))
