# SPDX-License-Identifier: Apache-2.0
"""A voice out of source and formants: a glottal wave and breath through the resonances of a vocal tract.

Each of the seven channels changes what can be heard on its own: breathiness; tempo with open vowels (laughing); pauses
with tense vowels; a rough and scraping throat; moaning through nearly closed lips; a high pitch with gasps; loudness
with a rising tune.
"""

from __future__ import annotations

from typing import Callable

import numpy as np
from scipy.signal import butter, sosfilt

from mindface_eri.synthetic.people import Person

SAMPLE_RATE = 16000
_BANDWIDTHS = (90.0, 110.0, 160.0, 220.0)  # Hz, of the four formants
_LOW = butter(2, 900.0, fs=SAMPLE_RATE, output="sos")
_THROAT = butter(2, (1800.0, 3200.0), "bandpass", fs=SAMPLE_RATE, output="sos")
_GASP = butter(2, (5200.0, 7400.0), "bandpass", fs=SAMPLE_RATE, output="sos")
_ROOM = 0.0008  # deviation of the room's noise, of full scale


def speak(person: Person, intensities: np.ndarray, envelope: Callable[[float], float], samples: int,
          rng: np.random.Generator) -> np.ndarray:
    """Speaks nonsense syllables for the length of a clip.

    Args:
        person: whose resting pitch and vocal tract are used.
        intensities: (7,) in [0, 1], in the order of `EMOTIONS`.
        envelope: level of the reaction at a share of the clip.
        samples: length of the result at 16 kHz.
        rng: source of all that varies between syllables.

    Returns:
        (samples,) float32 in [-1, 1].
    """
    wave = _undertone(person, float(intensities[0]), float(intensities[4]), envelope, samples, rng)
    at = int(0.05 * SAMPLE_RATE * rng.random())
    while at < samples:
        felt = envelope(at / samples) * intensities
        beat = 1.0 / (2.8 * (1.0 + 1.6 * felt[1]))  # seconds from syllable to syllable
        voiced = 0.72 * beat * rng.uniform(0.85, 1.1)
        pause = (0.28 * beat + 0.30 * felt[2]) * rng.uniform(0.8, 1.2)
        sound = _syllable(person, felt, int(voiced * SAMPLE_RATE), rng)
        end = min(samples, at + len(sound))
        wave[at:end] += sound[:end - at]
        at += len(sound) + int(pause * SAMPLE_RATE)
    return np.tanh(wave).astype(np.float32)


def _undertone(person: Person, breathy: float, moaning: float, envelope: Callable[[float], float], samples: int,
               rng: np.random.Generator) -> np.ndarray:
    """What goes on between and under the syllables: the room, breathing, a moan; (samples,) float32."""
    level = np.array([envelope(share) for share in np.linspace(0.0, 1.0, 64)])
    level = np.interp(np.linspace(0.0, 63.0, samples), np.arange(64.0), level)
    noise = rng.standard_normal(samples)
    noise[1:] -= 0.6 * noise[:-1]
    phase = np.cumsum(np.full(samples, 0.92 * person.pitch / SAMPLE_RATE))
    moan = sosfilt(_LOW, 2.0 * (phase - np.floor(phase)) - 1.0)
    wave = 10.0 ** (1.5 * breathy * level) * noise  # both grow in decibels, by up to 30 dB
    wave += 1.8 * (10.0 ** (1.5 * moaning * level) - 1.0) * moan
    return (_ROOM * wave).astype(np.float32)


def _syllable(person: Person, felt: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """One syllable, (length,) float32."""
    adoration, amusement, anxiety, disgust, pain, fear, surprise = felt
    share = np.linspace(0.0, 1.0, length)
    melody = 0.04 * rng.standard_normal() - 0.10 * share + 0.40 * surprise * share + 0.75 * fear - 0.15 * disgust
    source = _source(person.pitch * np.exp(melody), disgust, adoration, rng)
    formants = person.tract * np.array([
        480.0 * (1.0 + 0.75 * amusement), 1350.0 * (1.0 + 0.55 * anxiety), 2550.0, 3500.0 + 700.0 * fear])
    formants = formants * np.exp(0.04 * rng.standard_normal(4))
    widths = np.array(_BANDWIDTHS) * np.array([1.0, 1.0, 1.0, 1.0 - 0.7 * fear])
    sound = sosfilt(_resonators(formants, widths), source)
    sound = sound / (np.sqrt(np.mean(sound ** 2)) + 1e-9)
    if pain > 0.02:  # muffled, the lips nearly closed: all above 900 Hz sinks by up to 24 dB
        low = sosfilt(_LOW, sound)
        sound = low + 10.0 ** (-24.0 * pain / 20.0) * (sound - low)
    sound = sound + _friction(_THROAT, disgust, length, rng) + _friction(_GASP, fear, length, rng)
    loudness = 0.03 * 10.0 ** ((17.0 * surprise + rng.normal(0.0, 0.6)) / 20.0)
    attack = 0.6 - 0.35 * amusement  # laughing syllables are clipped
    return (loudness * np.sin(np.pi * share) ** attack * sound).astype(np.float32)


def _friction(band: np.ndarray, strength: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band of frequencies, from 30 to 4 dB below the voice; nothing at strength 0. (length,) float64."""
    noise = sosfilt(band, rng.standard_normal(length))
    level = 10.0 ** ((26.0 * strength - 30.0) / 20.0) if strength > 0.01 else 0.0
    return level * noise / (np.sqrt(np.mean(noise ** 2)) + 1e-9)


def _source(pitch: np.ndarray, rough: float, breathy: float, rng: np.random.Generator) -> np.ndarray:
    """Glottal wave with every second period weakened by roughness, and breath noise; (length,) float64."""
    phase = np.cumsum(pitch / SAMPLE_RATE)
    period = np.floor(phase).astype(np.int64)
    flutter = 1.0 + (0.02 + 0.25 * rough) * rng.standard_normal(period[-1] + 1)
    buzz = (2.0 * (phase - period) - 1.0) * (1.0 - 0.9 * rough * (period % 2)) * flutter[period]
    hiss = rng.standard_normal(len(pitch))
    hiss[1:] -= 0.6 * hiss[:-1]
    return buzz * (1.0 - 0.5 * breathy) + 10.0 ** ((-34.0 + 30.0 * breathy) / 20.0) * hiss  # breath grows in dB


def _resonators(centres: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Second-order sections of unit gain at 0 Hz, one a formant: (formants, 6)."""
    radius = np.exp(-np.pi * widths / SAMPLE_RATE)
    angle = 2.0 * np.pi * np.minimum(centres, 0.47 * SAMPLE_RATE) / SAMPLE_RATE
    a1, a2 = -2.0 * radius * np.cos(angle), radius ** 2
    zeros = np.zeros_like(a1)
    return np.stack([1.0 + a1 + a2, zeros, zeros, np.ones_like(a1), a1, a2], axis=1)
