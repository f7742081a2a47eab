# SPDX-License-Identifier: Apache-2.0
"""A clip seen through overlapping windows: what each says, and what that makes of the time between."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from mindface_eri.errors import ERIError
from mindface_eri.prediction.windows import Grid
from mindface_eri.preprocess.clip import Clip


class Inputs(NamedTuple):
    """A batch for the network, all with the same first axis."""

    frames: np.ndarray  # (B, T, S, S, 3), or (B, T, C) where they were encoded apart
    mfcc: np.ndarray  # (B, T, M)
    landmarks: np.ndarray  # (B, T, 68, 2)
    present: np.ndarray  # (B, modalities)
    features: Dict[str, np.ndarray]  # of each feature set, (B, T, F)
    person: Optional[np.ndarray] = None  # (B, 2, 6, F), where the network takes it


class Answers(NamedTuple):
    """What the network says of a batch; the weights are None where it gives none."""

    values: np.ndarray  # (B, E)
    temporal: Optional[np.ndarray]  # (B, T)
    spatial: Optional[np.ndarray]  # (B, T, h, w)


class Seen(NamedTuple):
    """A clip's N frames as the network takes them, and the network, which answers for some of them."""

    frames: np.ndarray  # (N, S, S, 3) crops, or (N, C) vectors where they were encoded apart
    ask: Callable[[Inputs], Answers]
    spatial: Optional[np.ndarray] = None  # (N, h, w) weights that the encoding gave


def check_finite(answers: Answers) -> None:
    """Refuses what is no number (an `ERIError`): NaN, which no table and no page can tell from an answer."""
    if not all(part is None or np.isfinite(part).all() for part in answers):
        raise ERIError("the network's answer holds NaN or infinity: its weights are broken, or what it was given lies "
                       "far from all it was trained on")


def through_windows(clip: Clip, seen: Seen, grid: Grid, features: Dict[str, np.ndarray], there: Sequence[bool],
                    needed: List[int], silence: float, batch_size: int, notify: Callable[[str], None]
                    ) -> Dict[str, Any]:
    """Segments, values and weights of a `Prediction` over the clip's N instants.

    Args:
        seen: its frames, and the network.
        features: of each feature set (N, F), zeros where the clip has none.
        there: which of them it has.
        needed: columns of `present` of which a window must have one.
        silence: a peak below it is no sound.
        batch_size: windows that go through the network together.
        notify: receives how far it is.

    Raises:
        ERIError: the network's answer for a window is no number.
    """
    starts, parts = grid.starts, []
    here = _present(clip, grid, silence, there)  # (W, modalities)
    for first in range(0, len(starts), batch_size):
        index = starts[first:first + batch_size, None] + np.arange(grid.frames)  # (B, T)
        some = here[first:first + batch_size]
        own = {name: values[index] for name, values in features.items()}
        answers = seen.ask(Inputs(seen.frames[index], clip.mfcc[index] * some[:, 1, None, None], clip.landmarks[index],
                                  some, own))
        there_is = some[:, needed].any(1)
        check_finite(Answers(*(None if part is None else part[there_is] for part in answers)))
        parts.append(answers)
        notify(f"{min(first + batch_size, len(starts))} of {len(starts)} windows")
    values, temporal, spatial = (None if piece[0] is None else np.concatenate(piece) for piece in zip(*parts))
    if seen.spatial is None and spatial is not None:
        seen = seen._replace(spatial=grid.spread(spatial))
    values = np.where(here[:, needed].any(1)[:, None], values, np.nan)
    times = np.asarray(clip.timestamps, np.float64)[grid.edges]
    merged = grid.merge(values)
    lengths = np.maximum(np.diff(times), 1e-6) * np.isfinite(merged).all(1)
    known = lengths.sum() or np.nan  # nan where no window has an answer
    return {"intensities": lengths @ np.nan_to_num(merged) / known, "values": merged,
            "segments": np.stack([times[:-1], times[1:]], 1),
            "temporal": None if temporal is None else grid.spread(temporal),
            "spatial": seen.spatial}


def _present(clip: Clip, grid: Grid, silence: float, there: Sequence[bool]) -> np.ndarray:
    """Which windows show a face, hold sound and have features, (W, modalities) float32."""
    index = grid.starts[:, None] + np.arange(grid.frames)  # (W, T)
    seen = (clip.detected[index] > 0).any(1) & bool(clip.present[0])
    times = clip.timestamps[index[:, [0, -1]]]
    heard = [bool(clip.present[1]) and clip.envelope.peak_within(*pair) >= silence for pair in times]
    others = [np.full(len(index), found) for found in there]
    return np.stack([seen, np.array(heard, bool), *others], 1).astype(np.float32)
