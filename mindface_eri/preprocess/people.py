# SPDX-License-Identifier: Apache-2.0
"""Who is who: tracks joined into people, and the one person whose face is followed."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

from mindface_eri.preprocess.identity import CHOICES, SAME, SAME_PLACE, apart, apart_from, photographed
from mindface_eri.preprocess.person import Person, distance

_NEAR = 1.5  # distance (see `person.distance`) up to which a face is found about where it was lost
_REMEMBERED = 8  # tracks at either end of a person's
_SERIOUS = 0.2  # share of the longest track's frames from which a track may be the person to follow


def join_people(people: Sequence[Person], cuts: Sequence[int]) -> List[List[Person]]:
    """Chains of tracks, each chain one person: never in two places at once, and with one face.

    Tracks that follow each other are joined by identity alone. Where no cut lies between them and the face is found
    about where it was lost, a little less likeness is enough.

    Args:
        cuts: frame numbers that begin a shot.
    """
    chains: List[List[Person]] = []
    for person in sorted(people, key=lambda p: min(p.landmarks)):
        earlier = [chain for chain in chains if chain[-1].last < min(person.landmarks)]
        unlike = [min(apart(track, person) for track in _known(chain)) - _limit(chain[-1], person, cuts)
                  for chain in earlier]
        if unlike and min(unlike) <= 0:
            earlier[int(np.argmin(unlike))].append(person)
        else:
            chains.append([person])
    for chain in chains:
        for track, since in (person.before for person in chain if person.before is not None):
            if track not in chain:  # one became the other, so nobody knows when
                track.end_at(since)
    return chains


def _known(chain: List[Person]) -> List[Person]:
    """The tracks by which a person is known again: all, or of very many the first and the newest."""
    return chain if len(chain) <= 2 * _REMEMBERED else chain[:_REMEMBERED] + chain[-_REMEMBERED:]


def _limit(before: Person, after: Person, cuts: Sequence[int]) -> float:
    """Distance of faces up to which two tracks are one person's."""
    begin = min(after.landmarks)
    near = distance(before.box(), after.box(after.landmarks[begin])) <= _NEAR
    return SAME_PLACE if near and not any(before.last < cut <= begin for cut in cuts) else SAME


def choose_person(chains: List[List[Person]], follow: str, size: Tuple[int, int]) -> int:
    """Index of the chain to follow: "longest" by frames, "largest" by median side, "first" by its begin, "center" by
    distance from the middle of the frame; all but "longest" among those seen at least a fifth as long as the longest.
    Otherwise `follow` is a photograph of the one to follow: -1 where nobody has that face.

    size: width and height of the frame, pixels.
    """
    if follow not in CHOICES:
        far = _far(chains, follow)
        return int(np.argmin(far)) if min(far) <= SAME_PLACE else -1
    lengths = np.array([sum(len(p.landmarks) for p in chain) for chain in chains])
    if follow == "longest":
        return int(lengths.argmax())
    serious = np.flatnonzero(lengths >= _SERIOUS * lengths.max())
    if follow == "first":
        return int(min(serious, key=lambda k: (min(chains[k][0].landmarks), -lengths[k])))
    boxes = [np.array([p.box(marks) for p in chains[k] for marks in p.landmarks.values()]) for k in serious]  # (n, 4)
    if follow == "largest":
        return int(serious[np.argmax([np.median(box[:, 2] - box[:, 0]) for box in boxes])])
    middle = np.array(size) / 2
    return int(serious[np.argmin([np.hypot(*((box[:, :2] + box[:, 2:]) / 2 - middle).T).mean() for box in boxes])])


def _far(chains: List[List[Person]], photograph: str) -> List[float]:
    """How far each one's nearest face is from the one in the photograph."""
    face = photographed(photograph)
    return [min(apart_from(face, track) for track in chain) for chain in chains]


def count_alike(chains: List[List[Person]], follow: str, examined: int) -> int:
    """People who may be the one in the photograph `follow`, and are seen as long as others must be to count; else 0."""
    if follow in CHOICES:
        return 0
    return sum(far <= SAME_PLACE and _seen(chain, examined) for chain, far in zip(chains, _far(chains, follow)))


def count_others(chains: List[List[Person]], chosen: int, examined: int) -> int:
    """People other than the chosen one, seen in at least 3 examined frames and 5% of them."""
    return sum(_seen(chain, examined) for k, chain in enumerate(chains) if k != chosen)


def _seen(chain: List[Person], examined: int) -> bool:
    """Whether somebody is more than a passing find."""
    return sum(len(p.landmarks) for p in chain) >= max(3.0, 0.05 * examined)


def taken_places(chains: List[List[Person]], chosen: int) -> List[int]:
    """Frame numbers in which somebody else's face is about where the chosen person's was or will be."""
    own = {number: track.box(marks) for track in chains[chosen] for number, marks in track.landmarks.items()}
    at, taken = np.array(sorted(own)), []
    for track in (track for k, chain in enumerate(chains) if k != chosen for track in chain):
        for number, marks in track.landmarks.items():
            place = int(np.searchsorted(at, number))
            around = at[max(place - 1, 0):place + 1]
            if number not in own and any(distance(own[int(k)], track.box(marks)) <= _NEAR for k in around):
                taken.append(number)
    return sorted(taken)
