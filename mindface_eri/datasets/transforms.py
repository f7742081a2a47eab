# SPDX-License-Identifier: Apache-2.0
"""Augmentation of training clips (not in the paper; all off by default).

Every draw is a function of (seed, epoch, clip) alone: the same whatever the number of workers or ranks, and the same
again when training is taken up where it stopped.
"""

from __future__ import annotations

from typing import Mapping

import numpy as np

from mindface_eri.config import AudioConfig, DataConfig

# Which independent stream of random numbers an augmentation draws from.
_FRAMES, _MFCC, _TIME = 0, 1, 2


_OF_CLIP = ("person", "present", "labels", "index")  # columns that hold nothing for each instant


class ClipAugmenter:
    """All augmentations that a configuration asks for, on whatever columns there are."""

    def __init__(self, config: DataConfig, audio: AudioConfig, mean: np.ndarray, seed: int) -> None:
        self._jitter = TimeJitter(config, seed) if config.time_jitter > 0 else None
        changes = max(config.flip, config.colour, config.turn, config.scale, config.erase) > 0
        self._frames = FrameAugmenter(config, seed) if changes else None
        masked = config.mfcc_time_masks > 0 or config.mfcc_feature_masks > 0
        self._mfcc = MfccAugmenter(config, audio, mean, seed) if masked else None

    def __call__(self, clip: Mapping[str, np.ndarray], epoch: int, index: int) -> None:
        """Changes the arrays of a clip, (T, ...) but for those of `_OF_CLIP`, in place."""
        if self._jitter:
            for name in clip.keys() - _OF_CLIP:
                clip[name][...] = self._jitter(clip[name], epoch, index)
        if self._frames and "frames" in clip:
            clip["frames"][...] = self._frames(clip["frames"], epoch, index)
        if self._frames and "landmarks" in clip:
            clip["landmarks"][...] = self._frames.landmarks(clip["landmarks"], epoch, index)
        if self._mfcc and "mfcc" in clip:
            clip["mfcc"][...] = self._mfcc(clip["mfcc"], epoch, index)


class TimeJitter:
    """Moves the instants of a clip: shifts, stretches and bends its time smoothly, never backwards.

    Displacements of up to `time_jitter` of the clip's length are drawn at four knots and interpolated; each instant is
    replaced by the stored one that is nearest to where it moved. Everything that is stored of a clip for each instant
    gets the same draw, so that both branches go on meaning the same instants.
    """

    _knots = np.linspace(0.0, 1.0, 4)  # shares of the clip

    def __init__(self, config: DataConfig, seed: int) -> None:
        self._config, self._seed = config, seed

    def __call__(self, values: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """(T, ...) in and out."""
        return np.ascontiguousarray(values[self.instants(len(values), epoch, index)])

    def instants(self, count: int, epoch: int, index: int) -> np.ndarray:
        """Which of the `count` stored instants stand in for the clip's instants, (count,) int64."""
        rng = np.random.default_rng((self._seed, epoch, index, _TIME))
        moved = self._knots + self._config.time_jitter * rng.uniform(-1.0, 1.0, len(self._knots))
        places = np.interp(np.linspace(0.0, 1.0, count), self._knots, np.sort(moved))
        return np.rint(np.clip(places, 0.0, 1.0) * (count - 1)).astype(np.int64)


# The 68 landmarks of a mirrored face, in their order: jaw, brows, nose, eyes, mouth.
_MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
             39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]


def mirrored(points: np.ndarray) -> np.ndarray:
    """Landmarks (..., 68, 2) of the face in a mirror, wherever that puts it; zeros stay."""
    return points[..., _MIRRORED, :] * np.array([-1, 1], points.dtype)


def is_mirrored(config: DataConfig, seed: int, epoch: int, index: int) -> bool:
    """Whether a clip is mirrored in an epoch."""
    return bool(np.random.default_rng((seed, epoch, index, _FRAMES)).random() < config.flip)


_ERASED, _FORM = (0.02, 0.4), 0.3  # of Zhong et al.: share of the picture, and least height over width or inverse


