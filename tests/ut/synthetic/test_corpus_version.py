# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the people, pictures and voices that `synthetic.VERSION` stands for.

They were looked at and listened to once; `corpus_v2.png` shows the pictures, each pixel the mean of 8 x 8. Where a
change of them is meant, raise VERSION and run this file: it writes them anew, under the new version's name.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindface_eri.synthetic import corpus as synthetic
from mindface_eri.synthetic import performance
from mindface_eri.synthetic.drawing import Portrait, Pose
from mindface_eri.synthetic.expression import Expression
from mindface_eri.synthetic.people import draw_person
from mindface_eri.synthetic.voice import SAMPLE_RATE, speak

HERE = Path(__file__).parent
PICTURES, NUMBERS = (HERE / f"corpus_v{synthetic.VERSION}.{ending}" for ending in ("png", "json"))
SIZE = (320, 240)
PEOPLE = (16, 3, 4, 10)  # seeds; they have the four hair styles, and stubble
MOVEMENTS = ("smile", "blush", "furrow", "sneer", "grief", "wide", "brows", "jaw", "blink")
EXPRESSIONS = {
    "rest": Expression(), **{name: Expression(**{name: 1.0}) for name in MOVEMENTS},
    "right": Expression(furrow=0.4, gaze=1.0), "smiling open": Expression(smile=0.6, jaw=0.7, blush=0.4),
    "little": Expression(**dict.fromkeys(MOVEMENTS[:-1], 0.18), gaze=-0.5),
    "half closed": Expression(wide=0.5, blink=0.6),
    "some": Expression(**dict.fromkeys(MOVEMENTS[:-1], 0.28), gaze=0.4, blink=0.1),
    **{f"at {level}": Expression(**dict.fromkeys(MOVEMENTS[:-1], level)) for level in (0.15, 0.2, 0.3)},
    "disgusted": Expression(sneer=0.6, grief=0.5, brows=0.5),
}
POSES = {"rolled": Pose(roll=20.0), "near": Pose(scale=1.2, shift=(0.3, -0.2)), "away": Pose(-15.0, 0.8, (-1.6, 0.9))}
EMOTIONS = np.eye(7)


def thumbnail(picture):
    """(240, 320, 3) to (30, 40, 3): what two versions of Pillow draw alike."""
    return picture.astype(float).reshape(30, 8, 40, 8, 3).mean(axis=(1, 3))


def pictures():
    """(name, thumbnail) of everything that is drawn."""
    for place, seed in enumerate(PEOPLE):
        rng = np.random.default_rng(seed)
        drawn = Portrait(dataclasses.replace(draw_person(rng), noise=0.0), SIZE, rng)
        for name, expression in EXPRESSIONS.items():
            if place == 0 or name in ("rest", "smiling open", "disgusted"):
                yield f"{seed} {name}", thumbnail(drawn.frame(expression, Pose()))
        if place == 1:
            for name, pose in POSES.items():
                yield f"{seed} {name}", thumbnail(drawn.frame(Expression(), pose))
    for index in (0, 3):
        plan = performance.plan(2, index, 7, (2.6, 3.4), (8, 12))
        frames = list(performance.draw_frames(plan, SIZE))
        for share in (0, 0.12, 0.5, 0.97):
            number = int(share * len(frames))
            yield f"clip {index} frame {number} of {len(frames)}", thumbnail(frames[number])


