# SPDX-License-Identifier: Apache-2.0
"""MFCC stacks of a waveform: ours beside librosa called plainly on the same samples."""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np

from mindface_eri.benchmark.clips import drawn_sound
from mindface_eri.benchmark.harness import Row, in_turns, row
from mindface_eri.config import PreprocessConfig
from mindface_eri.preprocess.mfcc import mfcc_stacks


def benchmark_features(seconds: Sequence[float] = (12.0, 600.0), *, repeats: int = 3,
                       config: Optional[PreprocessConfig] = None) -> List[Row]:
    """One row a length of sound; the note says how far apart the numbers are."""
    config = config or PreprocessConfig()
    audio, rows = config.audio, []
    for length in seconds:
        sound = drawn_sound(length, audio.sample_rate)
        instants = np.linspace(0.2, length - 0.2, config.frames)
        times, results = in_turns({"ours": lambda s=sound, t=instants: mfcc_stacks(s, t, audio),
                                   "theirs": lambda s=sound, t=instants: _plain(s, t, audio)}, repeats)
        difference = float(np.abs(results["ours"] - results["theirs"]).max())
        rows.append(row(f"MFCC stacks of {length:g} s of sound", times, yardstick="librosa called plainly",
                        note=f"largest difference {difference:.1e} of values up to "
                             f"{float(np.abs(results['theirs']).max()):.0f}"))
    return rows


def _plain(sound: np.ndarray, instants: np.ndarray, audio) -> np.ndarray:
    """`librosa.feature.mfcc` over the whole waveform, and the frames around each instant joined."""
    import librosa

    frames = librosa.feature.mfcc(y=sound, sr=audio.sample_rate, n_mfcc=audio.coefficients, n_fft=audio.n_fft,
                                  hop_length=audio.hop_length, n_mels=max(128, audio.coefficients)).T
    stacks = []
    for instant in instants:
        first = int(np.floor(instant * audio.sample_rate / audio.hop_length - (audio.stack - 1) / 2 + 0.5))
        first = min(max(first, 0), len(frames) - audio.stack)
        stacks.append(frames[first:first + audio.stack].reshape(-1))
    return np.stack(stacks)