class FrameAugmenter:
    """Mirrors a clip, jitters brightness and contrast, turns, scales, and erases a part: all of its frames alike.

    Erasing is that of Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020): a rectangle of random pixels.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        self._config, self._seed = config, seed

    def landmarks(self, points: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """(T, 68, 2) in and out: mirrored where the frames are.

        A network lays landmarks on the mean shape, so that neither place nor turn nor scale matters.
        """
        return mirrored(points) if is_mirrored(self._config, self._seed, epoch, index) else points

    def __call__(self, frames: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """(T, S, S, 3) uint8 in and out."""
        rng = np.random.default_rng((self._seed, epoch, index, _FRAMES))
        flip = rng.random() < self._config.flip
        brightness, contrast = rng.uniform(-1.0, 1.0, 2) * self._config.colour
        if flip:
            frames = frames[:, :, ::-1]
        if self._config.colour > 0:
            frames = jitter_table(brightness, contrast)[frames]
        turn, scale = rng.uniform(-1.0, 1.0, 2) * (self._config.turn, self._config.scale)
        if turn or scale:
            frames = turned(frames, turn, 1.0 + scale)
        if rng.random() < self._config.erase:
            frames = _erased(frames, rng)
        return np.ascontiguousarray(frames)


def turned(frames: np.ndarray, degrees: float, factor: float) -> np.ndarray:
    """(T, S, S, 3) uint8, turned clockwise about the middle and made `factor` times as large; the border goes on."""
    size = frames.shape[1]
    middle, angle = (size - 1) / 2, np.deg2rad(degrees)
    y, x = (np.indices((size, size)) - middle) / factor
    places = np.stack([np.cos(angle) * y - np.sin(angle) * x, np.cos(angle) * x + np.sin(angle) * y]) + middle
    places = np.clip(places, 0, size - 1)  # (2, S, S): row and column from which each pixel comes
    first = np.minimum(places.astype(np.int64), max(size - 2, 0))
    down, right = np.rint((places - first) * 128).astype(np.int32).reshape(2, -1, 1)  # in 128ths of a pixel
    ahead, at = min(1, size - 1), (first[0] * size + first[1]).reshape(-1)
    flat = np.ascontiguousarray(frames.reshape(len(frames), -1, 3).swapaxes(0, 1)).reshape(size ** 2, -1)  # (S*S, T*3)
    upper, lower = (flat[row] * (128 - right) + flat[row + ahead] * right for row in (at, at + ahead * size))
    mixed = (upper * (128 - down) + lower * down + (1 << 13)) >> 14
    return mixed.astype(np.uint8).reshape(size ** 2, len(frames), 3).swapaxes(0, 1).reshape(frames.shape)


def _erased(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = frames.shape[1]
    area, form = rng.uniform(*_ERASED) * size ** 2, np.exp(rng.uniform(np.log(_FORM), -np.log(_FORM)))
    height, width = (max(1, min(size, round(side))) for side in (np.sqrt(area * form), np.sqrt(area / form)))
    top, left = int(rng.integers(0, size - height + 1)), int(rng.integers(0, size - width + 1))
    out = frames.copy()
    out[:, top:top + height, left:left + width] = rng.integers(0, 256, (height, width, 3), np.uint8)
    return out


def jitter_table(brightness: float, contrast: float) -> np.ndarray:
    """New value of each of the 256 pixel values, (256,) uint8.

    Args:
        brightness: in [-1, 1], share of 64 grey levels added.
        contrast: in [-1, 1], share of one half by which distances from mid-grey grow.
    """
    values = (np.arange(256.0) - 127.5) * (1.0 + 0.5 * contrast) + 127.5 + 64.0 * brightness
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


class MfccAugmenter:
    """Masks stretches of time and bands of coefficients with the training set's mean, like SpecAugment.

    A band covers the same coefficients of each of the adjacent MFCC frames that were joined into a stack.
    """

    def __init__(self, config: DataConfig, audio: AudioConfig, mean: np.ndarray, seed: int) -> None:
        self._config, self._audio, self._seed = config, audio, seed
        self._mean = np.asarray(mean, np.float32)  # (M,)

    def __call__(self, mfcc: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """(T, M) float32 in and out; the input is left as it is."""
        rng = np.random.default_rng((self._seed, epoch, index, _MFCC))
        masked = np.zeros(mfcc.shape, bool)
        for _ in range(self._config.mfcc_time_masks):
            masked[_stretch(rng, len(mfcc), self._config.mfcc_time_mask_width)] = True
        bands = masked.reshape((len(mfcc), self._audio.stack, self._audio.coefficients))  # a view, frame by frame
        for _ in range(self._config.mfcc_feature_masks):
            bands[:, :, _stretch(rng, self._audio.coefficients, self._config.mfcc_feature_mask_width)] = True
        return np.where(masked, self._mean, mfcc).astype(np.float32, copy=False)


def _stretch(rng: np.random.Generator, length: int, width: int) -> slice:
    """A stretch of 0 to `width` positions somewhere in `length`."""
    size = int(rng.integers(0, min(width, length) + 1))
    first = int(rng.integers(0, length - size + 1))
    return slice(first, first + size)
