# SPDX-License-Identifier: Apache-2.0
"""Finding and following one face through a clip (paper section 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, Tuple

import numpy as np

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.detectors import Landmarks, create_detector
from mindface_eri.preprocess.people import choose_person, count_others, join_people
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

    @property
    def share(self) -> float:
        """Share of the frames that show the face; frames not looked at count as the nearest one that was."""
        looked = np.flatnonzero(self.found | self.missed)
        if not len(looked):
            return 0.0
        borders = (looked[:-1] + looked[1:] + 1) // 2
        return float(self.found[looked[np.searchsorted(borders, np.arange(len(self.found)), side="right")]].mean())


def stride(config: FaceConfig, fps: float) -> int:
    """Frames from one examined frame to the next: 1 in mode every-frame, else `track_stride` or 10 a second."""
    if config.mode == "every-frame":
        return 1
    return config.track_stride or max(1, math.ceil(fps / _EXAMINED_RATE))


def follow_face(pictures: Iterable[Tuple[int, float, Picture]], config: FaceConfig, detector: str, fps: float,
                sampled: Callable[[float], bool]) -> FaceTrack:
    """Follows the person that `config.follow` names.

    Args:
        pictures: `(frame number, seconds, picture)` of all frames in order.
        detector: name of one.
        fps: frames a second, for the choice of the frames to examine.
        sampled: whether the frame at this second is one of those that will be cropped; these are always examined.
    """
    tracker = Tracker(create_detector(detector), Landmarks(), config)
    step, total, size = stride(config, fps), 0, (0, 0)

    def to_examine() -> Iterator[Tuple[int, Picture]]:
        nonlocal total, size
        last = -step
        for number, seconds, picture in pictures:
            total, size = number + 1, (picture.width, picture.height)
            if number - last >= step or sampled(seconds):
                last = number
                yield number, picture

    tracker.run(to_examine())
    landmarks, found, missed = np.zeros((total, 68, 2), np.float32), np.zeros(total, bool), np.zeros(total, bool)
    missed[tracker.examined] = True
    chains = join_people(tracker.people)
    if not chains:
        return FaceTrack(landmarks, found, missed, detector, 0)
    chosen = choose_person(chains, config.follow, size)
    for person in chains[chosen]:
        for number, marks in person.landmarks.items():
            landmarks[number], found[number] = marks, True
    return FaceTrack(landmarks, found, missed & ~found, detector,
                     count_others(chains, chosen, len(tracker.examined)))
