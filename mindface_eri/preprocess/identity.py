# SPDX-License-Identifier: Apache-2.0
"""Who a face is: dlib's face recognition network, 128 numbers a face, which stay in memory and are never written.

A face takes about 80 ms on one core, so only doubt is worth it: two tracks are told apart by one face of each, and by
more of them only where these do not decide.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from typing import Optional

import numpy as np

from mindface_eri.errors import ConfigError
from mindface_eri.preprocess.detectors import DlibDetector, Landmarks, MtcnnDetector, dlib_module, recognition_model
from mindface_eri.preprocess.geometry import face_boxes
from mindface_eri.preprocess.person import Person
from mindface_eri.preprocess.picture import Picture

CHOICES = ("longest", "largest", "first", "center")  # of whom to follow, besides a photograph
# Distances of 36 people, three films each: one person's at most 0.37, two people's at least 0.54, 1% below 0.62.
SAME = 0.55  # distance up to which two faces are one person's
SAME_PLACE = 0.62  # likewise of a face that is found about where it was lost, in one shot
_PLAIN = 0.1  # from `SAME` on either side: the first two faces do not decide
_CHIP, _PADDING = 150, 0.25  # what the network was trained on
_PHOTO_SIDE = 1600  # pixels; larger photographs are reduced


class Portrait:
    """One face of a track, cut out of its picture when its numbers are asked for or the picture is to be let go."""

    def __init__(self, picture: Picture, landmarks: np.ndarray) -> None:
        self._picture: Optional[Picture] = picture
        self._landmarks = landmarks  # (68, 2) pixels
        self._cut: Optional[np.ndarray] = None

    def cut(self) -> np.ndarray:
        """(150, 150, 3) uint8 RGB: the face upright, as the recognition network takes it."""
        if self._cut is None:
            part, corner = self._picture.rgb_around(face_boxes(self._landmarks, 0.5))
            self._cut, self._picture = _chip(np.ascontiguousarray(part), self._landmarks - corner), None
        return self._cut

    @cached_property
    def numbers(self) -> np.ndarray:
        """(128,) float64, see `embed`."""
        return embed(self.cut())


def _chip(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    dlib = dlib_module()
    x0, y0, x1, y1 = (int(v) for v in (*landmarks.min(axis=0), *landmarks.max(axis=0)))
    points = [dlib.point(int(round(float(x))), int(round(float(y)))) for x, y in landmarks]
    shape = dlib.full_object_detection(dlib.rectangle(x0, y0, x1, y1), points)
    return dlib.get_face_chip(rgb, shape, size=_CHIP, padding=_PADDING)


def embed(chip: np.ndarray) -> np.ndarray:
    """(128,) float64 of an upright face (150, 150, 3) uint8 RGB; those of one person are near each other.

    Raises:
        MissingDependencyError: dlib or the network's file is not there.
    """
    return np.array(_network(str(recognition_model())).compute_face_descriptor(chip))


@lru_cache(maxsize=1)
def _network(path: str):
    return dlib_module().face_recognition_model_v1(path)


@lru_cache(maxsize=4)
def photographed(path: str) -> np.ndarray:
    """(128,) float64 of the largest face in a photograph.

    Raises:
        ConfigError: there is no such file, it is no picture, or shows no face.
    """
    import cv2

    there = os.path.isfile(path) and os.path.getsize(path) > 0
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if there else None
    if stored is None:
        what = "cannot be read as a picture" if there else "no such file"
        raise ConfigError(f"preprocess.face.follow (--person) {path}: {what}; give a photograph (JPEG, PNG) of the one "
                          f"to follow, or one of {', '.join(CHOICES)}")
    scale = min(1.0, _PHOTO_SIDE / max(stored.shape[:2]))
    rgb = cv2.cvtColor(cv2.resize(stored, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = [face for face in DlibDetector().find(grey) if face.sure] or MtcnnDetector().find(rgb)
    if not found:
        raise ConfigError(f"preprocess.face.follow (--person) {path}: no face is found in this photograph; take one "
                          "that shows it from the front")
    largest = max(found, key=lambda face: face.box[2] - face.box[0])
    return embed(_chip(rgb, Landmarks()(grey, largest.box)))


def check_person(follow: str) -> None:
    """Refuses what `preprocess.face.follow` cannot be with a ConfigError: neither a word nor a person's photograph."""
    if follow not in CHOICES:
        photographed(follow)


def apart(one: Person, other: Person) -> float:
    """Distance of two tracks' faces: of the first two, or the median of all pairs where these do not decide."""
    if not one.portraits or not other.portraits:
        return np.inf
    first = float(np.linalg.norm(_faces(one, 1) - _faces(other, 1)))
    if abs(first - SAME) > _PLAIN:
        return first
    between = _faces(one)[:, None] - _faces(other)[None]  # (n, m, 128)
    return float(np.median(np.linalg.norm(between, axis=2)))


def apart_from(face: np.ndarray, track: Person) -> float:
    """How far a track's nearest face is from `face` (128,)."""
    return float(np.linalg.norm(_faces(track) - face, axis=1).min()) if track.portraits else np.inf


def _faces(track: Person, most: Optional[int] = None) -> np.ndarray:
    """(n, 128) of the track's first faces, or of all."""
    return np.array([portrait.numbers for portrait in list(track.portraits.values())[:most]])
