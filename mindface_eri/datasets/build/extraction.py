# SPDX-License-Identifier: Apache-2.0
"""One clip of a data set -> a file with what its record will hold, or the reason why there is none."""

from __future__ import annotations

import errno
import functools
import importlib
import os
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.constants import LANDMARKS, MODALITIES
from mindface_eri.datasets.build.sources import mark, same_stamps
from mindface_eri.datasets.build.workers import Reply
from mindface_eri.datasets.parts import COPIES, save_clip
from mindface_eri.errors import ConfigError, MediaError, MissingDependencyError

DEFAULT_EXTRACTOR = "mindface_eri.preprocess.clip:extract_clip"


def run_task(settings: Tuple[str, PreprocessConfig], task: Dict[str, Any]) -> Reply:
    """What a worker does: `settings` names the extractor, `module:function`, called as `extract_clip`."""
    name, config = settings
    try:
        extractor = _load(name)
    except (ImportError, AttributeError) as error:
        return "fatal", "dependency", (f"{name} cannot be imported: {error}; `mindface-eri doctor` says what is "
                                       "missing")
    return extract_to_file(extractor, config, task)


@functools.lru_cache(maxsize=1)
def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def extract_to_file(extractor: Callable[..., Any], config: PreprocessConfig, task: Dict[str, Any]) -> Reply:
    """Takes one clip apart and writes it; whatever goes wrong is told, not raised.

    Args:
        task: `video` and `audio` (path or None), `target` (file to write), `preview` (picture to draw, or None), `id`,
            `copies` (whether copies of the sound are wanted, None: no).
    """
    path = task["video"] or task["audio"]
    files = {name: task[name] for name in ("video", "audio")}
    marks = mark(files)
    try:
        more = {"copies": True} if task.get("copies") else {}
        clip = extractor(path, config, audio_path=task["audio"] if task["video"] else None, **more)
        fault = _fault(clip, config)
        if fault:
            return "failed", "extract", fault
        arrays = {"frames": _stored(clip.frames, config), "mfcc": clip.mfcc, "present": clip.present,
                  "timestamps": clip.timestamps, "boxes": clip.boxes, "detected": clip.detected,
                  "landmarks": clip.landmarks, **_copies(clip, config)}
    except MediaError as error:
        return "failed", getattr(error, "stage", "media"), str(error)
    except (MissingDependencyError, ConfigError) as error:
        return "fatal", "dependency", str(error)
    except Exception as error:  # one odd file must not stop the others
        return "failed", "extract", f"{type(error).__name__}: {error}"
    if not same_stamps(marks, files):
        return "failed", "changed", f"{path}: was written to while it was read; --resume reads it once more"
    try:
        if not os.path.isdir(os.path.dirname(task["target"])):  # which `save_clip` would make anew
            raise FileNotFoundError(errno.ENOENT, "its folder has been removed")
        save_clip(Path(task["target"]), arrays, {**_row(clip, config), "source": marks})
    except OSError as error:
        return "fatal", "storage", f"{task['target']}: cannot be written ({error.strerror})"
    return "done", "", _preview(clip, task)


def _preview(clip: Any, task: Dict[str, Any]) -> str:
    if not task["preview"]:
        return ""
    try:
        from mindface_eri.preprocess.preview import save_contact_sheet

        save_contact_sheet(clip, task["preview"], task["id"])
    except Exception as error:  # a picture for people; the clip itself is sound
        return f"no contact sheet of {task['id']}: {type(error).__name__}: {error}"
    return ""


def _stored(frames: np.ndarray, config: PreprocessConfig) -> np.ndarray:
    if config.storage == "raw":
        return np.ascontiguousarray(frames).reshape(-1)
    if not frames.any():
        return _black(frames.shape, config.jpeg_quality)
    from mindface_eri.preprocess.storage import encode_jpeg

    return np.frombuffer(encode_jpeg(frames, config.jpeg_quality), np.uint8)


@functools.lru_cache(maxsize=1)
def _black(shape: Tuple[int, ...], quality: int) -> np.ndarray:
    """The JPEG of a clip without a face; encoding it anew for each would double the time of a clip of sound alone."""
    from mindface_eri.preprocess.storage import encode_jpeg

    return np.frombuffer(encode_jpeg(np.zeros(shape, np.uint8), quality), np.uint8)


def _fault(clip: Any, config: PreprocessConfig) -> str:
    """Why an extracted clip cannot be stored; empty where it can."""
    size = config.face.size
    for name, shape in (("frames", (config.frames, size, size, 3)), ("mfcc", (config.frames, config.audio.features)),
                        ("landmarks", (config.frames, *LANDMARKS))):
        if np.shape(getattr(clip, name)) != shape:
            return f"{name} came out as {np.shape(getattr(clip, name))}, expected {shape}"
    for name, what in (("mfcc", "MFCC"), ("landmarks", "landmarks")):
        if not np.isfinite(getattr(clip, name)).all():
            return f"the {what} hold values that are not finite"
    made = getattr(clip, COPIES, None)
    if made is not None and (made.shape != (len(config.augment.speeds), *clip.mfcc.shape)
                             or not np.isfinite(made).all()):
        return f"the copies of the sound came out as {made.shape}, or hold values that are not finite"
    if not np.any(clip.present):
        return "neither a face nor sound was found"
    return ""


def _copies(clip: Any, config: PreprocessConfig) -> Dict[str, np.ndarray]:
    """The field of the copies of a clip's sound, where these records have one."""
    if not config.augment.speeds:
        return {}
    made = getattr(clip, COPIES, None)
    return {COPIES: np.zeros(1, np.uint8) if made is None else np.ascontiguousarray(made, np.float32).view(np.uint8)
            .reshape(-1)}


def _row(clip: Any, config: PreprocessConfig) -> Dict[str, Any]:
    """What clips.csv says of a clip."""
    made = getattr(clip, COPIES, None)
    copies = {COPIES: 0 if made is None else len(made)} if config.augment.speeds else {}
    present = {f"present_{name}": int(value) for name, value in zip(MODALITIES, clip.present)}
    return {**present, "detector": clip.detector, "found_share": round(float(clip.found_share), 4),
            "others": int(clip.others), "duration": round(float(clip.duration), 4), "fps": round(float(clip.fps), 4),
            "width": int(clip.width), "height": int(clip.height), "quality": clip.quality,
            "content_hash": clip.content_hash(), **copies}
