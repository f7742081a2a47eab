# SPDX-License-Identifier: Apache-2.0
"""Mutated clips: whatever is done to a file, the answer is a clip or a MediaError, in bounded time."""

import random
import time

import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.video import probe, write_video

CONFIG = PreprocessConfig(frames=6, face=FaceConfig(detector="dlib"))


def mutate(data: bytearray, rng: random.Random) -> bytearray:
    """Flipped bits, a damaged header, a hole of zeros, a missing piece, or an early end."""
    kind, at = rng.choice(["flip", "head", "zero", "cut", "end"]), rng.randrange(len(data))
    if kind == "flip":
        for _ in range(rng.choice([1, 20, 500])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "head":
        for _ in range(10):
            data[rng.randrange(min(1500, len(data)))] = rng.randrange(256)
    elif kind == "zero":
        stop = min(len(data), at + rng.randrange(1, 20000))
        data[at:stop] = bytes(stop - at)
    elif kind == "cut":
        del data[at:at + rng.randrange(1, 10000)]
    else:
        del data[at:]
    return data


def check(path, whole, mutations, rng):
    outcomes = []
    for _ in range(mutations):
        path.write_bytes(mutate(bytearray(whole), rng))
        begin = time.monotonic()
        try:
            clip = extract_clip(path, CONFIG)
        except MediaError as error:
            assert str(path) in str(error)
            outcomes.append(False)
        else:
            assert clip.present.any() and np.isfinite(clip.mfcc).all() and np.isfinite(clip.landmarks).all()
            outcomes.append(True)
        assert time.monotonic() - begin < 60
    return outcomes


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_mutated_clips(tmp_path, face_picture, tone, suffix):
    path = tmp_path / f"clip.{suffix}"
    write_video(path, [face_picture(320, 240, [(130 + 4 * k, 120, 120)]) for k in range(10)], 20, tone[:8000])
    assert any(check(path, path.read_bytes(), 8, random.Random(0)))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "mpg"])
def test_many_mutated_clips(tmp_path, face_picture, tone, suffix):
    path = tmp_path / f"clip.{suffix}"
    frames = [face_picture(320, 240, [(130 + 4 * k, 120, 120)]) for k in range(10)]
    write_video(path, frames, 25, None if suffix == "mpg" else tone[:8000])
    outcomes = check(path, path.read_bytes(), 60, random.Random(1))
    assert any(outcomes) and not all(outcomes)


def test_every_truncation_of_the_header_is_an_answer(face_clip, tmp_path):
    whole, path = face_clip.read_bytes(), tmp_path / "t.mp4"
    for size in [1, 7, 8, 31, 40, 100, 500, len(whole) // 2]:  # the index of an MP4 written here is at its end
        path.write_bytes(whole[:size])
        with pytest.raises(MediaError, match="cannot be read"):
            probe(path)
