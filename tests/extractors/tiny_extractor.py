# SPDX-License-Identifier: Apache-2.0
"""Stands for extract_clip: the "media" are text files with two numbers, one to be seen and one to be heard."""

from pathlib import Path

import numpy as np
from fake_extractor import FakeClip


def extract(path, config, *, audio_path=None):
    text = Path(path).read_text()
    seen, heard = map(float, text.split())
    random = np.random.default_rng(list(text.encode()))
    count, size = config.frames, config.face.size
    ramp = np.linspace(0, 1, size)[None, :, None, None] * np.ones((1, 1, size, 3))
    frames = np.clip(40 + 170 * seen * ramp + random.normal(0, 8, (count, 1, 1, 3)), 0, 255).astype(np.uint8)
    mfcc = (3 * heard + random.normal(0, 1, (count, config.audio.features))).astype(np.float32)
    return FakeClip(frames, mfcc, np.ones(2, np.float32), np.arange(count, dtype=np.float32),
                    np.zeros((count, 4), np.float32), np.full(count, 3, np.uint8))
