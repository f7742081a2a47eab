# SPDX-License-Identifier: Apache-2.0
"""The page of one video: intensities, faces with attention, sound, timeline and provenance, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.files import write_text
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report.charts import over_time, ribbon, wave
from mindface_eri.report.html import clock, heat, jpeg, page

_MOST_FACES = 160  # crops on a page: 0.7 MB
_WORDS = {"none": "no face (the nearest crop stands in)", "held": "held (a longer gap)",
          "interpolated": "interpolated (a short gap)", "detected": "detected"}


def write_page(path: os.PathLike, prediction: Prediction, provenance: Optional[Mapping[str, object]] = None, *,
               note: str = "") -> Path:
    """Writes `render_page` whole or not at all."""
    return write_text(path, render_page(prediction, provenance, note=note))


def render_page(prediction: Prediction, provenance: Optional[Mapping[str, object]] = None, *, note: str = "") -> str:
    """One HTML document that asks the network for nothing.

    Args:
        provenance: names and values that say which model and preprocessing gave the numbers.
        note: a sentence shown below the title, such as what the model was trained on.
    """
    clip, samples = prediction.clip, _samples(prediction)
    data = _data(prediction, samples)
    span = data["duration"]
    # the most that a place was attended to, in even shares
    largest = float(prediction.spatial[samples].max()) if samples and prediction.spatial is not None else 0.0
    counts = np.bincount(clip.detected, minlength=len(FRAME_STATES))
    return page(
        "prediction.html", title=f"{prediction.name}: emotional reaction intensity", script="prediction.js", data=data,
        prediction=prediction, note=note, length=clock(clip.duration, digits=_digits(clip.duration)),
        bars=list(zip(prediction.emotions, prediction.intensities)),
        faces=[_face(prediction, i, shown, largest) for i, shown in zip(samples, data["samples"])],
        largest=largest * prediction.spatial[0].size if largest else 0.0,
        legend=[(name, int(count), _WORDS[name]) for name, count in zip(FRAME_STATES, counts) if count][::-1],
        windows=_window_words(prediction, span),
        over_time=over_time(prediction, span) if prediction.is_timeline else [], ribbon=ribbon(clip, span),
        wave=wave(prediction, span),
        facts={"file": prediction.path.name if prediction.path else prediction.name, "detector": clip.detector,
               **(provenance or {})})


def _window_words(prediction: Prediction, span: float) -> str:
    """What was asked for as the grid of sampled instants allows it: a video may be shorter than a window."""
    if not prediction.is_timeline:
        return ""
    if prediction.window >= span:
        return f"One window over all {span:.3g} s."
    lengths = np.diff(prediction.segments, axis=1)
    apart = float(lengths[0, 0]) if len(lengths) > 1 else prediction.hop  # the last segment takes what is left
    return (f"Windows of {prediction.window:.3g} s begin every {apart:.3g} s, the last one ends with the video; each "
            "stretch shows the mean of the windows that hold its middle.")


def _samples(prediction: Prediction) -> List[int]:
    """Which frames are shown: all of a clip, one of each segment of a timeline (the best seen, most attended one).

    Where there are more than fit on a page, one of each of as many equal stretches as fit.
    """
    clip = prediction.clip
    if not clip.present[0]:
        return []
    count = len(clip.timestamps)
    if not prediction.is_timeline and count <= _MOST_FACES:
        return list(range(count))
    stretches = min(len(prediction.segments) if prediction.is_timeline else count, _MOST_FACES)
    edges = np.linspace(0, count, stretches + 1).astype(int)
    worth = prediction.worth_showing()
    return [int(a + np.argmax(worth[a:b])) for a, b in zip(edges[:-1], edges[1:]) if b > a]


def _data(prediction: Prediction, samples: List[int]) -> dict:
    """What the page's script draws."""
    clip, temporal = prediction.clip, prediction.temporal
    span = max(float(clip.timestamps[-1]), 1e-3)
    digits = _digits(span)
    segments = [{"end": float(end), "caption": f"{clock(start, digits=digits)} to {clock(end, digits=digits)}",
                 "values": [round(float(v), 4) if np.isfinite(v) else None for v in row]}
                for (start, end), row in zip(prediction.segments, prediction.values)]
    if samples:
        weights = [None if temporal is None else f"{temporal[i]:.1%}" for i in samples]
        shown = list(zip(clip.timestamps[samples], (FRAME_STATES[int(clip.detected[i])] for i in samples), weights))
    else:  # without a picture the cursor steps through the segments of a timeline
        shown = [(middle, "", None) for middle in prediction.segments.mean(1)] if prediction.is_timeline else []
    first = 0 if prediction.is_timeline or not samples else _most_telling(prediction, samples)
    return {"duration": span, "timeline": prediction.is_timeline, "segments": segments, "first": first,
            "whole": [round(float(v), 4) for v in prediction.intensities],
            "wholeCaption": f"mean over {clock(span, digits=digits)}" if prediction.is_timeline else "whole clip",
            "samples": [{"time": float(t), "label": clock(t, digits=digits), "state": state, "attention": weight}
                        for t, state, weight in shown]}


def _most_telling(prediction: Prediction, samples: List[int]) -> int:
    """Place among the samples of the most attended face that was detected; without attention, the middle one."""
    worth = prediction.worth_showing()[samples]
    if prediction.temporal is None:
        worth = worth - 0.9 * np.abs(np.linspace(-1, 1, len(samples)))
    return int(np.argmax(worth))


def _digits(seconds: float) -> int:
    """Decimals that tell neighbouring frames of a clip apart."""
    return 0 if seconds >= 60 else 1 if seconds > 4 else 2


def _face(prediction: Prediction, i: int, shown: Mapping, largest: float) -> Dict[str, str]:
    """What a face's button shows; its pictures are data addresses."""
    seen = shown["state"] != "none"
    return {**shown, "picture": jpeg(prediction.clip.frames[i]) if seen else "",
            "heat": heat(prediction.spatial[i], largest) if seen and largest else ""}
