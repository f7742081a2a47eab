# SPDX-License-Identifier: Apache-2.0
"""One style for every figure: colours that the colour-blind can tell apart, type that stays legible in print.

Figures are built without pyplot, so nothing global is opened or left behind, and saved whole or not at all.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import matplotlib
from matplotlib.figure import Figure

from mindface_eri.files import replacing

# Okabe and Ito's palette without its yellow, which vanishes on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
INK, MUTED, GRID = "#1A1A1A", "#5C5C5C", "#D9D9D9"
# By the names of constants.FRAME_STATES; a letter goes with each colour, so that colour never speaks alone.
STATE_COLOURS = {"none": "#8C8C8C", "held": "#AA4499", "interpolated": "#E69F00", "detected": "#009E73"}

_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "axes.titlesize": 9.5, "axes.labelsize": 8.5,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": MUTED, "axes.labelcolor": INK,
    "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "text.color": INK, "lines.linewidth": 1.6,
    "legend.frameon": False, "legend.fontsize": 8, "figure.facecolor": "white", "axes.facecolor": "white",
    "figure.dpi": 100, "savefig.dpi": 200, "svg.fonttype": "path", "svg.hashsalt": "mindface_eri",
    "image.interpolation": "nearest", "figure.titlesize": 10.5, "figure.titleweight": "bold",
    "text.parse_math": False,  # a clip's name may hold a dollar sign
}


def styled(function: Callable) -> Callable:
    """Decorator: what the function draws follows the style, whatever the caller's settings are."""

    @functools.wraps(function)
    def wrapper(*arguments, **options):
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
            return function(*arguments, **options)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """A figure of width x height inches that fits its contents by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def small_multiples(count: int, *, panel: Tuple[float, float], columns: int = 4, **options):
    """A figure with `count` axes in rows of at most `columns`.

    Returns:
        (figure, axes, bottom): axes a list of `count`; bottom those with no axes below them.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(panel[0] * columns, panel[1] * rows)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count], [axes[i] for i in range(count) if i + columns >= count]


@styled
def save_figure(figure: Figure, path: os.PathLike, formats: Sequence[str] = ("png", "svg")) -> List[Path]:
    """Writes `path` with each format's ending (an ending that it already has is replaced).

    The same figure gives the same bytes.

    Returns:
        the files written.
    """
    path = Path(path)
    stem = path.with_suffix("") if path.suffix[1:] in ("png", "svg", "pdf") else path
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for form in formats:
        target = stem.with_name(f"{stem.name}.{form}")
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
        with replacing(target) as temporary:
            # tight: what stands outside the axes is never cut off
            figure.savefig(temporary, format=form, metadata=undated, bbox_inches="tight", pad_inches=0.06)
        written.append(target)
    return written
