# SPDX-License-Identifier: Apache-2.0
"""From a clip file to what the network takes: crops, MFCC stacks and the modalities' presence."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import Callable, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import Config, PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.acoustic import beside, coarse_stacks, is_alone, is_cover, sound_of, stacks_and_envelope
from mindface_eri.preprocess.audio import Audio, check_bytes, listener_for
from mindface_eri.preprocess.downmix import Mix
from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.preprocess.speed import copies_of
from mindface_eri.preprocess.track import Track
from mindface_eri.preprocess.video import MediaInfo, scan
from mindface_eri.preprocess.visual import Visual, extract_faces

_COVER = "a single picture beside the sound is no film of a face"


@dataclass(frozen=True)
class Clip:
    """One clip, ready for the records. T sampled frames, S the crop's side, M MFCC features of one stack."""

    frames: np.ndarray  # (T, S, S, 3) uint8 RGB; without a face the nearest crop that shows it, zeros if none does
    mfcc: np.ndarray  # (T, M) float32; zeros without sound
    present: np.ndarray  # (2,) float32: visual, acoustic
    timestamps: np.ndarray  # (T,) float32 seconds since the first frame, or since the sound's begin without picture
    boxes: np.ndarray  # (T, 4) float32: x0, y0, x1, y1 of the crops, pixels of the upright frame; zeros: state none
    landmarks: np.ndarray  # (T, 68, 2) float32 pixels of the upright frame, smoothed over time; zeros: state none
    detected: np.ndarray  # (T,) uint8, indices into FRAME_STATES
    detector: str  # "dlib", "mtcnn", a registered one, or "none"
    found_share: float  # frames with the face, seen or followed, over all frames in which it was looked for
    others: int  # other people seen
    duration: float  # seconds
    fps: float
    width: int
    height: int
    followed_share: float = 0.0  # of these frames, those in which it was only followed from where it was seen
    note: str = ""  # what went wrong with a modality that is absent, and which stream was taken where there were more
    envelope: Envelope = field(default_factory=Envelope.silent)  # peaks of the sound over time; records leave it out
    track: Track = field(default_factory=lambda: Track.empty(np.zeros(0)))  # the face in every frame; likewise
    media: Optional[MediaInfo] = None  # what the first pass found, for whoever reads the file again; likewise
    mix: Mix = field(default_factory=Mix)  # which sound was taken of the file, and how; likewise
    # Of sound that is covered whole, where more instants were taken than the network sees: the stacks of those that it
    # sees, which are longer; likewise
    coarse_mfcc: Optional[np.ndarray] = None
    copies: Optional[np.ndarray] = None  # (C, T, M) float32: `mfcc` of copies of the sound, for training; None without

    @property
    def face_words(self) -> str:
        """In how many frames the face was seen by the detector and, apart from these, followed by its landmarks."""
        seen = f"face seen in {100 * (self.found_share - self.followed_share):.0f}% of frames"
        followed = f", followed in {100 * self.followed_share:.0f}%" if round(100 * self.followed_share) else ""
        return f"{seen}{followed} ({self.detector})"

    @property
    def other_words(self) -> str:
        """How many others there are, nothing if there are none."""
        return f"{self.others} other {'person' if self.others == 1 else 'people'}" if self.others else ""

    @property
    def quality(self) -> str:
        """One line for people: what was found, by what, and what is missing."""
        states = {name: int((self.detected == i).sum()) for i, name in enumerate(FRAME_STATES)}
        if self.present[0]:
            face = (f"{self.face_words}; of {len(self.detected)} crops "
                    + ", ".join(f"{states[name]} {name}" for name in reversed(FRAME_STATES) if states[name]))
            face += f"; {self.other_words}" if self.others else ""
        else:
            face = "no picture used"
        sound = "sound" if self.present[1] else "no sound"
        return "; ".join(part for part in (face, sound, self.note) if part)

    def every(self, step: int) -> Clip:
        """The clip with every `step`-th of its instants, from the first, as if these were sampled alone.

        Of sound that is covered whole these can only be as many as the network sees; others have holes between stacks.
        """
        names = ("frames", "mfcc", "timestamps", "boxes", "landmarks", "detected")
        thin = replace(self, **{name: getattr(self, name)[::step] for name in names})
        if self.coarse_mfcc is not None and len(self.coarse_mfcc) == len(thin.mfcc):
            thin = replace(thin, mfcc=self.coarse_mfcc, coarse_mfcc=None)
        shows = bool(self.present[0]) and bool(thin.detected.any())
        return replace(thin, present=np.array([shows, self.present[1]], np.float32))

    def content_hash(self) -> str:
        """sha256, in hexadecimal, over the arrays' bytes, types and shapes."""
        digest = hashlib.sha256()
        for name in ("frames", "mfcc", "present", "timestamps", "boxes", "landmarks", "detected"):
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(array.tobytes())
        if self.copies is not None:
            digest.update(f"copies:{self.copies.shape};".encode() + self.copies.tobytes())
        return digest.hexdigest()


