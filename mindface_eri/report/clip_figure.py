# SPDX-License-Identifier: Apache-2.0
"""The picture of one prediction: faces over time, sound, and the intensities as bars."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from matplotlib.figure import Figure

from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import DataError
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.preprocess.clip import Clip
from mindface_eri.report.style import COLOURS, INK, MUTED, STATE_COLOURS, new_figure, styled

_ROWS = 7  # for whose bars the picture has its height


@styled
def prediction_figure(prediction: Prediction, truth: Optional[np.ndarray] = None, *, faces: int = 8,
                      title: str = "") -> Figure:
    """Face strip, sound with temporal attention, and intensities of one clip.

    Args:
        truth: (E,) labels, drawn as diamonds; NaN where there is none.
        faces: crops shown, spread evenly over the clip.
    """
    clip, intensities, emotions = prediction.clip, np.asarray(prediction.intensities, np.float64), prediction.emotions
    if intensities.shape != (len(emotions),):
        raise DataError(f"prediction figure: intensities {intensities.shape} for {len(emotions)} emotions")
    figure = new_figure(9.2, 3.5)
    left, right = figure.subfigures(1, 2, width_ratios=(2.1, 1), wspace=0.03)
    shown = np.unique(np.linspace(0, len(clip.timestamps) - 1, faces).round().astype(int))
    grid = left.add_gridspec(2, len(shown), height_ratios=(1, 1.15))
    for column, t in enumerate(shown):
        _face(left.add_subplot(grid[0, column]), clip, t)
    _sound(left.add_subplot(grid[1, :]), clip, prediction.temporal)
    _bars(right.subplots(), intensities, emotions, truth)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _face(axis, clip: Clip, t: int) -> None:
    """One crop with its state and instant."""
    state = FRAME_STATES[int(clip.detected[t])]
    axis.set(xticks=[], yticks=[])
    if state == "none":
        axis.set_facecolor("#F0F0F0")
        axis.set_box_aspect(1)
        axis.text(0.5, 0.5, "no face", ha="center", va="center", transform=axis.transAxes, fontsize=7, color=MUTED)
    else:
        axis.imshow(clip.frames[t], interpolation="antialiased")
    for spine in axis.spines.values():
        spine.set(visible=True, color=STATE_COLOURS[state], linewidth=1.6)
    axis.set_title(f"{clip.timestamps[t] - clip.timestamps[0]:.1f} s", fontsize=7.5, weight="normal", loc="center",
                   pad=3)
    axis.set_xlabel("" if state in ("detected", "none") else state, fontsize=6.5, labelpad=2)


def _sound(axis, clip: Clip, temporal: Optional[np.ndarray]) -> None:
    """The sound's envelope and, where there is any, the temporal attention."""
    times = np.asarray(clip.timestamps, np.float64) - clip.timestamps[0]
    span = max(float(times[-1]), 1e-3)
    axis.set(xlim=(0, span), yticks=[], xlabel="seconds")
    axis.spines["left"].set_visible(False)
    if not clip.present[1]:
        axis.set(ylim=(-1.1, 1.1))
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.text(0.5, 0.62, "no sound", transform=axis.transAxes, ha="center", color=MUTED)
    else:
        low, high = clip.envelope.scaled()
        x = (np.arange(len(low)) + 0.5) / max(len(low), 1) * clip.envelope.seconds
        axis.fill_between(x, low, high, color=COLOURS[5], linewidth=0.4, edgecolor=COLOURS[0])
        axis.set(ylim=(-1.1, 1.1))
    if temporal is not None:
        twin = axis.twinx()
        twin.plot(times, temporal, color=COLOURS[1], linewidth=1.6)
        twin.set(ylim=(0, max(float(np.max(temporal)) * 1.08, 1e-9)), yticks=[])
        twin.spines[:].set_visible(False)
        twin.set_title("temporal attention", loc="right", color=COLOURS[1], fontsize=8, weight="normal", pad=3)


def _bars(axis, intensities: np.ndarray, emotions: Sequence[str], truth: Optional[np.ndarray]) -> None:
    """One bar an intensity, and the label where it is known."""
    rows = np.arange(len(emotions))[::-1]
    axis.barh(rows, np.ones(len(rows)), 0.56, color="#EFEFEF")
    axis.barh(rows, intensities, 0.56, color=COLOURS[0])
    for row, value in zip(rows, intensities):
        axis.text(1.07, row, f"{value:.2f}", va="center", fontsize=8.5, color=INK)
    if truth is not None:
        axis.plot(truth, rows, "D", color=COLOURS[1], markersize=5.5, markeredgecolor="white", label="label",
                  clip_on=False)
        axis.legend(loc="upper right", bbox_to_anchor=(1.0, -0.06))
    axis.set_yticks(rows, emotions, fontsize=8.5)
    spare = max(0.0, (_ROWS - len(rows)) / 2)  # a bar alone would fill the picture
    axis.set(ylim=(-0.7 - spare, len(rows) - 0.3 + spare), xlim=(0, 1), xticks=(0, 0.5, 1), title="intensity")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, pad=6)
