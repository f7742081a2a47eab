# SPDX-License-Identifier: Apache-2.0
"""The index of many pages: a table with thumbnails that can be sorted and searched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence
from urllib.parse import quote

import numpy as np

from mindface_eri.files import write_text
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.report.html import clock, escape, jpeg, page


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
                title: str = "Emotional reaction intensities") -> Path:
    """Writes the index whole or not at all."""
    return write_text(path, render_index(entries, emotions, title=title))


def render_index(entries: Sequence[Entry], emotions: Sequence[str], *, title: str) -> str:
    """One HTML document; its links lead to pages beside it."""
    failed = sum(bool(entry.error) for entry in entries)
    columns = [_header("clip", "ascending", ' class="id"'), *map(_header, (*emotions, "length", "face", "sound"))]
    rows = "".join(_row(entry, emotions) for entry in entries)
    summary = f"{len(entries)} clips" + (f", {failed} of which could not be used" if failed else "")
    body = (f'<header><p class="brand">mindface_eri</p><h1>{escape(title)}</h1><p>{escape(summary)}</p></header>'
            '<main><p class="head"><label>Find '
            '<input type="search"></label><span class="soft" id="count" aria-live="polite"></span></p>'
            '<div class="scroll" role="region" aria-label="Clips" tabindex="0"><table><thead><tr>'
            f'<th><span hidden>face</span></th>{"".join(columns)}</tr></thead><tbody>{rows}</tbody></table>'
            '</div></main>')
    return page(title, body, script="index.js", data=None)


def _header(name: str, first: str = "descending", more: str = "") -> str:
    return f'<th scope="col" data-first="{first}"{more}><button type="button">{escape(name)}</button></th>'


def _row(entry: Entry, emotions: Sequence[str]) -> str:
    name = escape(entry.name)
    if entry.error:
        return (f'<tr><td><div class="crop"></div></td><td class="id" colspan="{len(emotions) + 4}">{name}<br>'
                f'<span class="soft">{escape(entry.error)}</span></td></tr>')
    picture = f'<img src="{entry.thumbnail}" alt="">' if entry.thumbnail else "no face"
    if entry.page:
        name = f'<a href="{escape(quote(entry.page))}">{name}</a>'
    cells = [_number(value, f"{value:.2f}", bar=True) for value in entry.values]
    cells += [_number(entry.duration, clock(entry.duration, digits=int(entry.duration < 60))),
              _number(entry.found_share, f"{entry.found_share:.0%}"),
              _number(float(entry.sound), "yes" if entry.sound else "no")]
    return f'<tr><td><div class="crop">{picture}</div></td><td class="id">{name}</td>{"".join(cells)}</tr>'


def _number(value: float, text: str, *, bar: bool = False) -> str:
    share = f'<b><i style="width:{100 * min(max(value, 0), 1):.0f}%"></i></b>' if bar else ""
    return f'<td class="number{" bar" if bar else ""}" data-value="{value:.6g}">{escape(text)}{share}</td>'
