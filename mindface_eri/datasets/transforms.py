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


_OF_CLIP = ("present", "labels", "index")  # columns that hold nothing for each instant


class ClipAugmenter:
    """All augmentations that a configuration asks for, on whatever columns there are."""

    def __init__(self, config: DataConfig, audio: AudioConfig, mean: np.ndarray, seed: int) -> None:
        self._jitter = TimeJitter(config, seed) if config.time_jitter > 0 else None
        self._frames = FrameAugmenter(config, seed) if config.flip > 0 or config.colour > 0 else None
        masked = config.mfcc_time_masks > 0 or config.mfcc_feature_masks > 0
        self._mfcc = MfccAugmenter(config, audio, mean, seed) if masked else None

    def __call__(self, clip: Mapping[str, np.ndarray], epoch: int, index: int) -> None:
        """Changes the arrays of a clip, (T, ...) each but those of `present`, `labels` and `index`, in place."""
        if self._jitter:
            for name in clip.keys() - _OF_CLIP:
                clip[name][...] = self._jitter(clip[name], epoch, index)
        if self._frames and "frames" in clip:
            clip["frames"][...] = self._frames(clip["frames"], epoch, index)
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


class FrameAugmenter:
    """Mirrors a clip and jitters its brightness and contrast, all of its frames alike."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        self._config, self._seed = config, seed

    def __call__(self, frames: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """(T, S, S, 3) uint8 in and out."""
        rng = np.random.default_rng((self._seed, epoch, index, _FRAMES))
        mirrored = rng.random() < self._config.flip
        brightness, contrast = rng.uniform(-1.0, 1.0, 2) * self._config.colour
        if mirrored:
            frames = frames[:, :, ::-1]
        if self._config.colour > 0:
            frames = jitter_table(brightness, contrast)[frames]
        return np.ascontiguousarray(frames)


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
