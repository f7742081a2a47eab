# SPDX-License-Identifier: Apache-2.0
"""The computed voice: repeatable, and each channel changes what it says it changes."""

import numpy as np
import pytest

from mindface_eri.synthetic.people import draw_person
from mindface_eri.synthetic.voice import SAMPLE_RATE, speak

PERSON = draw_person(np.random.default_rng(11))
SECONDS = 4
ADORATION, AMUSEMENT, ANXIETY, DISGUST, PAIN, FEAR, SURPRISE = range(7)


def voice(channel=None, strength=1.0, seed=0, samples=SECONDS * SAMPLE_RATE):
    intensities = np.zeros(7)
    if channel is not None:
        intensities[channel] = strength
    return speak(PERSON, intensities, lambda share: 1.0, samples, np.random.default_rng(seed))


def loudness(wave):
    """Root mean square of 20 ms pieces, (pieces,)."""
    return np.sqrt((wave[:len(wave) // 320 * 320].reshape(-1, 320) ** 2).mean(axis=1))


def band(wave, low, high):
    """Share of the power between two frequencies."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    return power[(frequency >= low) & (frequency < high)].sum() / power.sum()


def fundamental(wave):
    """Median over loud pieces of the strongest lag of the autocorrelation, Hz."""
    pitches = []
    for start in range(0, len(wave) - 1024, 512):
        piece = wave[start:start + 1024].astype(float)
        if np.sqrt((piece ** 2).mean()) > 0.6 * np.sqrt((wave ** 2).mean()):
            rho = np.correlate(piece, piece, "full")[1023:]
            pitches.append(SAMPLE_RATE / (35 + np.argmax(rho[35:230])))  # 70 to 457 Hz
    return np.median(pitches)


@pytest.mark.parametrize("samples", [1, 1000, 32000])
def test_length_type_and_range(samples):
    wave = voice(samples=samples)
    assert wave.shape == (samples,) and wave.dtype == np.float32
    assert np.abs(wave).max() <= 1.0


def test_same_seed_same_voice():
    assert np.array_equal(voice(seed=1), voice(seed=1))
    assert not np.array_equal(voice(seed=1), voice(seed=2))


def test_resting_pitch_is_the_persons():
    assert fundamental(voice()) == pytest.approx(PERSON.pitch, rel=0.15)


def test_fear_raises_the_pitch():
    assert fundamental(voice(FEAR)) > 1.6 * fundamental(voice())


def test_surprise_is_louder_by_seventeen_decibels():
    ratio = np.sqrt((voice(SURPRISE) ** 2).mean() / (voice() ** 2).mean())
    assert 20 * np.log10(ratio) == pytest.approx(17.0, abs=2.5)


def test_amusement_speeds_up():
    def onsets(wave):
        loud = loudness(wave) > 0.4 * loudness(wave).max()
        return int((np.diff(loud.astype(int)) == 1).sum())

    assert onsets(voice(AMUSEMENT)) > 1.7 * onsets(voice())


def test_anxiety_makes_pauses():
    def silent(wave):
        return (loudness(wave) < 0.1 * loudness(wave).max()).mean()

    assert silent(voice(ANXIETY)) > silent(voice()) + 0.2


def test_adoration_is_breathy():
    assert band(voice(ADORATION), 4000, 8000) > 3 * band(voice(), 4000, 8000)


def test_pain_moans_through_the_pauses():
    quiet = [np.percentile(loudness(voice(channel)), 10) for channel in (None, PAIN)]
    assert quiet[1] > 5 * quiet[0]
    assert band(voice(PAIN), 0, 1000) > band(voice(), 0, 1000)


def test_disgust_adds_half_the_pitch():
    def subharmonic(wave, pitch):
        return band(wave, 0.4 * pitch, 0.6 * pitch) / band(wave, 0.9 * pitch, 1.1 * pitch)

    rough = voice(DISGUST)
    pitch = PERSON.pitch * np.exp(-0.15 - 0.05)
    assert subharmonic(rough, pitch) > 5 * subharmonic(voice(), PERSON.pitch)


def test_the_envelope_rules_the_course():
    def late(share):
        return 0.0 if share < 0.5 else 1.0

    intensities = np.zeros(7)
    intensities[SURPRISE] = 1.0
    wave = speak(PERSON, intensities, late, SECONDS * SAMPLE_RATE, np.random.default_rng(0))
    half = len(wave) // 2
    assert np.sqrt((wave[half + 8000:] ** 2).mean()) > 3 * np.sqrt((wave[:half - 8000] ** 2).mean())
