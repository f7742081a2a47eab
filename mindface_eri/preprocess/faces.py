# SPDX-License-Identifier: Apache-2.0
"""Finding and following one face through a clip (paper section 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, Tuple

import numpy as np

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.detectors import Landmarks, create_detector
from mindface_eri.preprocess.identity import Portrait, check_person
from mindface_eri.preprocess.people import choose_person, count_alike, count_others, join_people, taken_places
from mindface_eri.preprocess.tracking import Tracker
from mindface_eri.preprocess.video import Picture

_EXAMINED_RATE = 10.0  # frames a second that are examined at least, in track mode with track_stride 0


@dataclass(frozen=True)
class FaceTrack:
    """One person's face over all N frames of a clip."""

    landmarks: np.ndarray  # (N, 68, 2) float32, meaningful where found
    found: np.ndarray  # (N,) bool
    missed: np.ndarray  # (N,) bool: looked for in vain; neither: not looked for
    detector: str
    others: int  # other people seen
    seen: np.ndarray  # (N,) bool: found by the detector itself; otherwise found means followed from where it was seen
    cuts: Tuple[int, ...] = ()  # frame numbers that begin a shot
    taken: Tuple[int, ...] = ()  # frame numbers in which somebody else is in this face's place
    stranger: bool = False  # there are faces, but none is that of the photograph
    alike: int = 0  # people whose faces may be that of the photograph

    @property
    def share(self) -> float:
        """Share of the frames that show the face; frames not looked at count as the nearest one that was."""
        return self._share(self.found)

    @property
    def followed_share(self) -> float:
        """Share of the frames in which the face was only followed by its landmarks, between two that were seen."""
        return self._share(self.found & ~self.seen)

    def _share(self, those: np.ndarray) -> float:
        looked = np.flatnonzero(self.found | self.missed)
        if len(looked) == 0:
            return 0.0
        borders = (looked[:-1] + looked[1:] + 1) // 2
        return float(those[looked[np.searchsorted(borders, np.arange(len(those)), side="right")]].mean())


def stride(config: FaceConfig, fps: float) -> int:
    """Frames from one examined frame to the next: 1 in mode every-frame, else `track_stride` or 10 a second."""
    if config.mode == "every-frame":
        return 1
    return config.track_stride or max(1, math.ceil(fps / _EXAMINED_RATE))


def follow_face(pictures: Iterable[Tuple[int, float, Picture]], config: FaceConfig, detector: str, fps: float,
                sampled: Callable[[float], bool]) -> FaceTrack:
    """Follows the person that `config.follow` names, across cuts and where the face was lost for a while.

    Args:
        pictures: `(frame number, seconds, picture)` of all frames in order.
        detector: name of one.
        fps: frames a second, for the choice of the frames to examine.
        sampled: whether the frame at this second is one of those that will be cropped; these are always examined.

    Raises:
        ConfigError: there is no such detector, or nobody to be seen on the photograph that `config.follow` names.
    """
    follower = Follower(config, detector)
    step, total, size = stride(config, fps), 0, (0, 0)

    def to_examine() -> Iterator[Tuple[int, Picture]]:
        nonlocal total, size
        last = -step
        for number, seconds, picture in pictures:
            total, size = number + 1, (picture.width, picture.height)
            if number - last >= step or sampled(seconds):
                last = number
                yield number, picture

    follower.run(to_examine())
    return follower.track(0, total, size)


class Follower:
    """Takes pictures, in one go or bit by bit, and says whom of those seen in them is followed, and where.

    Raises:
        ConfigError: as `follow_face`.
    """

    def __init__(self, config: FaceConfig, detector: str) -> None:
        check_person(config.follow)
        self._tracker, self._config, self._detector = (
            Tracker(create_detector(detector), Landmarks(), config, Portrait), config, detector)

    def run(self, pictures: Iterable[Tuple[int, Picture]]) -> None:
        """Examines pictures, `(frame number, picture)`; the detector looks at the last of them in any case."""
        self._tracker.run(pictures)

    def forget(self, first: int) -> None:
        """Lets go of what was in frames before this one."""
        self._tracker.forget(first)

    def track(self, first: int, end: int, size: Tuple[int, int]) -> FaceTrack:
        """The chosen person's face in frames `first` up to `end`, which are numbered from 0 in the answer.

        size: width and height of the pictures.
        """
        tracker, config, total = self._tracker, self._config, end - first
        landmarks = np.zeros((total, 68, 2), np.float32)
        found, missed, seen = np.zeros(total, bool), np.zeros(total, bool), np.zeros(total, bool)
        missed[np.array(tracker.examined, int) - first] = True
        chains = join_people(tracker.people, tracker.cuts)
        chosen = choose_person(chains, config.follow, size) if chains else -1
        others = count_others(chains, chosen, len(tracker.examined))
        if chosen < 0:
            return FaceTrack(landmarks, found, missed, self._detector, others, seen, stranger=bool(chains))
        for person in chains[int(chosen)]:
            for number, marks in person.landmarks.items():
                at = number - first
                landmarks[at], found[at], seen[at] = marks, True, number in person.seen
        cuts, taken = (tuple(number - first for number in numbers)
                       for numbers in (tracker.cuts, taken_places(chains, chosen)))
        return FaceTrack(landmarks, found, missed & ~found, self._detector, others, seen, cuts, taken,
                         alike=count_alike(chains, config.follow, len(tracker.examined)))
