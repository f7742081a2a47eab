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
"""Clips with drawn faces, which dlib finds, so that no one's likeness and no download is needed."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest

from mindface_eri.preprocess.video import write_video


def draw_face(canvas: np.ndarray, cx: float, cy: float, side: float, mouth: float = 0.2) -> None:
    """Draws a frontal face into `canvas` (H, W, 3) uint8; `side` is about the width of the head."""

    def ellipse(x, y, rx, ry, colour, start=0, end=360, thickness=-1):
        cv2.ellipse(canvas, (round(cx + x * side), round(cy + y * side)), (max(1, round(rx * side)),
                    max(1, round(ry * side))), 0, start, end, colour, thickness, cv2.LINE_AA)

    line = max(1, round(0.03 * side))
    ellipse(0, -0.12, 0.56, 0.68, (70, 50, 40))  # hair
    ellipse(0, 0, 0.5, 0.64, (224, 182, 156))
    for eye in (-0.2, 0.2):
        ellipse(eye, -0.1, 0.14, 0.09, (188, 142, 120))  # socket
        ellipse(eye, -0.1, 0.09, 0.045, (245, 245, 245))
        ellipse(eye, -0.1, 0.04, 0.045, (50, 35, 30))
        ellipse(eye, -0.2, 0.13, 0.06, (80, 55, 45), 200, 340, line)
    ellipse(0, 0.08, 0.05, 0.16, (236, 198, 172))
    ellipse(0, 0.18, 0.09, 0.04, (176, 128, 108))
    ellipse(0, 0.36, 0.17, 0.03 + 0.1 * mouth, (150, 60, 60))
    ellipse(0, 0.36, 0.12, 0.1 * mouth, (70, 20, 25))


def picture(width: int, height: int, faces) -> np.ndarray:
    """(height, width, 3) uint8 with faces [(cx, cy, side), ...] on a soft background."""
    canvas = np.full((height, width, 3), (120, 140, 150), np.uint8)
    canvas[:] = (canvas * np.linspace(0.8, 1.1, height)[:, None, None]).clip(0, 255).astype(np.uint8)
    for cx, cy, side in faces:
        draw_face(canvas, cx, cy, side)
    return cv2.GaussianBlur(canvas, (0, 0), 1.2)


@pytest.fixture(scope="session")
def face_picture():
    """The function that draws pictures with faces."""
    return picture


@pytest.fixture(scope="session")
def tone():
    """(24000,) float32: 1.5 s of a 440 Hz tone at 16 kHz."""
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(24000) / 16000)).astype(np.float32)


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory, tone):
    """A clip of 30 frames at 20 a second, 320x240, with a face that drifts to the right, and a tone."""
    path = tmp_path_factory.mktemp("clips") / "face.mp4"
    write_video(path, (picture(320, 240, [(130 + k, 120, 120)]) for k in range(30)), 20, tone)
    return path