def extract_clip(path: Union[str, os.PathLike], config: Union[PreprocessConfig, Config, None] = None, *,
                 audio_path: Optional[Union[str, os.PathLike]] = None,
                 instants: Optional[Callable[[float], int]] = None, copies: bool = False) -> Clip:
    """Takes a clip apart (paper sections 3.1 and 3.3): a first pass reads time stamps and sound, a second the picture.

    Args:
        path: video with or without sound, or sound alone; whatever FFmpeg reads.
        config: defaults to the paper's.
        audio_path: a sound file that wins over the clip's own track; its first sample belongs to the first frame. If it
            cannot be read the sound is absent: the clip's own track does not silently take its place.
        instants: how many instants to sample of a clip that is so many seconds long; by default `config.frames`.
        copies: whether to make the copies of the sound that `config.augment` wants for training.

    Returns:
        A `Clip`. A modality that cannot be had is zeros, `present` 0 and a word in `quality`.

    Raises:
        MediaError: neither modality can be obtained; the message gives both reasons.
        MissingDependencyError: a package that is needed is not installed.
    """
    config = PreprocessConfig() if config is None else getattr(config, "preprocess", config)
    audio = config.audio
    own = listener_for(audio.sample_rate, audio.silence) if audio_path is None else None
    try:
        check_bytes(path)
        (info, planned), trouble = scan(path, own), ""
    except MediaError as error:
        if audio_path is None:
            raise
        info, planned, trouble = MediaInfo(0.0, False, False), np.zeros(0), str(error)
    sound, word = sound_of(path if own else audio_path, own, audio)
    count_of = instants or (lambda seconds: config.frames)
    cover = is_cover(planned, sound)
    count = count_of(sound.seconds if cover else _seconds(planned, sound))
    visual, no_face = (None, _COVER) if cover else _visual(path, info, planned, config, count)
    no_face = trouble or no_face
    if (visual is None or not visual.present) and sound is None:
        raise MediaError(f"{path}: nothing to work on: picture: {no_face or visual.note}; sound: {word}")
    if is_alone(visual, sound):
        count = count if visual is None else count_of(sound.seconds)
        visual = beside(sound, visual, count, config.face.size)
    clip = assemble(info, visual, sound, config, "; ".join(filter(None, (info.note, no_face, word))))
    wanted = copies and sound is not None and config.augment.speeds
    return replace(clip, copies=copies_of(sound, visual, config)) if wanted else clip


def _seconds(planned: np.ndarray, sound: Optional[Audio]) -> float:
    """From the first to the last picture, 0 for a single one, or of sound where there is no picture."""
    if len(planned):
        return float(planned[-1] - planned[0])
    return sound.seconds if sound is not None else 0.0


def _visual(path: os.PathLike, info: MediaInfo, planned: np.ndarray, config: PreprocessConfig,
            count: int) -> Tuple[Optional[Visual], str]:
    if not info.has_video:
        return None, "no video stream"
    try:
        visual = extract_faces(path, info, planned, config, count)
    except MediaError as error:
        return None, str(error).replace(f"{path}: ", "", 1)
    return visual, visual.note


def assemble(info: MediaInfo, visual: Visual, sound: Optional[Audio], config: PreprocessConfig, note: str) -> Clip:
    """Picture and sound as one clip.

    Args:
        note: what went wrong with either.
    """
    mfcc, envelope = np.zeros((len(visual.timestamps), config.audio.features), np.float32), Envelope.silent()
    coarse = None
    if sound is not None:
        mfcc, envelope = stacks_and_envelope(sound, visual, config.audio)
        coarse = coarse_stacks(sound, visual, config.audio, config.frames)
    return Clip(frames=visual.frames, mfcc=mfcc,
                present=np.array([visual.present, sound is not None], np.float32),
                timestamps=visual.timestamps.astype(np.float32), boxes=visual.boxes, landmarks=visual.landmarks,
                detected=visual.states, detector=visual.detector, found_share=visual.found_share,
                others=visual.others, duration=float(visual.duration), fps=float(visual.fps or info.fps),
                width=visual.width, height=visual.height, followed_share=visual.followed_share, note=note,
                envelope=envelope, track=visual.track, mix=sound.mix if sound is not None else Mix(), media=info,
                coarse_mfcc=coarse)
