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
import numpy as np
import pytest

from mindface_eri.config import AudioConfig, DataConfig
from mindface_eri.datasets.transforms import FrameAugmenter, MfccAugmenter, TimeJitter, jitter_table

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
AUDIO = AudioConfig(coefficients=16, stack=4)
MFCC = np.random.default_rng(1).normal(size=(10, 64)).astype(np.float32)
MEAN = np.arange(64, dtype=np.float32) + 100


def test_one_flip_for_all_frames_of_a_clip():
    augment = FrameAugmenter(DataConfig(flip=0.5), seed=4)
    flipped = 0
    for index in range(200):
        out = augment(FRAMES, 0, index)
        mirrored = [np.array_equal(frame, original[:, ::-1]) for frame, original in zip(out, FRAMES)]
        assert all(mirrored) or np.array_equal(out, FRAMES)
        flipped += all(mirrored)
    assert 75 <= flipped <= 125


def test_colour_is_one_change_for_all_frames_and_keeps_order():
    out = FrameAugmenter(DataConfig(colour=1.0), seed=4)(FRAMES, 2, 7)
    assert out.dtype == np.uint8 and out.flags.c_contiguous and not np.array_equal(out, FRAMES)
    pairs = {}
    for before, after in zip(FRAMES.reshape(-1).tolist(), out.reshape(-1).tolist()):
        assert pairs.setdefault(before, after) == after
    values = [pairs[key] for key in sorted(pairs)]
    assert values == sorted(values)


@pytest.mark.parametrize("brightness, contrast, pixel, wanted", [
    (0, 0, 17, 17), (1, 0, 100, 164), (-1, 0, 30, 0), (0, 1, 0, 0), (0, 1, 137, 142), (0, -1, 0, 64),
    (0.5, 0, 250, 255),
])
def test_jitter_by_hand(brightness, contrast, pixel, wanted):
    assert jitter_table(brightness, contrast)[pixel] == wanted


def test_masks_are_the_mean_and_cover_a_coefficient_in_all_joined_frames():
    config = DataConfig(mfcc_feature_masks=1, mfcc_feature_mask_width=5)
    for index in range(50):
        out = MfccAugmenter(config, AUDIO, MEAN, seed=1)(MFCC, 0, index)
        masked = (out != MFCC).reshape(10, 4, 16)
        assert (masked == masked[:1, :1]).all(), "the same coefficients everywhere"
        assert masked[0, 0].sum() <= 5
        np.testing.assert_array_equal(out, np.where(masked.reshape(10, 64), MEAN, MFCC))
    assert out.dtype == np.float32


def test_time_masks_cover_whole_stacks_next_to_each_other():
    config = DataConfig(mfcc_time_masks=1, mfcc_time_mask_width=3)
    widths = set()
    for index in range(100):
        masked = MfccAugmenter(config, AUDIO, MEAN, seed=1)(MFCC, 0, index) != MFCC
        rows = np.flatnonzero(masked.any(axis=1))
        assert masked[rows].all() and (len(rows) < 2 or rows[-1] - rows[0] == len(rows) - 1)
        widths.add(len(rows))
    assert widths == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [1, 2, 32, 200])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_time_moves_by_no_more_than_the_jitter_and_never_backwards(count, share):
    jitter = TimeJitter(DataConfig(time_jitter=share), seed=2)
    instants = np.stack([jitter.instants(count, 0, index) for index in range(300)])
    moved = instants - np.arange(count)
    assert np.abs(moved).max() <= share * (count - 1) + 0.5
    assert (np.diff(instants) >= 0).all() and instants.min() >= 0 and instants.max() < count
    if count == 200:
        assert np.abs(moved).max() > 0.8 * share * count, "the whole of it is used"
        assert abs(moved.mean()) < 0.05 * share * count, "to either side"


def test_all_that_belongs_to_an_instant_moves_with_it():
    jitter, instants = TimeJitter(DataConfig(time_jitter=0.1), seed=2), np.arange(10)
    for index in range(20):
        frames, mfcc = (jitter(np.tile(instants[:, None], (1, width)), 3, index) for width in (2, 5))
        np.testing.assert_array_equal(frames[:, 0], mfcc[:, 0])
        np.testing.assert_array_equal(frames[:, 0], jitter(instants, 3, index))


@pytest.mark.parametrize("make", [
    lambda seed: FrameAugmenter(DataConfig(colour=1.0), seed),
    lambda seed: MfccAugmenter(DataConfig(mfcc_time_masks=2), AUDIO, MEAN, seed),
    lambda seed: TimeJitter(DataConfig(time_jitter=0.15), seed),
])
def test_draws_depend_on_seed_epoch_and_clip_alone(make):
    data = FRAMES if isinstance(make(0), FrameAugmenter) else MFCC
    before = data.copy()
    first = [make(3)(data, 1, index).tobytes() for index in range(8)]
    assert first == [make(3)(data, 1, index).tobytes() for index in range(8)]
    assert first != [make(3)(data, 2, index).tobytes() for index in range(8)]
    assert first != [make(4)(data, 1, index).tobytes() for index in range(8)]
    assert len(set(first)) > 1
    np.testing.assert_array_equal(data, before)
