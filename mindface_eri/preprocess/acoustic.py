# SPDX-License-Identifier: Apache-2.0
"""The acoustic half of a clip: its sound, and what of it belongs to the sampled instants."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Optional, Tuple

import numpy as np

from mindface_eri.config import AudioConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import Audio, heard_audio, load_audio
from mindface_eri.preprocess.envelope import Envelope, EnvelopeOf
from mindface_eri.preprocess.mfcc import mfcc_stacks
from mindface_eri.preprocess.sound_choice import Listener
from mindface_eri.preprocess.visual import Visual, nested

_BESIDE = 1.0  # seconds of sound that may lie outside a picture which shows no face


def sound_of(path: os.PathLike, listener: Optional[Listener], config: AudioConfig) -> Tuple[Optional[Audio], str]:
    """A clip's sound and a word about it: which track it is, or why there is none.

    Args:
        listener: heard the file while its picture was read. Without one it is a sound file beside the picture: its
            start is no place on the picture's clock (nan).
    """
    if listener is not None and listener.deaf:
        return None, "no sound track"
    try:
        audio = (load_audio(path, config.sample_rate, config.silence) if listener is None
                 else heard_audio(path, listener, config.sample_rate))
    except MediaError as error:
        return None, str(error) if listener is None else str(error).replace(f"{path}: ", "", 1)
    if audio.peak < config.silence:
        return None, f"the sound is silent (peak {audio.peak:.1e} of full scale)"
    return (replace(audio, start=float("nan")) if listener is None else audio), audio.note


def is_cover(planned: np.ndarray, sound: Optional[Audio]) -> bool:
    """Whether a picture stream is a single picture, as on a record's cover, beside sound that goes on."""
    return len(planned) == 1 and sound is not None and sound.seconds > _BESIDE


def is_alone(visual: Optional[Visual], sound: Optional[Audio]) -> bool:
    """Whether the sound is all that there is: no picture, or one without a face that does not span the sound."""
    if visual is None or sound is None or visual.present:
        return visual is None
    begin = offset_of(visual, sound)
    inside = min(begin + sound.seconds, visual.duration) - max(begin, 0.0)
    return sound.seconds - max(inside, 0.0) > _BESIDE


def beside(sound: Audio, visual: Optional[Visual], count: int, size: int) -> Visual:
    """`count` instants without crops, spread over the sound; what is known of a picture without a face is kept."""
    empty = Visual.empty(np.linspace(0.0, sound.seconds, count), size)
    known = {} if visual is None else {name: getattr(visual, name) for name in (
        "fps", "width", "height", "note", "found_share", "others", "track")}
    return replace(empty, start=sound.start, duration=sound.seconds, **known)


def offset_of(visual: Visual, sound: Audio) -> float:
    """The second after the picture's begin at which the sound begins."""
    both = np.isfinite(sound.start) and np.isfinite(visual.start)
    return sound.start - visual.start if both else 0.0


def stacks_and_envelope(sound: Audio, visual: Visual, config: AudioConfig) -> Tuple[np.ndarray, Envelope]:
    """(T, M) MFCC stacks of the instants, and the envelope over the clip, from one pass over the sound."""
    offset = offset_of(visual, sound)
    drawn = EnvelopeOf(config.sample_rate, offset, float(visual.duration))
    mfcc = mfcc_stacks(drawn.through(sound.pieces()), visual.timestamps, config, offset, sound.samples,
                       float(visual.duration))
    return mfcc, drawn.envelope()


def coarse_stacks(sound: Audio, visual: Visual, config: AudioConfig, coarse: int) -> Optional[np.ndarray]:
    """(coarse, M) stacks of so many of the T instants as when these are sampled alone; None where the T hold them."""
    step = nested(coarse, len(visual.timestamps))
    if config.cover == "centred" or step < 2:
        return None
    return mfcc_stacks(sound.pieces(), visual.timestamps[::step], config, offset_of(visual, sound), sound.samples,
                       float(visual.duration))
