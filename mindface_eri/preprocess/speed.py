# SPDX-License-Identifier: Apache-2.0
"""Copies of a clip's sound for training: played faster or slower as a tape is, pitch and tempo together, with noise.

The picture stays as it is, and so do the instants: what a stack of a copy holds is what the clip's own stack holds, a
little more or less of it, higher or lower.
"""

from __future__ import annotations

from typing import Iterable, Iterator

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.preprocess.acoustic import offset_of
from mindface_eri.preprocess.audio import Audio
from mindface_eri.preprocess.mfcc import mfcc_stacks
from mindface_eri.preprocess.visual import Visual

_BLOCK = 1 << 16  # samples that are played at a time


def copies_of(sound: Audio, visual: Visual, config: PreprocessConfig) -> np.ndarray:
    """(C, T, M) float32: the MFCC stacks of the sound at each of `config.augment.speeds`, at the clip's instants."""
    audio, augment, copies = config.audio, config.augment, []
    loudness = _loudness(sound.pieces()) if augment.noise else 0.0
    for number, asked in enumerate(augment.speeds):
        speed = round(audio.sample_rate * asked) / audio.sample_rate
        # The same noise for the same clip, whoever extracts it and when.
        noise = np.random.default_rng((number, sound.samples))
        pieces = with_noise(played(sound.pieces(), speed, audio.sample_rate), augment.noise * loudness, noise)
        copies.append(mfcc_stacks(pieces, visual.timestamps / speed, audio, offset_of(visual, sound) / speed,
                                  round(sound.samples / speed), float(visual.duration) / speed))
    return np.stack(copies)


def played(pieces: Iterable[np.ndarray], speed: float, sample_rate: int) -> Iterator[np.ndarray]:
    """A waveform in pieces, (n,) float32 each, at another speed: 2 is twice as fast, and an octave higher."""
    import av

    if speed == 1.0:
        yield from pieces
        return
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    for piece in pieces:
        for first in range(0, len(piece), _BLOCK):
            part = np.ascontiguousarray(piece[first:first + _BLOCK], np.float32)
            frame = av.AudioFrame.from_ndarray(part[None], format="flt", layout="mono")
            frame.sample_rate = round(sample_rate * speed)
            yield from (out.to_ndarray().reshape(-1) for out in resampler.resample(frame))
    yield from (out.to_ndarray().reshape(-1) for out in resampler.resample(None))


def with_noise(pieces: Iterable[np.ndarray], deviation: float, noise: np.random.Generator) -> Iterator[np.ndarray]:
    """A waveform in pieces, with white noise of this deviation."""
    for piece in pieces:
        yield piece if deviation == 0 else piece + deviation * noise.standard_normal(len(piece), np.float32)


def _loudness(pieces: Iterable[np.ndarray]) -> float:
    """The root of the mean square."""
    squares, count = 0.0, 0
    for piece in pieces:
        squares += float(np.square(piece, dtype=np.float64).sum())
        count += len(piece)
    return (squares / max(count, 1)) ** 0.5
