# SPDX-License-Identifier: Apache-2.0
"""The answer for one clip: what was found in it, what the network says, and where it looked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mindface_eri.preprocess.clip import Clip


@dataclass(frozen=True)
class Prediction:
    """N sampled instants of one clip, E emotions, S segments of time; of a clip that failed, its name and `error`."""

    name: str
    emotions: Tuple[str, ...]
    clip: Optional[Clip] = None  # with N instants
    intensities: Optional[np.ndarray] = None  # (E,); of a timeline, the mean over time
    segments: Optional[np.ndarray] = None  # (S, 2) seconds from the clip's first instant; one but for a timeline
    values: Optional[np.ndarray] = None  # (S, E), NaN where there is neither a face nor a sound
    temporal: Optional[np.ndarray] = None  # (N,) attention weights; None where none were asked for, or there are none
    spatial: Optional[np.ndarray] = None  # (N, h, w)
    moments: Optional[np.ndarray] = None  # (K,) seconds at which `moving` values hold, for a drawing over time
    moving: Optional[np.ndarray] = None  # (K, E), NaN where there is neither; a timeline's own, or where asked for
    window: float = 0.0  # seconds of a timeline's windows; 0 where the clip was taken whole
    hop: float = 0.0
    error: str = ""  # why there is no answer
    path: Optional[Path] = None  # the file that was taken apart; None where a `Clip` was given
    sound: Optional[Path] = None  # a sound file beside it

    @property
    def is_timeline(self) -> bool:
        """Whether the answer has a row a segment."""
        return self.window > 0

    def rows(self) -> List[Dict[str, Any]]:
        """The answer's rows: one, or, of a timeline, one a segment with its `start` and `end` in seconds.

        A clip, or a segment, without an answer has `error` instead of intensities.
        """
        if self.error:
            return [{"File_ID": self.name, "error": self.error}]
        if not self.is_timeline:
            return [{"File_ID": self.name, **self._named(self.intensities)}]
        rows = []
        for (start, end), row in zip(self.segments, self.values):
            answer = self._named(row) if np.isfinite(row).all() else {"error": "neither face nor sound here"}
            rows.append({"File_ID": self.name, "start": round(float(start), 3), "end": round(float(end), 3), **answer})
        return rows

    def _named(self, values: np.ndarray) -> Dict[str, float]:
        return dict(zip(self.emotions, map(float, values)))

    def worth_showing(self) -> np.ndarray:
        """(N,) how much a crop is worth showing: how well its face was seen, then how much it was attended to."""
        worth = self.clip.detected.astype(float)
        if self.temporal is not None:
            worth = worth + 0.9 * self.temporal / max(float(self.temporal.max()), 1e-12)
        return worth
