# SPDX-License-Identifier: Apache-2.0
"""Stands for extract_clip in tests: the "media" are text files that say what is to happen."""

import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError


@dataclass(frozen=True)
class FakeClip:
    frames: np.ndarray
    mfcc: np.ndarray
    present: np.ndarray
    timestamps: np.ndarray
    boxes: np.ndarray
    detected: np.ndarray
    detector: str = "dlib"
    found_share: float = 1.0
    others: int = 0
    duration: float = 2.0
    fps: float = 25.0
    width: int = 64
    height: int = 48
    quality: str = "face in 100% of frames"

    @property
    def landmarks(self):
        """Faces about (100, 80), zeros where there is none."""
        rng = np.random.default_rng(list(self.content_hash()[:8].encode()))
        faces = np.array([100, 80]) + rng.normal(0, 20, (len(self.boxes), 68, 2))
        return (faces * self.present[0]).astype(np.float32)

    def content_hash(self):
        return hashlib.sha256(self.frames.tobytes() + self.mfcc.tobytes()).hexdigest()


def content(seed, config):
    """The clip that a file holding the number `seed` gives."""
    rng = np.random.default_rng(seed)
    count, size = config.frames, config.face.size
    slope = np.linspace(0, 1, size)[:, None] * np.linspace(0, 1, size)[None]
    shades = rng.integers(20, 236, (count, 1, 1, 3)) * 0.5 + 100 * slope[None, :, :, None]
    frames = np.zeros((count, size, size, 3), np.uint8) if seed == 0 else shades.astype(np.uint8)
    return FakeClip(frames, rng.normal(seed, 2, (count, config.audio.features)).astype(np.float32),
                    np.array([1, seed % 5 != 4], np.float32), np.arange(count, dtype=np.float32),
                    rng.random((count, 4)).astype(np.float32), np.full(count, 3, np.uint8))


def extract(path, config, *, audio_path=None):
    text = Path(path).read_text()
    word, _, rest = text.partition(" ")
    if word == "slow":
        time.sleep(0.02)
        word, _, rest = rest.partition(" ")
    if word == "log":  # who was extracted, for counting
        log, _, word = rest.partition(" ")
        with open(log, "a") as stream:
            stream.write(f"{Path(path).stem}\n")
    if word == "media":
        raise MediaError(f"{path}: no picture, no sound")
    if word == "odd":
        raise ZeroDivisionError("by an odd file")
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "parent":  # whoever started this process dies, and it with that
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if word == "hang":
        time.sleep(60)
    if word == "exit":
        print("chatter on standard output")
        os._exit(7)
    if word == "dependency":
        raise MissingDependencyError("faces need dlib: pip install dlib-bin")
    if word == "shape":
        return content(1, type(config)())
    return content(int(word), config)


@dataclass(frozen=True)
class CopiedClip(FakeClip):
    copies: Optional[np.ndarray] = None

    def content_hash(self):
        return hashlib.sha256((super().content_hash() + repr(self.copies)).encode()).hexdigest()


def extract_with_copies(path, config, *, audio_path=None, copies=False):
    """Copies of a sound hold it so many times as loud as they are fast."""
    clip = extract(path, config, audio_path=audio_path)
    wanted = copies and clip.present[1]
    sounds = np.stack([clip.mfcc * np.float32(speed) for speed in config.augment.speeds]) if wanted else None
    return CopiedClip(**vars(clip), copies=sounds)
