# SPDX-License-Identifier: Apache-2.0
"""A face anywhere between two portraits: shapes and colours are mixed in the same share, the intensity."""

from __future__ import annotations

import numpy as np

from mindface_eri.synthetic.portraits import Face


class Morph:
    """What lies between a face at rest and the same face with an expression, both of one size.

    The landmarks and the square's border span triangles. Each pixel of a picture in between lies in one of them, and
    is mixed of the two pixels that have its place in the same triangle of either portrait.
    """

    def __init__(self, neutral: Face, expressive: Face) -> None:
        from scipy import spatial

        self._faces = (neutral.picture, expressive.picture)
        self._side = len(neutral.picture)
        border = _border(self._side)
        self._points = [np.concatenate([face.landmarks, border]).astype(np.float64) for face in (neutral, expressive)]
        self._triangles = spatial.Delaunay(sum(self._points) / 2).simplices  # (K, 3)
        pixels = np.arange(self._side, dtype=np.float32)
        self._x, self._y = np.meshgrid(pixels, pixels)

    def landmarks(self, intensity: float) -> np.ndarray:
        """(68, 2) float64 pixels, where they are in `picture(intensity)`."""
        return self._between(intensity)[:68]

    def picture(self, intensity: float) -> np.ndarray:
        """(S, S, 3) uint8 RGB: 0 is the face at rest, 1 the whole expression."""
        import cv2

        corners = self._between(intensity)[self._triangles]  # (K, 3, 2)
        lying = self._lying(corners)
        shown = [cv2.remap(face, *self._map(corners, points[self._triangles], lying), cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE) for face, points in zip(self._faces, self._points)]
        return cv2.addWeighted(shown[0], 1.0 - intensity, shown[1], intensity, 0.0)

    def _between(self, intensity: float) -> np.ndarray:
        return (1.0 - intensity) * self._points[0] + intensity * self._points[1]

    def _lying(self, corners: np.ndarray) -> np.ndarray:
        """(S, S) the number of the triangle in which each pixel lies."""
        import cv2

        lying = np.zeros((self._side, self._side), np.int32)
        for number, triangle in enumerate(np.round(corners).astype(np.int32)):
            cv2.fillConvexPoly(lying, triangle, number)
        return lying

    def _map(self, corners: np.ndarray, source: np.ndarray, lying: np.ndarray):
        """Where each pixel comes from: columns and rows, (S, S) float32 each. A triangle's map is affine."""
        plane = np.concatenate([corners, np.ones((len(corners), 3, 1))], axis=2)  # (K, 3, 3)
        flat = np.abs(np.linalg.det(plane)) < 1e-3  # no pixel lies in a triangle without an area
        plane[flat] = np.eye(3)
        affine = np.linalg.solve(plane, source).astype(np.float32)  # (K, 3, 2)
        return tuple(np.ascontiguousarray(affine[:, 0, axis][lying] * self._x + affine[:, 1, axis][lying] * self._y
                                          + affine[:, 2, axis][lying]) for axis in (0, 1))


def _border(side: int) -> np.ndarray:
    """(8, 2) corners and middles of the square's sides: they stay where they are."""
    low, middle, high = 0.0, (side - 1) / 2, side - 1.0
    return np.array([(x, y) for y in (low, middle, high) for x in (low, middle, high) if (x, y) != (middle, middle)])
