# SPDX-License-Identifier: Apache-2.0
"""Pieces of self-contained pages: escaping, embedded pictures, vector charts, and a policy that forbids any request."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np

_LOOKED = (0, 140, 255)  # blue stands out from skin of any colour, for the colour-blind too
_TEMPLATES = Path(__file__).parent / "templates"


def escape(text: object) -> str:
    """Text as HTML, safe within elements and quoted attributes."""
    return html.escape(str(text), quote=True)


def page(title: str, body: str, *, script: str, data: Any) -> str:
    """A whole document: the style sheet, one script and its data inside, nothing outside.

    Args:
        title: plain text.
        body: HTML, escaped where it holds text of others.
        script: name of a file among the templates.
        data: what the script reads, as JSON.
    """
    code = (_TEMPLATES / script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    values = {"title": escape(title), "body": body, "script": code, "data": _script_safe(data), "digest": digest,
              "style": (_TEMPLATES / "style.css").read_text(encoding="utf-8")}
    template = (_TEMPLATES / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], template)  # one pass: values stay untouched


def _script_safe(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def jpeg(picture: np.ndarray, quality: int = 82) -> str:
    """(H, W, 3) uint8 RGB as a data address."""
    return _encode(picture, "JPEG", quality=quality, optimize=True)


def heat(weights: np.ndarray, largest: float) -> str:
    """Attention (h, w) as a see-through PNG data address.

    A frame's weights sum to one. An even share is left clear, `largest`, or twice an even share, is drawn densest: so
    weights that are nearly even look so.
    """
    even = 1 / np.asarray(weights).size
    picture = np.empty((*weights.shape, 4), np.uint8)
    picture[..., :3] = _LOOKED
    picture[..., 3] = np.clip((np.asarray(weights) - even) / max(largest - even, even), 0, 1) * 190
    return _encode(picture, "PNG")


def _encode(picture: np.ndarray, form: str, **options: Any) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **options)
    return f"data:image/{form.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def polyline(x: Sequence[float], y: Sequence[float]) -> str:
    """Points of an SVG polyline."""
    return " ".join(f"{a:.1f},{b:.2f}" for a, b in zip(x, y))


def clock(seconds: float, *, digits: int = 0) -> str:
    """75.5 as 1:15; with digits, below a minute, 75.5 as 1:15.5 and 5.25 as 5.2 s."""
    seconds = max(float(seconds), 0.0)
    if digits and seconds < 60:
        return f"{seconds:.{digits}f} s"
    unit = 10.0 ** digits
    whole = round(seconds * unit) / unit
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def ticks(duration: float, most: int = 6) -> Iterable[float]:
    """Round instants from 0 to `duration`, at most about `most`."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600):
        if duration / step <= most:
            break
    return np.arange(0, duration + step * 1e-6, step)
