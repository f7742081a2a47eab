# SPDX-License-Identifier: Apache-2.0
"""Landmarks as a network takes them: plain pixels in, what moves in the face out (not in the paper)."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindface_eri.constants import LANDMARKS
from mindface_eri.errors import ConfigError
from mindface_eri.models.layers import softmax

POINTS, AXES = LANDMARKS
_TINY = 1e-6  # of the sum of squared distances; a face's is thousands of square pixels
_STEEP = 30.0  # what an instant of distance takes off a logit: the nearest face has all the weight but exp(-30)


class LandmarkAlignment(nn.Cell):
    """Landmarks (B, T, 68, 2) float32, pixels, zeros without a face -> deviations from the mean shape (B, T, 136).

    Each face is laid on the mean shape by the shift, scale and turn that bring it nearest in the least squares
    (Procrustes; in the plane that is a division of complex numbers: sums, no decomposition). What is left is divided by
    its deviation over the training set. An instant without a face takes what the nearest with one has, the mean of both
    where two are equally near; a clip without any face is zeros, the mean shape.

    `landmark_mean` (68, 2) and `landmark_scale` (1,) are parameters without gradient, so that exported files take
    pixels; until they are set the shape is a circle.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        turn = np.arange(POINTS) * (2 * np.pi / POINTS)
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)  # (68, 2)
        self.landmark_mean = Parameter(Tensor(circle), name="landmark_mean", requires_grad=False)
        self.landmark_scale = Parameter(Tensor(np.ones(1, np.float32)), name="landmark_scale", requires_grad=False)
        instants = np.arange(frames)
        distance = np.abs(instants[:, None] - instants[None, :]).astype(np.float32)  # (T, T)
        self.nearness = Tensor(-_STEEP * distance)
        self.absence = 2 * _STEEP * frames
        self.frames = frames
        self.mean = ops.ReduceMean(keep_dims=True)
        self.sum = ops.ReduceSum(keep_dims=True)
        self.concat = ops.Concat(axis=-1)
        self.fill = ops.BatchMatMul()

    def construct(self, landmarks: Tensor) -> Tensor:
        seen = (self.sum(ops.abs(landmarks), (2, 3)) > 0).astype(landmarks.dtype)  # (B, T, 1, 1)
        moved = self._aligned(landmarks) - self.landmark_mean  # (B, T, 68, 2)
        moved = (moved * seen / self.landmark_scale).reshape((-1, self.frames, POINTS * AXES))  # (B, T, 136)
        lacking = 1.0 - seen.reshape((-1, 1, self.frames))  # (B, 1, T)
        weights = softmax(self.nearness - self.absence * lacking)  # (B, T, T)
        return self.fill(weights, moved)  # (B, T, 136)

    def _aligned(self, landmarks: Tensor) -> Tensor:
        """Each face laid on the mean shape, (B, T, 68, 2)."""
        face = landmarks - landmarks[:, :, :1]  # (B, T, 68, 2), first around a point of its own: sums of places in a
        face = face - self.mean(face, 2)  # large picture would lose the digits that small movements lie in
        turned = self.concat((-face[:, :, :, 1:], face[:, :, :, :1]))  # by a quarter of a turn
        size = ops.maximum(self.sum(face * face, (2, 3)), _TINY)  # (B, T, 1, 1)
        along = self.sum(face * self.landmark_mean, (2, 3)) / size
        across = self.sum(turned * self.landmark_mean, (2, 3)) / size
        return along * face + across * turned

    def set_landmark_statistics(self, mean: np.ndarray, scale: np.ndarray) -> None:
        """Stores the training set's mean shape (68, 2) and the deviation of aligned faces around it (1,).

        Raises:
            ConfigError: a wrong shape, a value that is not finite, or a scale that is not positive.
        """
        for name, values, shape in (("mean", np.asarray(mean), LANDMARKS), ("scale", np.asarray(scale), (1,))):
            if values.shape != shape:
                raise ConfigError(f"landmark {name} has shape {values.shape}, need {shape}")
            if not np.isfinite(values).all() or (name == "scale" and values[0] <= 0):
                raise ConfigError(f"landmark {name} holds values that are not finite, or a scale that is not positive; "
                                  "compute the statistics again from records that show faces")
        centred = np.asarray(mean, np.float64) - np.mean(mean, axis=0)
        self.landmark_mean.set_data(Tensor(centred.astype(np.float32)))
        self.landmark_scale.set_data(Tensor(np.asarray(scale, np.float32)))
