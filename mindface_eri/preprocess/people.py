# SPDX-License-Identifier: Apache-2.0
"""Who is who: tracks joined into people, and the one person whose face is followed."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

from mindface_eri.preprocess.tracking import Person, distance

_JOIN = 1.5  # distance (see `tracking.distance`) up to which a face lost and one found later are the same person
_SERIOUS = 0.2  # share of the longest track's frames from which a track may be the person to follow


def join_people(people: Sequence[Person]) -> List[List[Person]]:
    """Chains of tracks, each chain one person: not at the same time, and each begins about where the last ended.

    A face that vanishes and one that appears later elsewhere are two people: the crop never jumps between them.
    """
    chains: List[List[Person]] = []
    for person in sorted(people, key=lambda p: min(p.landmarks)):
        begin = min(person.landmarks)
        first = person.box(person.landmarks[begin])
        near = sorted((distance(chain[-1].box(), first), k) for k, chain in enumerate(chains) if chain[-1].last < begin)
        if near and near[0][0] <= _JOIN:
            chains[near[0][1]].append(person)
        else:
            chains.append([person])
    return chains


def choose_person(chains: List[List[Person]], follow: str, size: Tuple[int, int]) -> int:
    """Index of the chain to follow: "largest" by median side, "center" by distance from the middle of the frame,
    "longest" by frames. The first two choose among those seen at least a fifth as long as the longest.

    size: width and height of the frame, pixels.
    """
    lengths = np.array([sum(len(p.landmarks) for p in chain) for chain in chains])
    if follow == "longest":
        return int(lengths.argmax())
    serious = np.flatnonzero(lengths >= _SERIOUS * lengths.max())
    boxes = [np.array([p.box(marks) for p in chains[k] for marks in p.landmarks.values()]) for k in serious]  # (n, 4)
    if follow == "largest":
        return int(serious[np.argmax([np.median(box[:, 2] - box[:, 0]) for box in boxes])])
    middle = np.array(size) / 2
    return int(serious[np.argmin([np.hypot(*((box[:, :2] + box[:, 2:]) / 2 - middle).T).mean() for box in boxes])])


def count_others(chains: List[List[Person]], chosen: int, examined: int) -> int:
    """People other than the chosen one, seen in at least 3 examined frames and 5% of them."""
    need = max(3.0, 0.05 * examined)
    return sum(sum(len(p.landmarks) for p in chain) >= need for k, chain in enumerate(chains) if k != chosen)
