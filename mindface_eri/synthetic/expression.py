# SPDX-License-Identifier: Apache-2.0
"""The parts of a drawn face that move: brows, eyes, nose folds, mouth, tears and complexion.

All of it is drawn in the head's own coordinates: x to the right, y down, origin in the middle of the face, one unit
is the face's half width. `Pen` turns units into pixels of the canonical head image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from mindface_eri.synthetic.people import Colour, Person

UNIT = 88  # pixels of the canonical head image in one unit
CANVAS = (292, 348)  # its width and height
ORIGIN = (146, 180)  # where (0, 0) lies on it

_T = np.linspace(-1.0, 1.0, 13)
_ARCH = 1.0 - _T ** 2  # 0 at the ends, 1 in the middle


@dataclass(frozen=True)
class Expression:
    """Strength of each facial movement, 0 (rest) to 1 (full)."""

    smile: float = 0.0  # corners up and apart, teeth
    blush: float = 0.0
    furrow: float = 0.0  # brows drawn down and together, folds between them, sweat
    gaze: float = 0.0  # -1 left to 1 right
    sneer: float = 0.0  # upper lip and nose wrinkled up, greenish
    grief: float = 0.0  # inner brows up, corners of the mouth down, tears
    wide: float = 0.0  # eyes torn open, pale
    brows: float = 0.0  # both brows up
    jaw: float = 0.0  # mouth open
    blink: float = 0.0
    tilt: float = 0.0  # of the head; 1 is the full lean


class Pen:
    """Draws in face units on the canonical head image."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def shape(self, x: np.ndarray, y: np.ndarray, colour: Colour) -> None:
        """A filled polygon through the points (x, y)."""
        self.draw.polygon(_pixels(x, y), fill=colour)

    def stroke(self, x: np.ndarray, y: np.ndarray, colour: Colour, width: float) -> None:
        """An open line of `width` units."""
        self.draw.line(_pixels(x, y), fill=colour, width=max(1, round(width * UNIT)), joint="curve")

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        cx, cy, r = ORIGIN[0] + x * UNIT, ORIGIN[1] + y * UNIT, radius * UNIT
        self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)


def _pixels(x: np.ndarray, y: np.ndarray) -> list:
    points = np.empty((len(x), 2))
    points[:, 0] = x
    points[:, 1] = y
    return (points * UNIT + ORIGIN).ravel().tolist()


