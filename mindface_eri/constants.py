# SPDX-License-Identifier: Apache-2.0
"""Names that the whole package agrees on.

Axis letters in shape comments: B clips in a batch, T sampled frames of a clip, H and W pixels, C channels,
N tokens of a frame's feature map, D feature width, E emotions, M MFCC features of one stack.
"""

# The seven intensities of Hume-Reaction, in the order of the data set and of the paper's tables.
EMOTIONS = ("Adoration", "Amusement", "Anxiety", "Disgust", "Empathic-Pain", "Fear", "Surprise")

# Order of the two entries of `present` (B, 2).
MODALITIES = ("visual", "acoustic")

# One face's points: dlib's 68 landmarks, x and y.
LANDMARKS = (68, 2)

# Canonical split names, and the spellings met in the two packagings of the data set.
SPLITS = ("train", "val", "test")
SPLIT_ALIASES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "devel": "val", "dev": "val",
                 "test": "test"}

# How a sampled frame's face was obtained; stored as the index into this tuple. "none" repeats the nearest crop; "held",
# in records of version 0.1 only, is the nearest frame's geometry, whatever was to be seen there.
FRAME_STATES = ("none", "held", "interpolated", "detected")

# ImageNet statistics of RGB in [0, 1], which the stem's weights were trained with (paper section 3.2).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
