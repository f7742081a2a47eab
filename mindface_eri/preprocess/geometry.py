# SPDX-License-Identifier: Apache-2.0
"""Face geometry over time: gaps filled, smoothed, turned into square crops (paper section 3.1).

Geometry means the 68 landmarks in pixels of the upright frame; pixels are never blended between frames.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from mindface_eri.constants import FRAME_STATES

NONE, INTERPOLATED, DETECTED = (FRAME_STATES.index(name) for name in ("none", "interpolated", "detected"))
_CHUNK = 4096  # frames smoothed at a time: what an hour takes in float64 does not all lie in memory


def fill_gaps(landmarks: np.ndarray, found: np.ndarray, missed: np.ndarray, window: int,
              barriers: Sequence[int] = ()) -> Tuple[np.ndarray, np.ndarray]:
    """Gives frames without a found face a geometry, or the state none.

    Between two found frames with at most `window` frames between them the landmarks are interpolated linearly; so they
    are between neighbouring examined frames in track mode, however far apart. Elsewhere there is no face.

    Args:
        landmarks: (N, 68, 2) float32 for all N frames, meaningful where `found`.
        found: (N,) bool, a face was found; missed: (N,) bool, it was looked for in vain; neither: not looked for.
        window: frames.
        barriers: frame numbers that nothing is interpolated across, nor up to from the frame before: cuts.

    Returns:
        The landmarks (N, 68, 2) float32, and the states (N,) uint8, indices into FRAME_STATES.
    """
    filled = np.array(landmarks, np.float32)
    states = np.full(len(filled), NONE, np.uint8)
    at = np.flatnonzero(found)
    if len(at) == 0:
        return filled, states
    frames = np.arange(len(filled))
    right = np.clip(np.searchsorted(at, frames), 0, len(at) - 1)
    left = np.clip(np.searchsorted(at, frames, side="right") - 1, 0, len(at) - 1)
    before, after = at[left], at[right]  # (N,) nearest found frame on either side; the same one at the clip's ends
    misses = np.concatenate([[0], np.cumsum(missed)])
    unlooked = misses[np.maximum(after, before)] == misses[np.minimum(before, after)]
    shots = _stretches(len(filled), barriers)
    inside = (before < frames) & (frames < after) & (unlooked | (after - before - 1 <= window))
    inside &= shots[before] == shots[after]
    left, right, here = before[inside], after[inside], frames[inside]
    share = ((here - left) / np.maximum(right - left, 1))[:, None, None].astype(np.float32)
    filled[inside] = filled[left] * (1 - share) + filled[right] * share
    states[inside], states[found] = INTERPOLATED, DETECTED
    return filled, states


def _stretches(count: int, barriers: Sequence[int]) -> np.ndarray:
    """(count,) how many barriers lie at or before each frame."""
    return np.searchsorted(np.sort(np.asarray(barriers, int)), np.arange(count), side="right")


def smooth(landmarks: np.ndarray, states: np.ndarray, sigma: float, barriers: Sequence[int] = ()) -> np.ndarray:
    """(N, 68, 2): landmarks under a Gaussian over time, never across a stretch without a face, or a cut.

    Args:
        landmarks, states: from `fill_gaps`, with the same barriers.
        sigma: standard deviation, frames; 0 leaves the landmarks as they are. The window ends at 3 deviations, and its
            weights are divided by their sum where it meets an end.
    """
    if sigma <= 0:
        return landmarks
    radius = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    out = landmarks.copy()
    for start, stop in _runs(states >= INTERPOLATED, _stretches(len(states), barriers)):
        for first in range(start, stop, _CHUNK):
            last = min(first + _CHUNK, stop)
            low, high = max(first - radius, start), min(last + radius, stop)
            ends = (radius - (first - low), radius - (high - last))  # frames beyond the stretch
            padded = np.pad(landmarks[low:high].reshape(high - low, -1).astype(np.float64), (ends, (0, 0)))  # (n, 136)
            presence = np.pad(np.ones(high - low), ends)
            total = sum(w * padded[k:k + last - first] for k, w in enumerate(weights))
            norm = sum(w * presence[k:k + last - first] for k, w in enumerate(weights))
            out[first:last] = (total / norm[:, None]).reshape(-1, *landmarks.shape[1:])
    return out


def _runs(solid: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """(n, 2) first and after last frame of each run of `solid` frames within one shot."""
    label = np.concatenate([[-1], np.where(solid, shots, -1), [-1]])
    borders = np.flatnonzero(np.diff(label))
    return np.array([(a, b) for a, b in zip(borders[:-1], borders[1:]) if solid[a]], int).reshape(-1, 2)


def face_boxes(landmarks: np.ndarray, margin: float) -> np.ndarray:
    """(..., 4) float32 squares x0, y0, x1, y1: the landmarks' larger extent, and `margin` of it more on each side."""
    low, high = landmarks.min(axis=-2), landmarks.max(axis=-2)  # (..., 2)
    centre = (low + high) / 2
    half = ((high - low).max(axis=-1, keepdims=True) / 2) * (1 + 2 * margin)
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def eye_angle(landmarks: np.ndarray) -> float:
    """Radians by which the line from the left to the right eye of the picture is turned clockwise on the screen."""
    left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    return float(np.arctan2(right[1] - left[1], right[0] - left[0]))


def aligned_box(landmarks: np.ndarray, margin: float) -> Tuple[np.ndarray, float]:
    """The square (4,) around the landmarks as they lie when the eyes are level, and the angle it is turned by."""
    angle = eye_angle(landmarks)
    centre = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    cosine, sine = np.cos(-angle), np.sin(-angle)
    level = (landmarks - centre) @ np.array([[cosine, sine], [-sine, cosine]])
    box = face_boxes(level.astype(np.float32), margin)
    middle = (box[:2] + box[2:]) / 2
    back = np.array([[cosine, -sine], [sine, cosine]])
    middle = middle @ back + centre
    half = (box[2] - box[0]) / 2
    return np.concatenate([middle - half, middle + half]).astype(np.float32), angle


def crop(rgb: np.ndarray, box: np.ndarray, size: int, angle: float = 0.0) -> np.ndarray:
    """(size, size, 3) uint8: the square `box` of the picture, turned by `angle`; beyond the picture its border goes on.

    A black bar would be an edge that no face has, and would tell where in the frame the face is. Reduction averages
    over the area of each target pixel, in two steps where the reduction is large.
    """
    import cv2

    x0, y0, x1, y1 = (float(v) for v in box)
    side = max(x1 - x0, 1.0)
    reach = side * (0.5 if not angle else 0.7072) + 2
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(0, int(cx - reach)), max(0, int(cy - reach))
    part = rgb[top:max(top, int(cy + reach) + 1), left:max(left, int(cx + reach) + 1)]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    shrink = np.ones(2)
    if side > size:
        whole = part.shape[1::-1]
        part = cv2.resize(part, tuple(max(1, round(n * size / side)) for n in whole), interpolation=cv2.INTER_AREA)
        shrink = np.array(part.shape[1::-1]) / whole
    step, mid = side / size, (size - 1) / 2  # source pixels in a target pixel; middle of the target
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * step
    shift = np.array([cx - left, cy - top]) - turn @ [mid, mid]
    matrix = np.column_stack([turn * shrink[:, None], shift * shrink - 0.5])
    return cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)
