# SPDX-License-Identifier: Apache-2.0
"""Invented people for the generated corpus: how one looks, where one sits, how one sounds. Nobody's likeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

Colour = Tuple[int, int, int]

# Skin from light to dark, hair, irises, clothes and walls, as RGB; a person's own colour is a jittered mix of two.
SKINS = ((244, 214, 192), (236, 196, 166), (222, 178, 142), (204, 156, 118), (178, 128, 92), (150, 104, 74))
HAIRS = ((32, 26, 24), (62, 42, 30), (96, 64, 40), (150, 108, 62), (206, 168, 104), (140, 66, 36), (150, 148, 146))
IRISES = ((70, 44, 26), (96, 66, 36), (62, 92, 120), (74, 104, 70), (88, 88, 92))
CLOTHES = ((60, 84, 120), (128, 52, 56), (54, 96, 78), (92, 78, 110), (70, 70, 74), (176, 150, 96), (196, 198, 204))
WALLS = ((188, 196, 204), (206, 198, 184), (168, 182, 172), (150, 158, 178), (190, 170, 160), (120, 130, 138))
COUNTRIES = ("China", "South Africa", "United States", "Venezuela")


@dataclass(frozen=True)
class Person:
    """Looks in units of the face's half width (1.0), colours as RGB, and the resting voice."""

    skin: Colour
    hair: Colour
    iris: Colour
    cloth: Colour
    wall: Colour
    lips: Colour
    length: float  # face half height
    jaw: float  # width of the jaw relative to an oval's
    eye_gap: float  # distance of an eye's centre from the middle
    eye_size: float  # half width of an eye
    eye_height: float  # of the eyes above the middle
    brow_height: float  # of the brows above the eyes
    brow_weight: float  # thickness
    nose_length: float
    mouth_width: float  # half width at rest
    mouth_drop: float  # of the mouth below the middle
    hair_style: int  # 0 short, 1 long, 2 full, 3 cropped
    fringe: float  # 0 high to 1 low
    stubble: float  # 0 to 1
    light: float  # -1 from the left to 1 from the right
    exposure: float  # gain of the picture
    noise: float  # deviation of the camera's noise, grey levels
    centre: Tuple[float, float]  # of the face, as shares of the frame
    scale: float  # face half width as a share of the frame's height
    tilt_side: float  # -1 or 1: to which side the head leans
    pitch: float  # resting fundamental frequency, Hz
    tract: float  # scale of the formants
    age: int
    country: str


def draw_person(rng: np.random.Generator) -> Person:
    """A person at random; the same generator state gives the same person."""
    female = rng.random() < 0.5
    skin = _mix(rng, SKINS)
    return Person(
        skin=skin, hair=_mix(rng, HAIRS), iris=_mix(rng, IRISES), cloth=_mix(rng, CLOTHES), wall=_mix(rng, WALLS),
        lips=tuple(int(0.58 * s + 0.38 * r) for s, r in zip(skin, (158, 30, 44))),
        length=rng.uniform(1.33, 1.44), jaw=rng.uniform(0.88, 1.0) - 0.05 * female,
        eye_gap=rng.uniform(0.41, 0.46), eye_size=rng.uniform(0.205, 0.24), eye_height=rng.uniform(0.18, 0.26),
        brow_height=rng.uniform(0.27, 0.32), brow_weight=rng.uniform(0.045, 0.075) - 0.012 * female,
        nose_length=rng.uniform(0.44, 0.54), mouth_width=rng.uniform(0.34, 0.41), mouth_drop=rng.uniform(0.62, 0.69),
        hair_style=int(rng.choice([1, 2, 0] if female else [0, 0, 2, 3])), fringe=rng.uniform(0.0, 1.0),
        stubble=0.0 if female or rng.random() < 0.6 else rng.uniform(0.3, 1.0),
        light=rng.uniform(-1.0, 1.0), exposure=rng.uniform(0.88, 1.06), noise=rng.uniform(1.5, 4.5),
        centre=(0.5 + rng.uniform(-0.07, 0.07), 0.50 + rng.uniform(-0.02, 0.03)), scale=rng.uniform(0.255, 0.29),
        tilt_side=float(rng.choice([-1.0, 1.0])),
        pitch=float(np.exp(rng.normal(np.log(165.0 if female else 125.0), 0.07))),
        tract=rng.uniform(1.04, 1.12) if female else rng.uniform(0.95, 1.03),
        age=int(rng.integers(18, 50)), country=str(rng.choice(COUNTRIES)))


def _mix(rng: np.random.Generator, colours: Tuple[Colour, ...]) -> Colour:
    """A colour between two neighbours of the palette, a little off."""
    index = rng.integers(0, len(colours) - 1)
    share = rng.random()
    mixed = (1 - share) * np.array(colours[index]) + share * np.array(colours[index + 1]) + rng.normal(0, 4, 3)
    return tuple(int(v) for v in np.clip(mixed, 5, 250))
