# SPDX-License-Identifier: Apache-2.0
"""The followed face in every decoded frame of a clip, for whatever is drawn over the video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Track:
    """One person's face over all N decoded frames."""

    times: np.ndarray  # (N,) float64 seconds since the first frame
    boxes: np.ndarray  # (N, 4) float32: x0, y0, x1, y1 of the crop that the frame would give; zeros where there is none
    landmarks: np.ndarray  # (N, 68, 2) float32 pixels of the upright frame, smoothed; zeros where there are none
    states: np.ndarray  # (N,) uint8, indices into FRAME_STATES

    @classmethod
    def empty(cls, times: np.ndarray) -> Track:
        """No face at any of these instants."""
        count = len(times)
        return cls(np.asarray(times, np.float64), np.zeros((count, 4), np.float32),
                   np.zeros((count, 68, 2), np.float32), np.zeros(count, np.uint8))

    def at(self, seconds: float) -> int:
        """Number of the frame that is shown at an instant: the nearest one."""
        place = int(np.searchsorted(self.times, seconds))
        near = [k for k in (place - 1, place) if 0 <= k < len(self.times)]
        return min(near, key=lambda k: abs(self.times[k] - seconds))