def levels(wave):
    """Decibels in eight bands of frequencies in ten pieces of time, (10, 8)."""
    pieces = wave[:len(wave) // 10 * 10].astype(float).reshape(10, -1)
    power = np.abs(np.fft.rfft(pieces)) ** 2
    edges = np.array([0, 130, 260, 500, 900, 1800, 3200, 5200, 8000]) * pieces.shape[1] // SAMPLE_RATE
    return [[round(float(10 * np.log10(row[a:b].mean() + 1e-9)), 1) for a, b in zip(edges, edges[1:])] for row in power]


def voices():
    """What is heard of two people without and with each emotion, half of it, and all of it rising; and of two clips."""
    rising = {"all": (np.full(7, 0.6), lambda share: share), "rest": (np.zeros(7), lambda share: 1.0),
              "half": (np.full(7, 0.5), lambda share: 1.0),
              "hardly": (np.array([0, 0, 0, 0.01, 0.02, 0.01, 0]), lambda share: 1.0)}
    cases = {**rising, **{f"emotion {e}": (EMOTIONS[e], lambda share: 1.0 if share < 0.7 else 0.4) for e in range(7)}}
    for seed in (3, 16):
        person = draw_person(np.random.default_rng(seed))
        for name, (intensities, envelope) in cases.items():
            if seed == 3 or name in rising:
                rng = np.random.default_rng(5)
                yield f"{seed} {name}", levels(speak(person, intensities, envelope, 2 * SAMPLE_RATE, rng))
    yield "clip 3", levels(performance.make_waveform(performance.plan(2, 3, 7, (2.6, 3.4), (8, 12))))


def plain(value):
    """Dataclasses and arrays as JSON has them, five digits of each number."""
    if dataclasses.is_dataclass(value):
        return {key: plain(entry) for key, entry in vars(value).items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    return value if isinstance(value, str) else float(f"{value:.5g}")


def numbers():
    """People and plans, by their seeds."""
    found = {f"person {seed}": plain(draw_person(np.random.default_rng(seed))) for seed in range(12)}
    for index in range(6):
        found[f"plan {index}"] = plain(performance.plan(2, index, 7 - index, (2.0, 6.0), (15, 30 + index)))
    return found


def test_people_and_plans_are_those_of_the_version():
    remembered, found = json.loads(NUMBERS.read_text())["numbers"], numbers()
    assert found.keys() == remembered.keys()
    for name, wanted in remembered.items():
        _check_alike(found[name], wanted, name)


def _check_alike(found, wanted, name):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), name
        for key, value in wanted.items():
            _check_alike(found[key], value, f"{name}, {key}")
    else:
        assert found == wanted if isinstance(wanted, str) else np.allclose(found, wanted, rtol=1e-3, atol=1e-4), (
            f"{name}: {found}, was {wanted}")


def test_pictures_are_those_of_the_version():
    sheet, pixels = json.loads(NUMBERS.read_text())["pictures"], np.asarray(Image.open(PICTURES), float)
    drawn = list(pictures())
    assert [name for name, _ in drawn] == sheet
    for place, (name, picture) in enumerate(drawn):
        top, left = place // 6 * 30, place % 6 * 40
        difference = np.abs(picture - pixels[top:top + 30, left:left + 40])
        assert difference.max() < 3.0 and difference.mean() < 0.6, name


def test_voices_are_those_of_the_version():
    remembered, found = json.loads(NUMBERS.read_text())["voices"], dict(voices())
    assert found.keys() == remembered.keys()
    for name, wanted in remembered.items():
        assert np.abs(np.array(found[name]) - wanted).max() < 0.25, name


def test_the_people_drawn_here_have_all_kinds_of_hair():
    people = [draw_person(np.random.default_rng(seed)) for seed in PEOPLE]
    assert {person.hair_style for person in people} == {0, 1, 2, 3} and any(person.stubble for person in people)
    assert any(not person.stubble for person in people)
    assert draw_person(np.random.default_rng(PEOPLE[0])).pitch == pytest.approx(people[0].pitch)


if __name__ == "__main__":
    shown = list(pictures())
    rows = -(-len(shown) // 6)
    canvas = np.zeros((rows * 30, 240, 3), np.uint8)
    for at, (_, small) in enumerate(shown):
        canvas[at // 6 * 30:at // 6 * 30 + 30, at % 6 * 40:at % 6 * 40 + 40] = np.round(small)
    Image.fromarray(canvas).save(PICTURES, optimize=True)
    NUMBERS.write_text(json.dumps({"pictures": [name for name, _ in shown], "voices": dict(voices()),
                                   "numbers": numbers()}, separators=(",", ":")) + "\n")
