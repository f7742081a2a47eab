# SPDX-License-Identifier: Apache-2.0
"""Draws invented people: a head with shading on a background, moved, lit and photographed with a noisy camera.

What does not move (skin, shading, hair, background) is painted once; a frame copies it, draws the features, lays the
head over the background by one affine resampling and adds noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from mindface_eri.synthetic.expression import (
    CANVAS,
    ORIGIN,
    UNIT,
    Complexion,
    Expression,
    Pen,
    blend,
    draw_features,
    shade,
)
from mindface_eri.synthetic.people import Person

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 73)[:-1]


@dataclass(frozen=True)
class Pose:
    """Where the head is in the picture, relative to its place of rest."""

    roll: float = 0.0  # degrees
    scale: float = 1.0
    shift: Tuple[float, float] = (0.0, 0.0)  # in units of the face's half width


class Portrait:
    """One person before one camera.

    Args:
        person: who is drawn.
        size: width and height of the picture, pixels.
        rng: source of the camera's noise pattern and the background's texture.
    """

    def __init__(self, person: Person, size: Tuple[int, int], rng: np.random.Generator) -> None:
        self.person = person
        self.size = size
        head, mask, skin = _paint_head(person)
        # The mask travels as the fourth channel: one resampling for both. (RGBA would be multiplied by its alpha.)
        self._head = Image.merge("RGBX", (*head.split(), mask))
        left, top, right, bottom = mask.getbbox()
        self._corners = np.array([(x - ORIGIN[0], y - ORIGIN[1]) for x in (left, right) for y in (top, bottom)], float)
        self._complexion = Complexion(person, skin)
        self._background = _paint_background(person, size, rng)
        # One pattern, shifted from frame to frame: fresh Gaussian noise would cost more than the drawing.
        shape = (size[1] + 64, size[0] + 64, 1)
        grain = rng.normal(0.0, person.noise, shape) + rng.normal(0.0, 0.5 * person.noise, (*shape[:2], 3))
        self._noise = np.round(grain).astype(np.int16)  # (H+64, W+64, 3)

    def frame(self, expression: Expression, pose: Pose, grain: Tuple[int, int] = (0, 0)) -> np.ndarray:
        """Draws one picture.

        Args:
            expression: strength of each facial movement.
            pose: place of the head.
            grain: offset into the noise pattern, each 0 to 63.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        head = self._head.copy()
        self._complexion.apply(head, expression)
        draw_features(Pen(head), self.person, expression)
        picture = self._background.copy()
        self._lay(picture, head, pose)
        noise = self._noise[grain[0]:grain[0] + self.size[1], grain[1]:grain[1] + self.size[0]]
        return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)

    def _lay(self, picture: Image.Image, head: Image.Image, pose: Pose) -> None:
        """Resamples the head into the part of the picture that it covers."""
        width, height = self.size
        zoom = self.person.scale * height / UNIT * pose.scale  # canonical pixels to picture pixels
        cx = width * self.person.centre[0] + pose.shift[0] * UNIT * zoom
        cy = height * self.person.centre[1] + pose.shift[1] * UNIT * zoom
        angle = np.deg2rad(pose.roll)
        cos, sin = np.cos(angle), np.sin(angle)
        x = cx + zoom * (cos * self._corners[:, 0] - sin * self._corners[:, 1])  # (4,)
        y = cy + zoom * (sin * self._corners[:, 0] + cos * self._corners[:, 1])
        left, right = max(0, int(x.min()) - 1), min(width, int(x.max()) + 2)
        top, bottom = max(0, int(y.min()) - 1), min(height, int(y.max()) + 2)
        a, b = cos / zoom, sin / zoom  # picture to canonical: the inverse rotation and zoom
        dx, dy = cx - left, cy - top
        matrix = (a, b, ORIGIN[0] - a * dx - b * dy, -b, a, ORIGIN[1] + b * dx - a * dy)
        patch = head.transform((right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        picture.paste(patch.convert("RGB"), (left, top), patch.getchannel(3))


def _outline(person: Person, grow: float = 0.0) -> Tuple[np.ndarray, np.ndarray]:
    """The face's contour in units: an oval that narrows to the chin."""
    x, y = np.cos(_ANGLES), np.sin(_ANGLES)
    x = x * np.where(y > 0, 1.0 - (1.06 - person.jaw) * y ** 2 * 1.3, 1.0)
    return x * (1.0 + grow), y * (person.length + grow)


def _ellipse(image: Image.Image, centre, radii, colour) -> None:
    cx, cy = ORIGIN[0] + centre[0] * UNIT, ORIGIN[1] + centre[1] * UNIT
    rx, ry = radii[0] * UNIT, radii[1] * UNIT
    ImageDraw.Draw(image).ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=colour)


def _soft(base: Image.Image, colour, strength: float, blur: float, shapes) -> Image.Image:
    """Lays blurred ellipses [(centre, radii), ...] of one colour over the image."""
    mask = Image.new("L", CANVAS)
    for centre, radii in shapes:
        _ellipse(mask, centre, radii, int(255 * strength))
    return Image.composite(Image.new("RGB", CANVAS, colour), base, mask.filter(ImageFilter.GaussianBlur(blur * UNIT)))


def _paint_head(person: Person) -> Tuple[Image.Image, Image.Image, Image.Image]:
    """The head at rest without features, RGB, its mask, L, and where its complexion may change, L; all CANVAS."""
    head = Image.new("RGB", CANVAS, person.hair)
    mask = Image.new("L", CANVAS)
    face_mask = Image.new("L", CANVAS)
    Pen(face_mask).shape(*_outline(person), 255)
    _hair_behind(person, mask)
    for side in (-1.0, 1.0):
        _ellipse(mask, (side * 1.0, 0.05), (0.15, 0.24), 255)
    mask = ImageChops.lighter(mask, face_mask)
    ears = Image.new("L", CANVAS)
    for side in (-1.0, 1.0):
        _ellipse(ears, (side * 1.0, 0.05), (0.15, 0.24), 255)
    covered = person.hair_style == 1
    head.paste(shade(person.hair if covered else person.skin, 0.86), (0, 0), ears)
    face = _shaded_face(person)
    head.paste(face, (0, 0), face_mask)
    hair = _hair_in_front(person, head, face_mask)
    lit = np.asarray(head, np.float32)
    across = (np.arange(CANVAS[0], dtype=np.float32) - ORIGIN[0]) / UNIT
    gain = person.exposure * (1.0 + 0.16 * person.light * across)  # (W,)
    head = Image.fromarray(np.clip(lit * gain[None, :, None], 0, 255).astype(np.uint8))
    skin = ImageChops.subtract(ImageChops.subtract(face_mask, hair).filter(ImageFilter.GaussianBlur(2.0)),
                               _sockets(person))
    return head.filter(ImageFilter.GaussianBlur(0.8)), mask.filter(ImageFilter.GaussianBlur(1.0)), skin


def _sockets(person: Person) -> Image.Image:
    """Eye sockets and the nose's base, L: where a face stays dark even when it turns pale."""
    mask = Image.new("L", CANVAS)
    for side in (-1.0, 1.0):
        _ellipse(mask, (side * person.eye_gap, -person.eye_height - 0.03), (0.28, 0.17), 190)
    _ellipse(mask, (0.0, person.nose_length - person.eye_height + 0.16), (0.18, 0.06), 220)
    return mask.filter(ImageFilter.GaussianBlur(0.06 * UNIT))


def _shaded_face(person: Person) -> Image.Image:
    """Skin with sockets, nose, cheeks, chin and stubble; the detector looks for just this shading."""
    skin, dark = person.skin, shade(person.skin, 0.50)
    face = Image.new("RGB", CANVAS, skin)
    eye, nose = -person.eye_height, person.nose_length - person.eye_height + 0.12
    face = _soft(face, dark, 0.66, 0.10, [((s * person.eye_gap, eye - 0.05), (0.29, 0.19)) for s in (-1, 1)])
    face = _soft(face, dark, 0.45, 0.10, [((s * 1.02, 0.35), (0.13, 0.85)) for s in (-1, 1)])
    face = _soft(face, dark, 0.40, 0.09, [((0.0, person.length + 0.02), (0.55, 0.10))])
    face = _soft(face, shade(skin, 1.12), 0.55, 0.10,
                 [((s * 0.52, 0.32), (0.20, 0.16)) for s in (-1, 1)] + [((0.0, -0.80), (0.45, 0.20))])
    face = _soft(face, shade(skin, 1.15), 0.75, 0.045, [((0.0, (eye + nose) / 2), (0.05, (nose - eye) / 2 - 0.03))])
    face = _soft(face, dark, 0.38, 0.05, [((s * 0.15, (eye + nose) / 2 + 0.05), (0.05, 0.22)) for s in (-1, 1)])
    face = _soft(face, dark, 0.80, 0.035, [((0.0, nose + 0.045), (0.17, 0.035))])
    face = _soft(face, shade(skin, 0.25), 0.80, 0.018, [((s * 0.09, nose + 0.03), (0.045, 0.028)) for s in (-1, 1)])
    face = _soft(face, dark, 0.35, 0.05, [((0.0, person.mouth_drop + 0.20), (0.22, 0.05))])
    if person.stubble:
        face = _soft(face, blend(person.hair, skin, 0.35), 0.32 * person.stubble, 0.12,
                     [((0.0, person.length - 0.28), (0.66, 0.36)), ((0.0, person.mouth_drop - 0.15), (0.32, 0.06))])
    return face


def _hair_behind(person: Person, mask: Image.Image) -> None:
    """Adds to the mask what the hair covers around the face."""
    top = person.length
    if person.hair_style in (0, 1, 2):
        grow = {0: 0.10, 1: 0.20, 2: 0.32}[person.hair_style]
        _ellipse(mask, (0.0, -0.28), (1.02 + grow, top - 0.28 + grow), 255)
    if person.hair_style == 1:
        _ellipse(mask, (0.0, 0.55), (1.24, 1.15), 255)


def _hair_in_front(person: Person, head: Image.Image, face_mask: Image.Image) -> Image.Image:
    """Paints the hairline over the forehead, well above the brows; returns its mask, L."""
    cover = Image.new("L", CANVAS)
    colour = blend(person.hair, person.skin, 0.45) if person.hair_style == 3 else person.hair
    line = -person.length + 0.30 + 0.12 * person.fringe
    x = np.linspace(-1.15, 1.15, 31)
    part = 0.07 * np.sin(3.0 * x + 4.0 * person.fringe)
    y = line + 0.60 * np.abs(x) ** 2.6 + part
    Pen(cover).shape(np.concatenate([x, x[::-1]]), np.concatenate([y, np.full(31, -2.2)]), 255)
    cover = ImageChops.multiply(cover, face_mask).filter(ImageFilter.GaussianBlur(1.5))
    head.paste(colour, (0, 0), cover)
    strands = ImageDraw.Draw(head)
    for k in range(-5, 6):  # a few lighter strands, so that the hair is not one flat patch
        x0, x1 = ORIGIN[0] + k * 0.10 * UNIT, ORIGIN[0] + k * 0.17 * UNIT
        strands.line((x0, ORIGIN[1] - (person.length + 0.05) * UNIT, x1, ORIGIN[1] + (line - 0.07) * UNIT),
                     fill=shade(colour, 1.22), width=2)
    return cover


def _paint_background(person: Person, size: Tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A wall with a few things on it out of focus, a neck and shoulders."""
    width, height = size
    image = Image.new("RGB", size, person.wall)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.8 * height)
        w, h = rng.uniform(0.1, 0.3) * width, rng.uniform(0.1, 0.4) * height
        draw.rectangle((x, y, x + w, y + h), fill=shade(person.wall, rng.uniform(0.6, 1.15)))
    image = image.filter(ImageFilter.GaussianBlur(height / 50))
    draw = ImageDraw.Draw(image)
    unit = person.scale * height
    cx, cy = width * person.centre[0], height * person.centre[1]
    shoulder = cy + (person.length + 0.40) * unit
    draw.ellipse((cx - 2.1 * unit, shoulder, cx + 2.1 * unit, shoulder + 2.4 * unit), fill=person.cloth)
    neck = shade(person.skin, 0.78)
    draw.rectangle((cx - 0.50 * unit, cy + 0.6 * unit, cx + 0.50 * unit, shoulder + 0.10 * unit), fill=neck)
    draw.ellipse((cx - 0.50 * unit, shoulder - 0.12 * unit, cx + 0.50 * unit, shoulder + 0.30 * unit), fill=neck)
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    gain = person.exposure * (1.0 + 0.16 * person.light * across)  # (W,)
    lit = np.asarray(image.filter(ImageFilter.GaussianBlur(1.0)), np.float32) * gain[None, :, None]
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
