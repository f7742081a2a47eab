# SPDX-License-Identifier: Apache-2.0
"""Clips to measure on, where the user brings none: drawn people, at the size and length of real footage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mindface_eri.constants import EMOTIONS
from mindface_eri.preprocess.writer import write_video
from mindface_eri.synthetic.corpus import Settings, render_clip
from mindface_eri.synthetic.voice import SAMPLE_RATE


def drawn_clip(folder: os.PathLike, *, height: int = 720, seconds: float = 5.0, fps: int = 30) -> Path:
    """Writes one 16:9 clip of a drawn, speaking person, drawn at 640x360 and enlarged."""
    import cv2

    settings = Settings(3, 0, (seconds, seconds), (fps, fps), (640, 360), EMOTIONS)
    frames, waveform, _ = render_clip(settings, 0)
    path = Path(folder) / f"drawn-{height}p.mp4"
    size = (round(height * 16 / 9 / 2) * 2, height)
    write_video(path, (cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames), fps, waveform,
                SAMPLE_RATE)
    return path


def drawn_sound(seconds: float, sample_rate: int) -> np.ndarray:
    """(samples,) float32 of a computed voice, as if spoken at `sample_rate`."""
    settings = Settings(3, 0, (seconds, seconds), (1, 1), (64, 64), EMOTIONS)
    return np.resize(render_clip(settings, 0)[1], round(seconds * sample_rate))
