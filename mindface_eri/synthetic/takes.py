# SPDX-License-Identifier: Apache-2.0
"""One clip of a morphed face before it is drawn: how strong its expression is over time, and the camera before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np

from mindface_eri.synthetic.morph import Morph
from mindface_eri.synthetic.performance import Envelope


@dataclass(frozen=True)
class Camera:
    """Where the head goes in the picture, and how that is lit; it has nothing to do with the expression."""

    sway: Tuple[float, float]  # of the head over the clip, shares of the picture's side
    tilt: float  # degrees to either side
    zoom: float
    gain: float
    bias: float  # grey levels
    noise: float  # deviation, grey levels

    def shoot(self, picture: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """What it shows of a picture (S, S, 3) uint8 at `share` of the clip."""
        import cv2

        side = len(picture)
        angle = self.tilt * np.sin(2.0 * np.pi * (share + 0.2))
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, self.zoom)
        matrix[:, 2] += np.array(self.sway) * side * np.sin(1.4 * np.pi * share)
        moved = cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        grain = rng.standard_normal(moved.shape, np.float32) * np.float32(self.noise)
        return np.clip(np.round(moved * np.float32(self.gain) + np.float32(self.bias) + grain), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Take:
    """A clip: `curve` is the intensity in each of its frames, its label the largest of them."""

    curve: np.ndarray  # (N,) in [0, 1]
    fps: int
    camera: Camera
    seed: Tuple[int, int]

    @property
    def label(self) -> float:
        """The expression's intensity at its peak."""
        return float(self.curve.max())

    def frames(self, morph: Morph) -> Iterator[np.ndarray]:
        """Draws the clip frame by frame, each (S, S, 3) uint8 RGB."""
        rng = _generator(*self.seed, 1)
        for number, intensity in enumerate(self.curve):
            yield self.camera.shoot(morph.picture(float(intensity)), number / max(1, len(self.curve) - 1), rng)


def plan(seed: int, index: int, duration: Tuple[float, float], fps: Tuple[int, int]) -> Take:
    """Draws clip number `index` of the corpus with this seed; needs nothing of the other clips.

    Every peak between 0 and 1 is as likely. The expression begins, peaks and fades at times of its own; in some clips
    it stays until the end.
    """
    rng = _generator(seed, index, 0)
    rate = int(rng.integers(fps[0], fps[1] + 1))
    count = max(2, round(rng.uniform(*duration) * rate))
    peak, start = rng.uniform(), rng.uniform(0.05, 0.3)
    apex = start + rng.uniform(0.1, 0.3)
    course = Envelope(start, apex, rng.uniform(max(apex, 0.6), 1.2), rng.uniform(0.0, 0.5))
    curve = np.array([peak * course(share) for share in np.linspace(0.0, 1.0, count)])
    camera = Camera(sway=tuple(rng.uniform(-0.03, 0.03, 2)), tilt=rng.uniform(-8.0, 8.0), zoom=rng.uniform(0.85, 1.1),
                    gain=rng.uniform(0.75, 1.15), bias=rng.uniform(-12.0, 12.0), noise=rng.uniform(1.0, 4.0))
    return Take(curve, rate, camera, (seed, index))


def _generator(seed: int, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, index, stream]))
