# SPDX-License-Identifier: Apache-2.0
"""Subjects before the network: clips taken apart, MFCC stacks; and the plain script that they stand beside."""

import numpy as np
import pytest

from mindface_eri.benchmark.features import benchmark_features
from mindface_eri.benchmark.literal import literal_clip
from mindface_eri.benchmark.preprocess import benchmark_preprocess, box_iou
from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess.clip import extract_clip

CONFIG = PreprocessConfig(frames=10, face=FaceConfig(detector="dlib"))


def test_the_plain_script_sees_the_same_face(clip):
    literal, ours = literal_clip(clip, CONFIG), extract_clip(clip, CONFIG)
    assert literal.found_share == 1.0 and literal.total == 20
    assert literal.frames.shape == ours.frames.shape and literal.mfcc.shape == ours.mfcc.shape
    assert box_iou(literal.boxes, ours.boxes).mean() > 0.85


def test_a_clip_gives_a_row_a_mode(clip):
    track, every = benchmark_preprocess([clip], repeats=2, config=CONFIG)
    assert track.what == f"{clip.name}, 480x270, 20 frames: track" and every.what.endswith(": every-frame")
    for row in (track, every):
        assert len(row.ours.samples) == len(row.theirs.samples) == len(row.bound.samples) == 2
        assert row.speedup == row.theirs.median / row.ours.median and 0 < row.share < 1
    assert float(track.note.split()[2].rstrip(";")) > 0.9


@pytest.mark.parametrize("stack", [1, 8])
def test_stacks_are_librosas_numbers(stack):
    config = PreprocessConfig(frames=6)
    audio = config.audio.__class__(coefficients=16, stack=stack)
    config = PreprocessConfig(frames=6, audio=audio)
    row, = benchmark_features([1.5], repeats=1, config=config)
    assert float(row.note.split()[2]) < 1e-3
    assert row.theirs.samples and row.bound is None


def test_box_iou_by_hand():
    one = np.array([[0, 0, 2, 2], [0, 0, 1, 1]], float)
    other = np.array([[1, 1, 3, 3], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(box_iou(one, other), [1 / 7, 0])