def shade(colour: Colour, gain: float) -> Colour:
    """The colour made darker (gain < 1) or lighter."""
    return tuple(int(min(255, max(0, c * gain))) for c in colour)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour over the first."""
    return tuple(int(a + (b - a) * share) for a, b in zip(first, second))


class Complexion:
    """Soft patches of colour: blush on the cheeks, pallor all over, green about the nose and mouth.

    Args:
        person: whose skin it is.
        face: mask of the skin, L, of the canonical size; no colour is laid outside it.
    """

    def __init__(self, person: Person, face: Image.Image) -> None:
        red, pale = blend(person.skin, (240, 62, 80), 0.85), blend(person.skin, (228, 234, 250), 0.75)
        self._patches: Dict[str, Tuple[Image.Image, Tuple[int, int], Colour]] = {
            "pale": _patch((0.0, 0.05), (0.80, 1.10), pale, 0.62, face),
            "green": _patch((0.0, 0.42), (0.52, 0.55), (124, 160, 84), 0.55, face),
            "left": _patch((-0.56, 0.38), (0.24, 0.20), red, 0.72, face),
            "right": _patch((0.56, 0.38), (0.24, 0.20), red, 0.72, face),
        }

    def apply(self, image: Image.Image, expression: Expression) -> None:
        """Paints the patches onto the canonical head image, before the features."""
        strengths = {"pale": expression.wide, "green": expression.sneer, "left": expression.blush,
                     "right": expression.blush}
        for name, strength in strengths.items():
            if strength > 0.03:
                mask, corner, colour = self._patches[name]
                image.paste(colour, (*corner, corner[0] + mask.width, corner[1] + mask.height),
                            mask.point([int(v * strength) for v in range(256)]))


def _patch(centre, radii, colour, strength, face) -> Tuple[Image.Image, Tuple[int, int], Colour]:
    """A blurred ellipse as an alpha mask, its upper left corner in pixels, and its colour."""
    rx, ry = (int(r * UNIT) for r in radii)
    soft = int(min(rx, ry) * 0.6)
    mask = Image.new("L", (2 * rx + 2 * soft, 2 * ry + 2 * soft))
    ImageDraw.Draw(mask).ellipse((soft, soft, soft + 2 * rx, soft + 2 * ry), fill=int(255 * strength))
    mask = mask.filter(ImageFilter.GaussianBlur(soft * 0.45))
    corner = (int(ORIGIN[0] + centre[0] * UNIT - rx - soft), int(ORIGIN[1] + centre[1] * UNIT - ry - soft))
    skin = face.crop((*corner, corner[0] + mask.width, corner[1] + mask.height))
    return ImageChops.multiply(mask, skin), corner, colour


def draw_features(pen: Pen, person: Person, expression: Expression) -> None:
    """Draws everything that moves onto the canonical head image."""
    for side in (-1.0, 1.0):
        _eye(pen, person, expression, side)
        _brow(pen, person, expression, side)
    _folds(pen, person, expression)
    _mouth(pen, person, expression)


def _eye(pen: Pen, person: Person, e: Expression, side: float) -> None:
    """White, iris, lids and brow on one side."""
    x = side * person.eye_gap + _T * person.eye_size
    middle = -person.eye_height
    opening = 0.105 + 0.115 * e.wide + 0.02 * e.brows - 0.035 * e.sneer - 0.02 * e.smile - 0.025 * e.grief
    opening = max(max(opening, 0.065) * (1.0 - e.blink), 0.004)
    upper, lower = middle - opening * _ARCH, middle + 0.72 * opening * _ARCH
    xs, ys = np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])
    if opening > 0.02:
        pen.shape(xs, ys, blend((242, 240, 236), person.skin, 0.22))
        radius = min(0.105, opening * 0.98) if e.wide < 0.3 else 0.098
        cx = side * person.eye_gap + 0.105 * e.gaze
        pen.disc(cx, middle, radius, person.iris)
        pen.disc(cx, middle, radius * 0.52, (18, 14, 14))
        pen.disc(cx - 0.03, middle - 0.03, 0.022, (250, 250, 250))
    pen.stroke(x, upper, shade(person.skin, 0.28), 0.036)
    pen.stroke(x[2:-2], lower[2:-2], shade(person.skin, 0.62), 0.016)
    pen.stroke(x[2:-2], upper[2:-2] - 0.055, shade(person.skin, 0.74), 0.014)
    if e.grief > 0.15:  # a tear
        _drop(pen, person, e.grief, side * (person.eye_gap + 0.03), middle + 0.72 * opening + 0.05, 0.48)
    if e.furrow > 0.15:  # a drop of sweat beside the brow
        _drop(pen, person, e.furrow, side * 0.80, middle - person.brow_height - 0.12, 0.26)


def _drop(pen: Pen, person: Person, strength: float, x: float, top: float, reach: float) -> None:
    length, width = 0.08 + reach * strength, 0.03 + 0.045 * strength
    y = top + length * (0.5 + 0.5 * _T)
    half = width * (0.35 + 0.65 * (0.5 + 0.5 * _T)) * np.sqrt(np.maximum(0.0, 1.0 - np.maximum(_T, 0.4) ** 6))
    pen.shape(np.concatenate([x - half, (x + half)[::-1]]), np.concatenate([y, y[::-1]]),
              blend(person.skin, (150, 205, 250), 0.60))
    pen.disc(x - 0.3 * width, y[-4], 0.016, (246, 252, 255))


def _brow(pen: Pen, person: Person, e: Expression, side: float) -> None:
    inner = 0.5 - 0.5 * _T  # 1 at the inner end, 0 at the outer, for side = 1
    base = -person.eye_height - person.brow_height - 0.20 * e.brows - 0.06 * e.wide
    y = (base - 0.05 * _ARCH * (1.0 + 0.8 * e.brows) + 0.03 * (1.0 - inner)
         + e.furrow * (0.21 * inner - 0.02) - e.grief * (0.18 * inner - 0.07 * (1.0 - inner)) + 0.03 * e.sneer)
    x = person.eye_gap + 0.02 + _T * (person.eye_size + 0.035) - 0.08 * e.furrow * inner
    half = person.brow_weight * (0.35 + 0.65 * inner) * (1.0 + 0.45 * e.furrow)
    x = side * x
    pen.shape(np.concatenate([x, x[::-1]]), np.concatenate([y - half, (y + half)[::-1]]),
              blend(shade(person.hair, 0.75), person.skin, 0.12))


def _folds(pen: Pen, person: Person, e: Expression) -> None:
    """Furrows between the brows and beside the mouth."""
    dark = shade(person.skin, 0.60)
    top = -person.eye_height - person.brow_height
    if e.furrow > 0.2:
        for x in (-0.055, 0.055):
            pen.stroke(np.array([x, x * 0.8]), np.array([top - 0.06, top - 0.06 + 0.26 * e.furrow]), dark, 0.032)
    if e.brows > 0.3:
        for k in range(2):
            pen.stroke(0.42 * _T, top - 0.34 - 0.09 * k - 0.05 * _ARCH, shade(person.skin, 0.80), 0.018)
    if e.sneer > 0.2:
        for k in range(3):
            pen.stroke(0.085 * _T, -0.06 + 0.065 * k - 0.03 * _ARCH * e.sneer, dark, 0.020)
    depth = max(e.smile, e.sneer)
    if depth > 0.2:
        for side in (-1.0, 1.0):
            along = 0.5 + 0.5 * _T
            pen.stroke(side * (0.20 + 0.30 * along ** 0.7), 0.30 + 0.32 * along,
                       shade(person.skin, 1.0 - 0.30 * depth), 0.022)


def _mouth(pen: Pen, person: Person, e: Expression) -> None:
    """Lips, teeth and the dark between them."""
    half = person.mouth_width * (1.0 + 0.42 * e.smile - 0.20 * e.jaw * (1.0 - 0.6 * e.smile) - 0.10 * e.grief)
    x = half * _T
    edge = _T ** 2
    line = person.mouth_drop - 0.17 * e.smile * edge + 0.15 * e.grief * edge - 0.02 * e.grief
    gap_up = 0.05 * e.jaw + 0.045 * e.smile
    gap_down = 0.36 * e.jaw + 0.085 * e.smile
    arch = np.sqrt(np.maximum(_ARCH, 0.0))
    lift = e.sneer * 0.15 * np.exp(-((_T - 0.25) / 0.5) ** 2) * arch
    inner_top, inner_bottom = line - gap_up * arch - lift, line + gap_down * arch - 0.15 * lift
    bow = 0.055 * arch * (1.0 - 0.25 * np.exp(-(_T / 0.18) ** 2))
    outer_top, outer_bottom = inner_top - bow - 0.008, inner_bottom + 0.085 * arch + 0.008
    pen.shape(np.concatenate([x, x[::-1]]), np.concatenate([outer_top, outer_bottom[::-1]]), person.lips)
    if gap_up + gap_down + lift.max() > 0.03:
        pen.shape(np.concatenate([x, x[::-1]]) * 0.94, np.concatenate([inner_top, inner_bottom[::-1]]), (62, 18, 22))
        depth = np.minimum(0.085, 0.8 * (inner_bottom - inner_top))
        pen.shape(np.concatenate([x, x[::-1]]) * 0.86, np.concatenate([inner_top, (inner_top + depth)[::-1]]),
                  (240, 236, 226))
        if e.jaw > 0.3:
            floor = inner_bottom - 0.03
            pen.shape(np.concatenate([x, x[::-1]]) * 0.6,
                      np.concatenate([floor - 0.22 * e.jaw * arch * 0.6, floor[::-1]]), (188, 84, 88))
    else:
        pen.stroke(x * 0.97, line, shade(person.lips, 0.5), 0.022)
    pen.stroke(0.45 * x, outer_bottom[3:-3].max() + 0.055 + 0.0 * x, shade(person.skin, 0.84), 0.022)
