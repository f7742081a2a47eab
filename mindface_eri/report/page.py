# SPDX-License-Identifier: Apache-2.0
"""The page of one video: intensities, faces with attention, sound, timeline and provenance, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Mapping, Optional

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.files import write_text
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report.charts import ribbon, time_axis, time_row, timeline_rows, wave
from mindface_eri.report.html import clock, escape, heat, jpeg, page

_MOST_FACES = 160  # crops on a page: 0.7 MB
_CAUTION = ("These numbers are a network's estimate of how strongly a reaction is shown. They are no measurement of "
            "what a person feels, and nothing to decide about people by.")


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
    samples = _samples(prediction)
    data = _data(prediction, samples)
    parts = [_header(prediction, note), "<main>", '<div class="columns">', _bars(prediction, data["wholeCaption"]),
             _faces(prediction, samples, data), "</div>", _over_time(prediction, len(data["samples"])),
             _facts(prediction, provenance or {}), "</main>"]
    return page(f"{prediction.name}: emotional reaction intensity", "\n".join(parts), script="prediction.js", data=data)


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


def _header(prediction: Prediction, note: str) -> str:
    clip = prediction.clip
    chips = [("", clock(clip.duration, digits=_digits(clip.duration)))]
    if clip.width:
        chips.append(("", f"{clip.width} × {clip.height}, {clip.fps:.3g} frames a second"))
    chips.append(("", f"face in {clip.found_share:.0%} of frames ({clip.detector})") if clip.present[0] else
                 ("lacks", "no face"))
    if clip.others:
        chips.append(("", f"{clip.others} other people"))
    chips.append(("", "sound") if clip.present[1] else ("lacks", "no sound"))
    items = "".join(f'<li class="{kind}">{escape(text)}</li>' for kind, text in chips)
    remarks = "".join(f'<p class="soft note">{escape(text)}</p>' for text in (clip.note, note) if text)
    return (f'<header><p class="brand">mindface_eri · emotional reaction intensity</p>'
            f'<h1>{escape(prediction.name)}</h1><ul class="chips">{items}</ul>{remarks}</header>')


def _digits(seconds: float) -> int:
    """Decimals that tell neighbouring frames of a clip apart."""
    return 0 if seconds >= 60 else 1 if seconds > 4 else 2


def _bars(prediction: Prediction, caption: str) -> str:
    rows = "".join(
        f'<li class="bar"><span class="name">{escape(emotion)}</span><span class="track"><span class="fill" '
        f'style="width:{100 * min(max(float(value), 0), 1):.1f}%"></span></span>'
        f'<span class="value">{value:.2f}</span></li>'
        for emotion, value in zip(prediction.emotions, prediction.intensities))
    scale = '<li class="scale" aria-hidden="true"><span class="ends"><i>0</i><i>0.5</i><i>1</i></span></li>'
    button = ('<p><button type="button" class="plain" id="whole" hidden>Show the mean of the whole video</button></p>'
              if prediction.is_timeline else "")
    return (f'<section aria-labelledby="h-bars"><div class="head"><h2 id="h-bars">Intensities</h2>'
            f'<span class="soft" id="when" aria-live="polite">{escape(caption)}</span></div>'
            f'<ul class="bars">{rows}{scale}</ul>{button}<p class="soft">{escape(_CAUTION)}</p></section>')


def _faces(prediction: Prediction, samples: List[int], data: dict) -> str:
    clip = prediction.clip
    if not samples:
        why = clip.note or "no face was found"
        return ('<section aria-labelledby="h-faces"><div class="head"><h2 id="h-faces">Faces</h2></div>'
                f'<p class="absent">No picture was used: {escape(why)}. <span id="at" hidden></span>'
                '<span id="state" hidden></span></p></section>')
    largest, toggle, ramp = 0.0, '<span class="soft">this model file carries no attention</span>', ""
    if prediction.spatial is not None:
        shares = prediction.spatial[samples]
        largest, even = float(shares.max()), 1 / shares[0].size
        toggle = ('<label class="toggle"><input type="checkbox" id="attention" checked> show where the network looked'
                  '</label>')
        nearly = f"; here at most {largest / even:.1f}" if largest < 2 * even else ""
        ramp = f'<p class="ramp">even share<i></i>{max(largest / even, 2):.1f} times as much{nearly}</p>'
    buttons = "".join(_face(prediction, i, shown, largest) for i, shown in zip(samples, data["samples"]))
    of = " of its window" if prediction.is_timeline else ""
    weight = f'<dt>attention</dt><dd><span id="weight"></span>{of}</dd>' if prediction.temporal is not None else ""
    return (f'<section aria-labelledby="h-faces"><div class="head"><h2 id="h-faces">Faces</h2>{toggle}</div>'
            f'<div class="viewer"><div class="crop"></div><div><dl><dt>time</dt><dd id="at"></dd><dt>face</dt>'
            f'<dd id="state"></dd>{weight}</dl>{ramp}</div></div>'
            f'<div class="faces{" many" if len(samples) > 40 else ""}" role="group" '
            f'aria-label="Sampled frames; arrow keys move">{buttons}</div>'
            f'{_legend(clip.detected)}</section>')


def _face(prediction: Prediction, i: int, shown: Mapping, largest: float) -> str:
    picture = "no face"
    if shown["state"] != "none":
        picture = f'<img src="{jpeg(prediction.clip.frames[i])}" alt="">'
        if prediction.spatial is not None:
            picture += f'<img class="heat" src="{heat(prediction.spatial[i], largest)}" alt="">'
    return (f'<button type="button" class="{shown["state"]}" aria-label="{escape(shown["label"])}, {shown["state"]}">'
            f'<span class="crop">{picture}</span>{escape(shown["label"])}</button>')


def _legend(detected: np.ndarray) -> str:
    counts = np.bincount(detected, minlength=len(FRAME_STATES))
    words = {"none": "no face", "held": "held (a longer gap)", "interpolated": "interpolated (a short gap)",
             "detected": "detected"}
    items = "".join(f'<li class="{name}"><i></i>{int(counts[k])} {words[name]}</li>'
                    for k, name in reversed(list(enumerate(FRAME_STATES))) if counts[k])
    return f'<ul class="legend">{items}</ul>'


def _over_time(prediction: Prediction, steps: int) -> str:
    clip = prediction.clip
    span = max(float(clip.timestamps[-1]), 1e-3)
    rows = timeline_rows(prediction, span, steps) if prediction.is_timeline else []
    if clip.present[0]:
        rows.append(time_row("face", ribbon(clip, span), "ribbon"))
    name = "sound" if clip.present[1] else "no sound"
    if prediction.temporal is not None:
        name += f', <span class="key">attention up to {prediction.temporal.max():.0%}</span>'
    rows.append(time_row(name, wave(prediction, span), "tall", 0 if prediction.is_timeline else steps))
    how = (f'<p class="soft">Windows of {prediction.window:g} s every {prediction.hop:g} s; where windows overlap, '
           "their mean. Each chart goes from 0 to 1. Click, drag or use the arrow keys.</p>"
           if prediction.is_timeline else "")
    return (f'<section aria-labelledby="h-time"><div class="head"><h2 id="h-time">Over time</h2></div>{how}'
            f'<div class="rows">{"".join(rows)}{time_axis(span)}</div></section>')


def _facts(prediction: Prediction, provenance: Mapping[str, object]) -> str:
    facts = {"file": prediction.path.name if prediction.path else prediction.name,
             "detector": prediction.clip.detector, **provenance}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return ('<section class="quiet" aria-label="Provenance"><details><summary>Model and preprocessing</summary>'
            f'<dl class="facts">{rows}</dl></details></section>')
