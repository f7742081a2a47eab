# SPDX-License-Identifier: Apache-2.0
"""The index of many pages: a table with thumbnails that can be sorted and searched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence

import numpy as np

from mindface_eri.files import write_text
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report.html import jpeg, page


@dataclass(frozen=True)
class Entry:
    """A clip's line in the index."""

    name: str
    page: str = ""  # file name beside the index
    values: Sequence[float] = ()
    thumbnail: str = ""  # data address
    duration: float = 0.0
    found_share: float = 0.0
    sound: bool = False
    error: str = ""


def entry_of(prediction: Prediction, file_name: str) -> Entry:
    """The line of an answered clip; its thumbnail is the best seen, most attended face."""
    clip = prediction.clip
    thumbnail = ""
    if clip.present[0]:
        thumbnail = jpeg(clip.frames[int(np.argmax(prediction.worth_showing()))])
    return Entry(prediction.name, file_name, tuple(map(float, prediction.intensities)), thumbnail, float(clip.duration),
                 float(clip.found_share) if clip.present[0] else 0.0, bool(clip.present[1]))


def file_names(names: Sequence[str]) -> Dict[str, str]:
    """name -> file name of its page: plain characters only, no two alike, never `index.html`."""
    taken = {"index"}
    result = {}
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "clip"
        stem, number = plain, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.lower())
        result[name] = f"{stem}.html"
    return result


def write_index(path: os.PathLike, entries: Sequence[Entry], emotions: Sequence[str], *,
                title: str = "Emotional reaction intensities", note: str = "") -> Path:
    """Writes the index whole or not at all."""
    return write_text(path, render_index(entries, emotions, title=title, note=note))


def render_index(entries: Sequence[Entry], emotions: Sequence[str], *, title: str, note: str = "") -> str:
    """One HTML document; its links lead to pages beside it. `note` is shown below the title."""
    return page("index.html", title=title, script="index.js", data=None, entries=entries, emotions=emotions, note=note)
