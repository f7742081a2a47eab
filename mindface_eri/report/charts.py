# SPDX-License-Identifier: Apache-2.0
"""Vector charts over time for the page; their width follows the page, so x runs from 0 to 1000 whatever the span."""

from __future__ import annotations

from typing import Any, List

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report.html import clock, escape, polyline, ticks


def time_row(name: str, chart: str, height: str, steps: int = 0) -> str:
    """A labelled chart; `name` is HTML. With `steps` instants it is a slider for the keyboard; one a page is enough."""
    role = (f' role="slider" tabindex="0" aria-label="Instant" aria-valuemin="0" aria-valuemax="{max(steps - 1, 0)}" '
            'aria-valuenow="0"' if steps > 1 else "")
    return (f'<div class="name">{name}</div><div class="time"{role}><svg class="{height}" viewBox="0 0 1000 100" '
            f'preserveAspectRatio="none" aria-hidden="true">{chart}</svg><div class="cursor" hidden></div></div>')


def timeline_rows(prediction: Prediction, span: float, steps: int) -> List[str]:
    """One small chart an emotion, all on the scale 0 to 1; gaps where there is neither a face nor a sound."""
    rows = []
    for e, emotion in enumerate(prediction.emotions):
        chart = "".join(_steps(prediction.segments[a:b], prediction.values[a:b, e], span)
                        for a, b in _runs(np.isfinite(prediction.values[:, e])))
        half = '<line class="half" x1="0" y1="52" x2="1000" y2="52"/>'
        rows.append(time_row(escape(emotion), half + chart, "small", steps if e == 0 else 0))
    return rows


def _steps(segments: np.ndarray, values: np.ndarray, span: float) -> str:
    x = np.repeat(segments, 1, axis=0).reshape(-1) * 1000 / span
    y = np.repeat(100 - 96 * values, 2)
    outline = polyline([x[0], *x, x[-1]], [100, *y, 100])
    return f'<polygon class="area" points="{outline}"/><polyline class="line" points="{polyline(x, y)}"/>'


def _runs(known: np.ndarray) -> List[tuple]:
    """[first, after last) of each stretch of True."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    return list(zip(change[::2], change[1::2]))


def ribbon(clip: Any, span: float) -> str:
    """How the face was obtained, as coloured stretches."""
    times = np.asarray(clip.timestamps, np.float64)
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [span]]) * 1000 / span
    change = np.flatnonzero(np.diff(clip.detected.astype(int))) + 1
    bounds = [0, *change, len(times)]
    return "".join(f'<rect class="{FRAME_STATES[int(clip.detected[a])]}" x="{edges[a]:.1f}" y="0" '
                   f'width="{edges[b] - edges[a]:.1f}" height="100"/>' for a, b in zip(bounds[:-1], bounds[1:]))


def wave(prediction: Prediction, span: float) -> str:
    """The waveform's envelope, scaled to its loudest, with temporal attention over it."""
    chart = '<line class="zero" x1="0" y1="50" x2="1000" y2="50"/>'
    sound = prediction.clip.envelope
    if len(sound):
        low, high = sound.scaled()
        x = (np.arange(len(low)) + 0.5) / len(low) * sound.seconds * 1000 / span
        low, high, x = low[x <= 1000], high[x <= 1000], x[x <= 1000]
        points = polyline([*x, *x[::-1]], [*(50 - 47 * high), *(50 - 47 * low[::-1])])
        chart += f'<polygon class="wave" points="{points}"/>'
    if prediction.temporal is not None:
        x = np.asarray(prediction.clip.timestamps, np.float64) * 1000 / span
        y = 98 - 94 * prediction.temporal / max(float(prediction.temporal.max()), 1e-12)
        keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), 1500)).astype(int))
        chart += f'<polyline class="attn" points="{polyline(x[keep], y[keep])}"/>'
    return chart


def time_axis(span: float) -> str:
    """Round instants below the charts."""
    marks = [t for t in ticks(span) if t <= span]
    digits = 1 if span < 5 else 0
    labels = "".join(
        f'<span{" class=last" if t > 0.93 * span else ""} style="left:{100 * t / span:.2f}%">'
        f'{f"{t:.{digits}f} s" if span < 60 else clock(t)}</span>' for t in marks)
    return f'<div class="axis" aria-hidden="true">{labels}</div>'
