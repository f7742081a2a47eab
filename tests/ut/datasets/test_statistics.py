# SPDX-License-Identifier: Apache-2.0
"""Mean and deviation of features: by hand, and those of the records."""

import math

import numpy as np

from mindface_eri.datasets.records import open_records
from mindface_eri.datasets.statistics import merged_statistics, mfcc_statistics


def test_statistics_by_hand():
    clips = [np.float32([[1, 5, 2]]), np.float32([[2, 5, 4], [6, 5, 0], [7, 5, 2]]), np.float32([[4, 5, 7]] * 4)]
    mean, std = merged_statistics(clips, 3)
    np.testing.assert_allclose(mean, [4, 5, 4.5], rtol=1e-6)
    np.testing.assert_allclose(std, [math.sqrt(26 / 8), 1, np.std([2, 4, 0, 2, 7, 7, 7, 7])], rtol=1e-6)
    assert (mean.dtype, std.dtype) == (np.float32, np.float32), "a feature that never changes has deviation 1"
    nearly = merged_statistics([np.array([[0, 0], [3e-5, 1e-5]])], 2)[1]
    np.testing.assert_allclose(nearly, [1.5e-5, 1], rtol=1e-5)


def test_mfcc_statistics_are_those_of_the_training_clips_with_sound(records_folder, tiny, content):
    records = open_records(records_folder)
    clips = [content(int(clip_id), tiny) for clip_id in records.ids("train")]
    stacks = np.concatenate([clip.mfcc for clip in clips if clip.present[1]]).astype(np.float64)
    assert len(stacks) < 4 * len(clips) or all(clip.present[1] for clip in clips)
    np.testing.assert_allclose(records.mfcc_mean, stacks.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(records.mfcc_std, stacks.std(axis=0), rtol=1e-6)


def test_without_sound_the_statistics_change_nothing():
    mean, std = mfcc_statistics([], [], 8)
    assert mean.tolist() == [0.0] * 8 and std.tolist() == [1.0] * 8
