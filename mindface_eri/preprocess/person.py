# SPDX-License-Identifier: Apache-2.0
"""A track: one face's landmarks over time, how it looks, and what tells whose it is."""

from __future__ import annotations

from typing import Any, Dict, Optional, Set, Tuple

import numpy as np

_PORTRAITS = 3  # faces of a track that are kept to tell whose they are


class Person:
    """A track: one face's landmarks over the frames in which it was followed without a long break or a cut."""

    def __init__(self) -> None:
        self.landmarks: Dict[int, np.ndarray] = {}  # frame number -> (68, 2) float32
        self.last = -1  # frame number of the newest landmarks
        self.seen: Set[int] = set()  # frame numbers in which the detector saw the face; elsewhere it was followed
        self.look: Optional[np.ndarray] = None  # of the newest landmarks, see `cuts.face_of`
        self.mark: Tuple[int, np.ndarray] = (-1, np.zeros(0))  # frame number and look of about a second ago
        self.before: Optional[Tuple[Person, int]] = None  # the track it was split from, see `split`
        self.portraits: Dict[int, Any] = {}  # frame number -> `identity.Portrait`
        self._offset = np.zeros(2)
        self._ratio = 1.0
        self._spread = 1

    def add(self, number: int, landmarks: np.ndarray, box: Optional[np.ndarray] = None) -> None:
        """Takes a frame's landmarks; `box` is the detector's, which anchors the boxes of the following frames."""
        self.landmarks[number] = landmarks
        self.last = number
        if box is not None:
            self.seen.add(number)
            centre, spread = middle(landmarks)
            self._offset = ((box[:2] + box[2:]) / 2 - centre) / spread
            self._ratio = (box[2] - box[0]) / 2 / spread

    def split(self, since: int, portrait: Any) -> Person:
        """Takes the newest frame away, as the begin of a track of its own that may be another face's.

        since: frame number up to which this track is known to be one face's.
        """
        other = Person()
        box, other.look, other.before = self.box(), self.look, (self, since)
        self.portraits.pop(self.last, None)
        other.add(self.last, self.landmarks.pop(self.last), box)
        self.seen.discard(self.last)
        self.last = max(self.landmarks)
        other.keep(other.last, portrait, 1)
        return other

    def end_at(self, number: int) -> None:
        """Takes all later frames away."""
        self.landmarks = {k: marks for k, marks in self.landmarks.items() if k <= number}
        self.last = max(self.landmarks)

    def forget(self, first: int) -> None:
        """Takes all frames before this one away; portraits stay, as they say whose face it is."""
        if self.before is not None and self.before[1] < first:
            self.before[0].landmarks, self.before = {}, None  # nobody knows any more whose those frames are
        self.landmarks = {k: marks for k, marks in self.landmarks.items() if k >= first}
        self.seen = {k for k in self.seen if k >= first}

    def keep(self, number: int, portrait: Any, every: int) -> None:
        """Keeps a few portraits spread over the track, `every` frames apart at first and further as it grows."""
        newest = next(reversed(self.portraits), None)
        if newest is not None and number - newest < every * self._spread:
            return
        self.portraits[number] = portrait
        if len(self.portraits) > _PORTRAITS:
            self._spread *= 2
            self.portraits = dict(list(self.portraits.items())[::2])

    def box(self, landmarks: Optional[np.ndarray] = None) -> np.ndarray:
        """(4,) where a detector would see the face with these landmarks, by default the newest."""
        centre, spread = middle(self.landmarks[self.last] if landmarks is None else landmarks)
        centre = centre + self._offset * spread
        return np.concatenate([centre - self._ratio * spread, centre + self._ratio * spread])


def middle(landmarks: np.ndarray) -> Tuple[np.ndarray, float]:
    """(2,) the landmarks' mean, and how far they spread around it: the root of the mean square, pixels."""
    count = len(landmarks)  # sums, as `mean` takes as long as the rest of it for so few numbers
    centre = np.add.reduce(landmarks, axis=0) / count
    squares = np.add.reduce(np.add.reduce((landmarks - centre) ** 2, axis=1))
    return centre, max(float(np.sqrt(squares.dtype.type(squares / count))), 1e-3)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two boxes are apart: between centres in sides, plus the absolute logarithm of the sides' ratio."""
    sides = max(one[2] - one[0], 1e-3), max(other[2] - other[0], 1e-3)
    between = np.hypot(*((one[:2] + one[2:]) - (other[:2] + other[2:])) / 2)
    return float(between / ((sides[0] + sides[1]) / 2) + abs(np.log(sides[0] / sides[1])))
