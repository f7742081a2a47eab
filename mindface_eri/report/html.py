# SPDX-License-Identifier: Apache-2.0
"""Self-contained pages from templates, and their pieces: embedded pictures, points, times; nothing is requested."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

_LOOKED = (0, 140, 255)  # blue stands out from skin of any colour, for the colour-blind too
TEMPLATES = Path(__file__).parent / "templates"


class _Joined(Extension):
    """Lines of a template are joined: it can be laid out for readers, and no blank gets between elements by that."""

    def preprocess(self, source: str, name: Optional[str], filename: Optional[str] = None) -> str:
        return re.sub(r"\n\s*", "", source)


def page(template: str, *, title: str, script: Optional[str] = None, data: Any = None, **values: Any) -> str:
    """A whole document: the style sheet, one script and its data inside, nothing outside.

    Args:
        template: name of a file among the templates; what it shows is escaped unless it is Markup.
        title: plain text.
        script: name of a file among the templates; None where the page only shows.
        data: what the script reads, as JSON.
        values: what the template shows.
    """
    code, style = (Markup((TEMPLATES / name).read_text(encoding="utf-8") if name else "")
                   for name in (script, "style.css"))
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return PAGES.get_template(template).render(values, title=title, script=code, style=style, data=data, digest=digest)


def jpeg(picture: np.ndarray, quality: int = 82) -> str:
    """(H, W, 3) uint8 RGB as a data address."""
    return _encode(picture, "JPEG", quality=quality, optimize=True)


def stored_picture(path: os.PathLike) -> str:
    """A PNG file as a data address."""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


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


def share(value: float, digits: int = 0) -> str:
    """A value from 0 to 1 as a percentage, cut to its scale."""
    return f"{100 * min(max(float(value), 0), 1):.{digits}f}"


PAGES = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                    extensions=[_Joined])
PAGES.globals.update(clock=clock, share=share, ticks=ticks)
PAGES.filters["address"] = quote
PAGES.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "separators": (",", ":"), "allow_nan": False}
