# SPDX-License-Identifier: Apache-2.0
"""What a drawn person does in one clip: the intensities, their course over time, and how face and voice show them.

The label of an emotion is the mean of what the face shows and what the voice carries, divided by the largest of the
seven. In some emotions of a clip the two agree, in the others they are drawn independently: so each modality alone
explains a part of the labels, and both together most of them. Noise on the label and on what is shown keeps a perfect
score out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np

from mindface_eri.synthetic.drawing import Portrait, Pose
from mindface_eri.synthetic.expression import Expression
from mindface_eri.synthetic.people import Person, draw_person
from mindface_eri.synthetic.voice import SAMPLE_RATE, speak

# Each emotion, by its place in the label, has one set of movements and one change of the voice; there are seven.
CHANNELS = 7
AGREEMENT = 0.5  # share of emotions that face and voice show alike; the others are shown by each on its own
LABEL_NOISE = 0.03  # deviation, before the row is divided by its largest
EXPRESSION_NOISE = 0.04  # deviation of a person's habit of showing more or less than felt


@dataclass(frozen=True)
class Envelope:
    """Course of a reaction over a clip: rest, onset, peak, decay; shares of the clip's length."""

    start: float
    peak: float
    decay: float
    rest: float  # level that is left at the end

    def __call__(self, share: float) -> float:
        """Level in [0, 1] at `share` of the clip."""
        if share < self.decay:
            return _smooth((share - self.start) / (self.peak - self.start))
        return 1.0 - (1.0 - self.rest) * _smooth((share - self.decay) / (1.0 - self.decay))


@dataclass(frozen=True)
class Performance:
    """One clip before it is drawn. `face` and `voice` are padded to CHANNELS; `label` has one value an emotion."""

    person: Person
    seconds: float
    fps: int
    face: np.ndarray  # (CHANNELS,) in [0, 1]
    voice: np.ndarray  # (CHANNELS,) in [0, 1]
    label: np.ndarray  # (E,) in [0, 1], the largest is 1
    envelope: Envelope
    seed: Tuple[int, int]


def plan(seed: int, index: int, emotions: int, duration: Tuple[float, float], fps: Tuple[int, int]) -> Performance:
    """Draws clip number `index` of the corpus with this seed; needs nothing of the other clips."""
    rng = _generator(seed, index, 0)
    face, voice = np.zeros(CHANNELS), np.zeros(CHANNELS)
    face[:emotions], voice[:emotions], both = rng.beta(0.4, 0.8, (3, emotions))
    agreeing = rng.random(emotions) < AGREEMENT
    face[:emotions][agreeing] = voice[:emotions][agreeing] = both[agreeing]
    felt = 0.5 * face[:emotions] + 0.5 * voice[:emotions] + rng.normal(0.0, LABEL_NOISE, emotions)
    felt = np.maximum(felt, 0.0) + 1e-6
    start = rng.uniform(0.0, 0.06)
    envelope = Envelope(start, start + rng.uniform(0.08, 0.16), rng.uniform(0.82, 0.95), rng.uniform(0.4, 0.8))
    habit = rng.normal(0.0, EXPRESSION_NOISE, (2, CHANNELS))
    shown = np.clip(np.stack([face, voice]) + habit, 0.0, 1.0)
    shown[:, emotions:] = 0.0
    return Performance(person=draw_person(_generator(seed, index, 1)), seconds=float(rng.uniform(*duration)),
                       fps=int(rng.integers(fps[0], fps[1] + 1)), face=shown[0], voice=shown[1],
                       label=np.round(felt / felt.max(), 4), envelope=envelope, seed=(seed, index))


def draw_frames(performance: Performance, size: Tuple[int, int]) -> Iterator[np.ndarray]:
    """Draws a clip frame by frame, each (H, W, 3) uint8 RGB; never holds more than one."""
    rng = _generator(*performance.seed, 2)
    portrait = Portrait(performance.person, size, rng)
    phases, rates = rng.uniform(0, 2 * np.pi, 6), rng.uniform(0.5, 1.3, 6)
    blink_every = rng.uniform(2.2, 4.0)
    for number in range(max(1, round(performance.seconds * performance.fps))):
        time = number / performance.fps
        sway = np.sin(phases + rates * 2.0 * np.pi * 0.45 * time)
        level = performance.envelope(time / performance.seconds) * (1.0 + 0.04 * np.sin(5.0 * time))
        expression = _express(np.clip(level * performance.face, 0.0, 1.0), sway,
                              (time + phases[0]) % blink_every < 0.13)
        pose = Pose(roll=7.0 * expression.tilt * performance.person.tilt_side + 1.5 * sway[0],
                    scale=1.0 + 0.02 * sway[1] - 0.03 * expression.wide, shift=(0.06 * sway[2], 0.03 * sway[3]))
        yield portrait.frame(expression, pose, tuple(int(v) for v in rng.integers(0, 64, 2)))


def _express(felt: np.ndarray, sway: np.ndarray, blinking: bool) -> Expression:
    """Movements of the face for the seven channels in the order of `EMOTIONS`."""
    adoration, amusement, anxiety, disgust, pain, fear, surprise = (float(v) for v in felt)
    return Expression(blush=adoration, tilt=adoration, smile=amusement, furrow=anxiety,
                      gaze=anxiety * (1.0 if sway[4] > 0 else -1.0), sneer=disgust, grief=pain, wide=fear,
                      brows=surprise, jaw=float(np.clip(surprise + 0.04 * (1.0 + sway[5]), 0.0, 1.0)),
                      blink=1.0 if blinking else 0.0)


def make_waveform(performance: Performance) -> np.ndarray:
    """The clip's voice: (samples,) float32 in [-1, 1] at `SAMPLE_RATE`."""
    rng = _generator(*performance.seed, 3)
    samples = round(performance.seconds * SAMPLE_RATE)
    return speak(performance.person, performance.voice, performance.envelope, samples, rng)


def _generator(seed: int, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, index, stream]))


def _smooth(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return share * share * (3.0 - 2.0 * share)
