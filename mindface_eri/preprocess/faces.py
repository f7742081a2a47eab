"""Finding and following one face through a clip (paper section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Tuple

import numpy as np

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.detectors import DlibDetector, Landmarks, MtcnnDetector
from mindface_eri.preprocess.video import Picture


@dataclass(frozen=True)
class FaceTrack:
    """One person's face over all N frames of a clip."""

    landmarks: np.ndarray  # (N, 68, 2) float32, meaningful where found
    found: np.ndarray  # (N,) bool
    missed: np.ndarray  # (N,) bool: looked for in vain
    detector: str
    others: int  # other people seen

    @property
    def share(self) -> float:
        """Frames with the face over frames in which it was looked for."""
        looked = int(self.found.sum() + self.missed.sum())
        return float(self.found.sum() / looked) if looked else 0.0


def follow_face(pictures: Iterable[Tuple[int, float, Picture]], config: FaceConfig, detector: str) -> FaceTrack:
    """Runs `detector` ("dlib" or "mtcnn") over the pictures."""
    finder = DlibDetector() if detector == "dlib" else MtcnnDetector()
    predict = Landmarks()
    rows, found = [], []
    for _, _, picture in pictures:
        scale = min(1.0, max(config.detect_height, 240) / picture.height)
        image = picture.rgb(scale) if finder.colour else picture.reduced_grey(scale)
        boxes = finder.find(image)
        found.append(bool(boxes))
        if boxes:
            box = max(boxes, key=lambda b: b[2] - b[0])
            rows.append(predict(np.ascontiguousarray(picture.grey), box / scale))
        else:
            rows.append(np.zeros((68, 2), np.float32))
    mask = np.array(found, bool)
    return FaceTrack(np.array(rows, np.float32).reshape(-1, 68, 2), mask, ~mask, detector, 0)
