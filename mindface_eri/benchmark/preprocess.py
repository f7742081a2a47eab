# SPDX-License-Identifier: Apache-2.0
"""Clips taken apart: ours in both modes, the plain OpenCV and dlib script, and bare decoding as the limit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np

from mindface_eri.benchmark.harness import Row, in_turns, row
from mindface_eri.benchmark.literal import literal_clip
from mindface_eri.config import PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess.clip import Clip, extract_clip
from mindface_eri.preprocess.video import read_frames


def benchmark_preprocess(paths: Sequence[os.PathLike], *, repeats: int = 3,
                         config: Optional[PreprocessConfig] = None) -> List[Row]:
    """Two rows a clip, `track` and `every-frame`, each beside the plain script and bare decoding.

    The note gives the agreement of the two modes (mean IoU of the crop boxes where both see a face) and the share of
    frames in which the plain script and we found one.

    Raises:
        MediaError: a clip cannot be decoded.
    """
    config = config or PreprocessConfig()
    track = replace(config, face=replace(config.face, mode="track"))
    every = replace(config, face=replace(config.face, mode="every-frame"))
    rows: List[Row] = []
    for path in paths:
        times, results = in_turns({
            "track": lambda p=path: extract_clip(p, track), "every-frame": lambda p=path: extract_clip(p, every),
            "theirs": lambda p=path: literal_clip(p, config), "limit": lambda p=path: _decode(p)}, repeats)
        ours, faces = results["track"], results["theirs"].found_share
        note = (f"boxes' IoU {mean_iou(ours, results['every-frame']):.3f}; a face in {ours.found_share:.0%} of frames, "
                f"plain script {faces:.0%}")
        what = f"{Path(path).name}, {ours.width}x{ours.height}, {results['limit']} frames"
        rows += [row(f"{what}: {mode}", {"ours": times[mode], "theirs": times["theirs"], "limit": times["limit"]},
                     yardstick="plain OpenCV and dlib script", limit="bare decoding",
                     note=note if mode == "track" else "") for mode in ("track", "every-frame")]
    return rows


def _decode(path: os.PathLike) -> int:
    return sum(1 for _ in read_frames(path))


def mean_iou(one: Clip, other: Clip) -> float:
    """Mean intersection over union of the crop boxes where both clips followed a face; nan where there is none."""
    both = np.minimum(one.detected, other.detected) >= FRAME_STATES.index("interpolated")
    return float(box_iou(one.boxes[both], other.boxes[both]).mean()) if both.any() else float("nan")


def box_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) intersection over union of (n, 4) boxes with (n, 4) boxes, row by row."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    return shared / np.maximum(areas - shared, 1e-9)
