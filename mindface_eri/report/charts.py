# SPDX-License-Identifier: Apache-2.0
"""What stands within the page's vector charts over time; x runs from 0 to 1000 whatever the span, y from 0 to 100."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
from markupsafe import Markup

from mindface_eri.constants import FRAME_STATES
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.preprocess.clip import Clip
from mindface_eri.report.html import polyline


def over_time(prediction: Prediction, span: float) -> List[Tuple[str, Markup]]:
    """Each emotion's chart, all on the scale 0 to 1; gaps where there is neither a face nor a sound."""
    charts = []
    for emotion, values in zip(prediction.emotions, prediction.values.T):
        steps = "".join(_steps(prediction.segments[a:b], values[a:b], span) for a, b in _runs(np.isfinite(values)))
        charts.append((emotion, Markup('<line class="half" x1="0" y1="52" x2="1000" y2="52"/>' + steps)))
    return charts


def _steps(segments: np.ndarray, values: np.ndarray, span: float) -> str:
    x = np.repeat(segments, 1, axis=0).reshape(-1) * 1000 / span
    y = np.repeat(100 - 96 * values, 2)
    outline = polyline([x[0], *x, x[-1]], [100, *y, 100])
    return f'<polygon class="area" points="{outline}"/><polyline class="line" points="{polyline(x, y)}"/>'


def _runs(known: np.ndarray) -> List[tuple]:
    """[first, after last) of each stretch of True."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    return list(zip(change[::2], change[1::2]))


def ribbon(clip: Clip, span: float) -> Markup:
    """How the face was obtained, as coloured stretches."""
    times = np.asarray(clip.timestamps, np.float64)
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [span]]) * 1000 / span
    change = np.flatnonzero(np.diff(clip.detected.astype(int))) + 1
    bounds = [0, *change, len(times)]
    return Markup("".join(f'<rect class="{FRAME_STATES[int(clip.detected[a])]}" x="{edges[a]:.1f}" y="0" '
                          f'width="{edges[b] - edges[a]:.1f}" height="100"/>'
                          for a, b in zip(bounds[:-1], bounds[1:])))


def wave(prediction: Prediction, span: float) -> Markup:
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
    return Markup(chart)
