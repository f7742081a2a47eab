"""Speed and agreement, side by side in one run on the same clips: plain script, every-frame, track, bare decoding."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess.clip import Clip, extract_clip
from mindface_eri.preprocess.literal import literal_clip
from mindface_eri.preprocess.video import read_frames


def benchmark_preprocess(paths: Sequence[os.PathLike], *, clips_limit: Optional[int] = None, repeats: int = 3,
                         config: Optional[PreprocessConfig] = None) -> List[Dict[str, Any]]:
    """Measures each clip with video in this process, the four ways in turn, `repeats` times after one warm-up.

    Returns:
        One row a clip: `clip`, `width`, `height`, `frames`; medians of seconds `literal_s`, `every_frame_s`, `track_s`,
        `decode_s`; `speedup` (literal over track), `decode_share` (track's frame rate over bare decoding's), `iou`
        (mean over the sampled frames that have a face both ways, of the crop boxes of track and every-frame),
        `share_track`, `share_every_frame`, `share_literal` (frames with a face over all).

    Raises:
        MediaError: a clip cannot be decoded. ValueError: `repeats` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; at least 1 is needed")
    config = config or PreprocessConfig()
    track = replace(config, face=replace(config.face, mode="track"))
    every = replace(config, face=replace(config.face, mode="every-frame"))
    rows = []
    for index, path in enumerate(list(paths)[:clips_limit]):
        ways = {"literal": lambda p=path: literal_clip(p, config), "every_frame": lambda p=path: extract_clip(p, every),
                "track": lambda p=path: extract_clip(p, track), "decode": lambda p=path: _decode(p)}
        if index == 0:  # models, tables and caches are loaded before anything is timed
            for way in ways.values():
                way()
        results, seconds = _measure(ways, repeats)
        rows.append(_row(path, results, seconds))
    return rows


def _measure(ways: Dict[str, Callable], repeats: int):
    results: Dict[str, Any] = {}
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - begin)
    return results, {name: median(values) for name, values in seconds.items()}


def _decode(path: os.PathLike) -> int:
    return sum(1 for _ in read_frames(path))


def _row(path: os.PathLike, results: Dict[str, Any], seconds: Dict[str, float]) -> Dict[str, Any]:
    track, every, literal = results["track"], results["every_frame"], results["literal"]
    return {"clip": os.path.basename(os.fspath(path)), "width": track.width, "height": track.height,
            "frames": results["decode"], **{f"{name}_s": value for name, value in seconds.items()},
            "speedup": seconds["literal"] / seconds["track"], "decode_share": seconds["decode"] / seconds["track"],
            "iou": mean_iou(track, every), "share_track": track.found_share, "share_every_frame": every.found_share,
            "share_literal": literal.found_share}


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
