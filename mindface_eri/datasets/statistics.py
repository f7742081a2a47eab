# SPDX-License-Identifier: Apache-2.0
"""Mean and deviation of features over the clips of a training set, and the mean of its faces' shapes."""

from __future__ import annotations

from typing import Iterable, Sequence, Tuple

import numpy as np

from mindface_eri.constants import LANDMARKS
from mindface_eri.datasets.reading import read_rows


def mfcc_statistics(files: Sequence[str], rows: Sequence[int], features: int, sizes: Sequence[int] = ()
                    ) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each MFCC feature over all stacks of the given rows, both (M,) float32.

    Args:
        files, rows, sizes: as for `reading.read_rows`.
    """
    return merged_statistics((record["mfcc"] for record in read_rows(files, ["mfcc"], rows, sizes=sizes)), features)


def landmark_statistics(files: Sequence[str], rows: Sequence[int], sizes: Sequence[int] = ()
                        ) -> Tuple[np.ndarray, np.ndarray]:
    """Mean shape (68, 2) of the faces of the given rows, and the deviation of faces laid on it (1,), both float32."""
    return mean_shape(record["landmarks"] for record in read_rows(files, ["landmarks"], rows, sizes=sizes))


def mean_shape(clips: Iterable[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    """Generalised Procrustes analysis of landmarks (T, 68, 2), zeros where there is no face.

    Of shapes in the plane it has a closed form (Kent, "The complex Bingham distribution and shape analysis", JRSS B 56,
    1994): as complex vectors of unit length around zero, their mean up to a turn is the first eigenvector of the sum of
    their outer products, and what the eigenvalue lacks of their number is the sum of squared distances of all shapes
    from it once each is shifted, scaled and turned to fit. So one pass over the clips is enough.

    Returns:
        the mean shape (68, 2), around zero, upright as the faces are on average, points one unit from it in the root
        mean square; and the deviation of a coordinate around it (1,). A circle and 1 where there is no face.
    """
    points = LANDMARKS[0]
    products, total, count = np.zeros((points, points), complex), np.zeros(points, complex), 0
    for clip in clips:
        shapes = clip[..., 0] + 1j * clip[..., 1].astype(np.float64)  # (T, 68)
        shapes = shapes - shapes.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(shapes, axis=1)
        shapes = shapes[lengths > 0] / lengths[lengths > 0, None]
        products += shapes.T @ shapes.conj()
        total += shapes.sum(axis=0)
        count += len(shapes)
    if not count:
        turn = np.exp(2j * np.pi * np.arange(points) / points)
        return np.stack([turn.real, turn.imag], axis=1).astype(np.float32), np.ones(1, np.float32)
    values, vectors = np.linalg.eigh(products)
    mean = vectors[:, -1] * np.sqrt(points)
    mean = mean * np.exp(1j * np.angle(np.vdot(mean, total)))
    rest = max(count - values[-1], 0.0) / (2 * count)  # of a coordinate, squared, where the shape's mean square is one
    return (np.stack([mean.real, mean.imag], axis=1).astype(np.float32),
            np.full(1, max(np.sqrt(rest), 1e-6), np.float32))


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


def thirds(features: np.ndarray, *, movement: bool = False) -> np.ndarray:
    """(T, F) -> (6F,): mean, deviation, deviation of the differences in time, and the means of the three thirds.

    Args:
        movement: the mean is left out, and taken off the thirds, (5F,): what moves, not what stays.
    """
    features = np.asarray(features, np.float64)
    mean, count = features.mean(0), len(features)
    change = np.diff(features, axis=0) if count > 1 else np.zeros_like(features)
    first = [third * count // 3 for third in range(4)]  # fewer than three instants share them
    parts = [features[low:max(high, low + 1)].mean(0) for low, high in zip(first, first[1:])]
    if movement:
        return np.concatenate([features.std(0), change.std(0), *(part - mean for part in parts)])
    return np.concatenate([mean, features.std(0), change.std(0), *parts])
