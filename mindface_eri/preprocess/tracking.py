# SPDX-License-Identifier: Apache-2.0
"""Following faces from frame to frame by their landmarks, checked by a detector at the end of every block of frames.

A block is `redetect_every` frames long. Inside it only every n-th frame and the sampled ones are examined: each known
face's landmarks give the box for the next fit. At the block's end the detector looks at the whole reduced frame. If it
confirms every face, the fits stand; if it misses or moves one, finds a new one or one that was lost, or a fit was
implausible on the way or looked like another face, all examined frames of the block are searched by the detector. So
doubt costs time, never frames.

A cut ends a block and all tracks. Where a face looks another than the moment before, or slowly becomes another while
the scene does, its track ends and a new one begins. Whose they are is decided when all are there (`people`).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import numpy as np

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.cuts import CutFinder, alike, face_of, turned
from mindface_eri.preprocess.detectors import Detection
from mindface_eri.preprocess.person import Person, distance, middle
from mindface_eri.preprocess.video import Picture

_NEAR = 0.8  # distance, see `person.distance`, up to which two boxes are one face
_COMFORT = 100.0  # pixels of a face in the reduced frame, a little over what dlib's detector needs (80)


class Tracker:
    """Collects `people` (tracks), the `examined` frame numbers and the `cuts` while pictures pass by.

    Args:
        predict: `Landmarks`.
        portrait: `identity.Portrait`.
    """

    def __init__(self, detector, predict: Callable, config: FaceConfig, portrait: Callable) -> None:
        self._detector, self._predict, self._config, self._portrait = detector, predict, config, portrait
        self._cuts, self._dissolves = CutFinder(), CutFinder()
        self._compared = -1  # frame number of the last picture given to the finder of dissolves
        self._every = config.mode == "every-frame"
        self._scale: Optional[float] = None  # at which the detector works now
        self._last_look: Optional[int] = None  # frame number of the last closer look
        self._looks = 0
        self._active: List[Person] = []
        self.people: List[Person] = []
        self.examined: List[int] = []
        self.cuts: List[int] = []  # examined frames that begin another shot than the one examined before

    def run(self, pictures: Iterable[Tuple[int, Picture]]) -> None:
        """Takes the frames to examine, `(frame number, picture)`, in order of time."""
        block: List[Tuple[int, Picture]] = []
        for number, picture in pictures:
            if self._cuts.begins_shot(picture):
                if block:
                    self._close(block)
                self._active, block = [], []
                self.cuts.append(number)
            block.append((number, picture))
            if self._every or number - block[0][0] >= self._config.redetect_every:
                self._close(block)
                block = []
        if block:
            self._close(block)

    def forget(self, first: int) -> None:
        """Lets go of all frames before this one, for a film that goes on without end."""
        for person in self.people:
            person.forget(first)
        self.people = [person for person in self.people if person.landmarks]
        self._active = [person for person in self._active if person.landmarks]
        self.examined = [number for number in self.examined if number >= first]
        self.cuts = [number for number in self.cuts if number >= first]

    def _close(self, block: List[Tuple[int, Picture]]) -> None:
        """Examines a block; every so often it asks too whether the picture dissolved into another person's."""
        self._examine(block)
        number, picture = block[-1]
        if self._compared < 0 or number - self._compared >= self._config.redetect_every:
            self._compared = number
            changed = self._dissolves.begins_shot(picture)
            for person in [p for p in self._active if p.last == number]:
                since, look = person.mark
                if changed and since >= 0 and turned(look, person.look):
                    self._active.remove(person)
                    person = person.split(since, self._portrait(picture, person.landmarks[number]))
                    self._active.append(person)
                    self.people.append(person)
                person.mark = (number, person.look)
        if len(self.people) > 1:  # then portraits are asked for; until then nothing but a few pictures is kept
            for portrait in (portrait for person in self.people for portrait in person.portraits.values()):
                portrait.cut()

    def _examine(self, block: List[Tuple[int, Picture]]) -> None:
        """Searches the last frame and follows the people there through the block; searches all where the two differ."""
        before = self.examined[-1] if self.examined else -1
        self.examined.extend(number for number, _ in block)
        last, picture = block[-1]
        self._active = [p for p in self._active if block[0][0] - p.last <= max(self._config.gap_window, 1)]
        searched = {}
        if not self._active:  # perhaps somebody is there from the block's start
            first, image = block[0]
            searched[first] = self._search(first, image)
            self._place(first, image, searched[first])
        # One that was lost before is doubtful: what is fitted to the place where it was need not be a face.
        fits = [] if self._every else [self._follow(person, block) if person.last >= before else None
                                       for person in self._active]
        if last not in searched:
            searched[last] = self._search(last, picture)
        seen = searched[last]
        if not self._confirmed(fits, seen):
            for number, image in block:
                self._place(number, image, searched[number] if number in searched else self._search(number, image))
            return
        for person, fit in zip(self._active, fits):
            for (number, _), landmarks in zip(block[:-1], fit[:-1]):
                person.add(number, landmarks)
            person.look = face_of(block[-2][1], fit[-2]) if len(fit) > 1 else person.look
        if self._active:
            self._place(last, picture, seen)

    def _follow(self, person: Person, block: List[Tuple[int, Picture]]) -> Optional[List[np.ndarray]]:
        """The landmarks in each picture of the block, or None as soon as one is implausible or not that face's."""
        fits, landmarks, look = [], person.landmarks[person.last], person.look
        for _, picture in block:
            fit = self._predict(picture.solid_grey, person.box(landmarks))
            (old, spread), (new, width) = middle(landmarks), middle(fit)
            inside = 0 <= new[0] < picture.width and 0 <= new[1] < picture.height
            if not inside or not 0.7 < width / spread < 1.4 or np.hypot(*(new - old)) > spread:
                return None
            before, look = look, face_of(picture, fit)
            if not alike(before, look):
                return None
            fits.append(fit)
            landmarks = fit
        return fits

    def _confirmed(self, fits: list, seen: List[Detection]) -> bool:
        """Whether each followed face was detected again, and no other was."""
        if self._every or any(fit is None for fit in fits):
            return False
        boxes = [person.box(fit[-1]) for person, fit in zip(self._active, fits)]
        taken = _match(boxes, seen, _NEAR / 2)
        return len(taken) == len(boxes) and all(i in taken.values() for i, d in enumerate(seen) if d.sure)

    def _place(self, number: int, picture: Picture, seen: List[Detection]) -> None:
        """Gives each detected face to the track whose last box is nearest; sure ones left over begin new tracks.

        A face that looks another than its track's a moment before ends that track and, if sure, begins the next.
        """
        before = self.examined[bisect_left(self.examined, number) - 1]
        taken = _match([person.box() for person in self._active], seen, _NEAR)
        owner = {index: self._active[k] for k, index in taken.items()}
        for index, found in enumerate(seen):
            person, marks = owner.get(index), self._predict(picture.solid_grey, found.box)
            look = face_of(picture, marks)
            if person is not None and not alike(person.look, look, person.last < before):
                self._active.remove(person)
                person = None
            if person is None:
                if not found.sure:
                    continue
                person = Person()
                self._active.append(person)
                self.people.append(person)
            person.add(number, marks, found.box)
            person.look = look
            person.keep(number, self._portrait(picture, marks), self._config.redetect_every)

    def _search(self, number: int, picture: Picture) -> List[Detection]:
        """Faces in the whole frame, boxes in pixels of the frame; closer now and then if there are none."""
        full = min(1.0, self._detector.max_height / picture.height)
        if self._scale is None:
            self._scale = full if self._every else min(full, self._config.detect_height / picture.height)
        seen = self._detect(picture, self._scale)
        if self._every:
            return [found for found in seen if found.sure]
        due = self._last_look is None or number - self._last_look >= self._config.redetect_every
        if due and not self._active and not any(found.sure for found in seen):
            self._last_look = number
            closer = self._look_closer(picture, full)
            seen = closer or seen
        return seen

    def _look_closer(self, picture: Picture, full: float) -> List[Detection]:
        """Faces too small for the present scale: looked for at twice the scale, and every third time at full size."""
        scales = {min(full, 2 * self._scale)} | ({full} if self._looks % 3 == 0 else set())
        self._looks += 1
        for scale in sorted(scales - {self._scale}):
            seen = self._detect(picture, scale)
            sides = [found.box[2] - found.box[0] for found in seen if found.sure]
            if sides:  # look that closely from now on
                self._scale = min(full, max(self._scale, _COMFORT / max(sides)))
                return seen
        return []

    def _detect(self, picture: Picture, scale: float) -> List[Detection]:
        image = picture.rgb(scale) if self._detector.colour else picture.reduced_grey(scale)
        stretch = np.array([picture.width / image.shape[1], picture.height / image.shape[0]] * 2, np.float32)
        return [Detection(found.box * stretch, found.sure) for found in self._detector.find(image)]


def _match(boxes: List[np.ndarray], seen: List[Detection], limit: float) -> Dict[int, int]:
    """Index of a box -> index of its detection, nearest pairs first."""
    pairs = sorted((distance(box, found.box), k, i) for k, box in enumerate(boxes) for i, found in enumerate(seen))
    taken: Dict[int, int] = {}
    for apart, k, i in pairs:
        if apart <= limit and k not in taken and i not in taken.values():
            taken[k] = i
    return taken
