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
"""What the package agrees on with its data set, its records and the weights of its stem: none of it may drift."""

from mindface_eri import constants


def test_names_and_their_order():
    assert constants.EMOTIONS == ("Adoration", "Amusement", "Anxiety", "Disgust", "Empathic-Pain", "Fear", "Surprise")
    assert constants.MODALITIES == ("visual", "acoustic")
    assert constants.SPLITS == ("train", "val", "test")
    assert constants.FRAME_STATES == ("none", "held", "interpolated", "detected")  # records hold the indices


def test_spellings_of_splits():
    assert constants.SPLIT_ALIASES == {
        "train": "train", "val": "val", "valid": "val", "validation": "val", "devel": "val", "dev": "val",
        "test": "test"}


def test_statistics_of_imagenet():
    assert constants.IMAGENET_MEAN == (0.485, 0.456, 0.406) and constants.IMAGENET_STD == (0.229, 0.224, 0.225)
