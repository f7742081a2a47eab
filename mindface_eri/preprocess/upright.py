# SPDX-License-Identifier: Apache-2.0
"""A hint where a recording seems to lie on its side or head: faces are found in turned pictures rather than in its own.

Detectors find upside-down faces now and then, with landmarks that mean nothing.
"""

from __future__ import annotations

from typing import Iterable, List, Optional

import numpy as np

from mindface_eri.preprocess.detectors import frontal_detector
from mindface_eri.preprocess.picture import Picture

_LOOKS = 4  # pictures looked at, in all four turns
_HEIGHT = 360  # pixels of the shorter side that are enough
_SAID = {1: "the person seems to lie on the side; turn the recording by 90 degrees counter-clockwise",
         2: "the person seems to be upside down; turn the recording by 180 degrees",
         3: "the person seems to lie on the side; turn the recording by 90 degrees clockwise"}


def upright_hint(pictures: Iterable[Picture]) -> str:
    """A sentence if most of some pictures show dlib a face more clearly when they are turned, all in the same way."""
    pictures = list(pictures)
    chosen = [pictures[k] for k in np.unique(np.linspace(0, len(pictures) - 1, _LOOKS).astype(int))] if pictures else []
    best: List[Optional[int]] = []
    for picture in chosen:
        best.append(_clearest_turn(picture))
        left = len(chosen) - len(best)
        if all(2 * (best.count(turns) + left) <= len(chosen) for turns in _SAID):  # whatever the others show
            return ""
    return next((words for turns, words in _SAID.items() if 2 * best.count(turns) > len(chosen)), "")


def _clearest_turn(picture: Picture) -> Optional[int]:
    """Quarters counter-clockwise by which the picture shows a face most clearly, None if it shows none."""
    grey = picture.reduced_grey(min(1.0, _HEIGHT / min(picture.width, picture.height)))
    scores = []
    for turns in range(4):
        _, found, _ = frontal_detector().run(np.ascontiguousarray(np.rot90(grey, turns)), 0, 0.0)
        scores.append(max(found, default=-np.inf))
    return int(np.argmax(scores)) if max(scores) > -np.inf else None
