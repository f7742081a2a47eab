# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""Clips to measure on, where the user brings none: drawn people, at the size and length of real footage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.synthetic import Settings, render_clip
from mindface_eri.datasets.voice import SAMPLE_RATE
from mindface_eri.preprocess.writer import write_video


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
