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
"""Which frames are sampled, and what a clip without a face gives."""

from dataclasses import replace

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess.visual import Visual, sample


def test_nothing_is_all_zeros():
    empty = Visual.empty(np.array([0.0, 0.5, 1.5]), 40)
    assert (empty.frames.shape, empty.frames.dtype) == ((3, 40, 40, 3), np.uint8)
    assert (empty.boxes.shape, empty.boxes.dtype) == ((3, 4), np.float32)
    assert (empty.landmarks.shape, empty.landmarks.dtype) == ((3, 68, 2), np.float32)
    assert (empty.states.shape, empty.states.dtype) == ((3,), np.uint8)
    for array in (empty.frames, empty.boxes, empty.landmarks, empty.states):
        assert not array.any()
    assert (empty.detector, empty.found_share, empty.others, empty.duration, empty.fps) == ("none", 0.0, 0, 0.0, 0.0)
    assert np.isnan(empty.start) and not empty.present and (empty.width, empty.height, empty.note) == (0, 0, "")
    np.testing.assert_array_equal(empty.timestamps, [0.0, 0.5, 1.5])
    held = replace(empty, states=np.array([0, FRAME_STATES.index("held"), 0], np.uint8))
    assert held.present


def test_sampling_takes_the_nearest_frame_and_of_two_the_earlier():
    np.testing.assert_array_equal(sample(np.array([2.0, 3.0, 6.0]), 5), [0, 1, 1, 2, 2])  # 2 3 4 5 6
    np.testing.assert_array_equal(sample(np.array([0.0, 1.0, 4.0]), 3), [0, 1, 2])  # 2 is nearer to 1
    np.testing.assert_array_equal(sample(np.array([0.0, 2.0]), 3), [0, 0, 1])
    np.testing.assert_array_equal(sample(np.array([0.0, 2.0, 3.0]), 1), [0])
