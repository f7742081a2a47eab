# SPDX-License-Identifier: Apache-2.0
"""Mean and deviation of features over the clips of a training set."""

from __future__ import annotations

from typing import Iterable, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.parts import read_rows


def mfcc_statistics(files: Sequence[str], rows: Sequence[int], features: int) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each MFCC feature over all stacks of the given rows, both (M,) float32."""
    return merged_statistics((record["mfcc"] for record in read_rows(files, ["mfcc"], rows)), features)


def merged_statistics(clips: Iterable[np.ndarray], features: int) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature over all instants of clips (T, F), both (F,) float32.

    Without clips they are 0 and 1; a feature that never changes has deviation 1. Clips are merged one by one in float64
    (Chan's formula), in their order.
    """
    count, mean, squares = 0, np.zeros(features), np.zeros(features)
    for clip in clips:
        clip = clip.astype(np.float64)
        ours, shift = len(clip), clip.mean(axis=0) - mean
        squares += ((clip - clip.mean(axis=0)) ** 2).sum(axis=0) + shift ** 2 * count * ours / (count + ours)
        mean += shift * ours / (count + ours)
        count += ours
    std = np.sqrt(squares / max(count, 1))
    return mean.astype(np.float32), np.where(std < 1e-5, 1.0, std).astype(np.float32)
