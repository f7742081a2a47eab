# SPDX-License-Identifier: Apache-2.0
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
