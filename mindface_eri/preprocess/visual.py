# SPDX-License-Identifier: Apache-2.0
"""The visual half of a clip: one decode, faces followed on the way, crops of the sampled frames at the end.

Which frames are sampled is known before decoding, because packets carry the time stamps. The few sampled frames are
kept undecoded-to-RGB (1.5 bytes a pixel) until the geometry is final, where `_BUDGET` holds them all; otherwise they,
and those that a damaged file's packets did not announce truly, are fetched by a second decode that looks for no faces.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess.faces import FaceTrack, follow_face
from mindface_eri.preprocess.geometry import NONE, aligned_box, crop, face_boxes, fill_gaps, smooth
from mindface_eri.preprocess.picture import Picture
from mindface_eri.preprocess.track import Track
from mindface_eri.preprocess.upright import upright_hint
from mindface_eri.preprocess.video import MediaInfo, read_frames

_BUDGET = 400_000_000  # bytes of decoded frames kept in memory
_SURE = 0.95  # of the frames; a face found in fewer may be one that lies on its side


@dataclass(frozen=True)
class Visual:
    """Arrays as in `Clip`, and where the picture begins on the container's clock."""

    frames: np.ndarray
    timestamps: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    states: np.ndarray
    detector: str
    found_share: float
    others: int
    start: float  # seconds; nan without a picture
    duration: float
    fps: float
    width: int = 0  # of the upright frame
    height: int = 0
    note: str = ""
    followed_share: float = 0.0
    track: Track = field(default_factory=lambda: Track.empty(np.zeros(0)))  # over all decoded frames

    @property
    def present(self) -> bool:
        """Whether any sampled frame shows the face."""
        return bool((self.states != NONE).any())

    @classmethod
    def empty(cls, timestamps: np.ndarray, size: int) -> Visual:
        """All zeros."""
        count = len(timestamps)
        return cls(np.zeros((count, size, size, 3), np.uint8), timestamps, np.zeros((count, 4), np.float32),
                   np.zeros((count, 68, 2), np.float32), np.zeros(count, np.uint8), "none", 0.0, 0, float("nan"), 0.0,
                   0.0)


def extract_faces(path: os.PathLike, info: MediaInfo, planned: np.ndarray, config: PreprocessConfig,
                  count: int) -> Visual:
    """Samples `count` frames linearly over time and crops the followed face in each.

    Args:
        info, planned: from `video.scan`.

    Raises:
        MediaError: no frame can be decoded.
    """
    face = config.face
    reader = _Reader(path, info, planned, count, config.frames)
    track = follow_face(reader, face, "dlib" if face.detector == "auto" else face.detector, info.fps, reader.examines)
    word = ""
    if face.detector == "auto" and track.share < max(face.min_share, 1e-9):
        again = _Reader(path, info, planned, count, config.frames)
        other = follow_face(again, face, "mtcnn", info.fps, again.examines)
        if other.share > track.share:
            word, track = _too_few(track, face.min_share), other
    times = np.array(reader.times)
    picks = sample(times, count, config.frames)
    doubtful = track.share < _SURE or track.detector != "dlib"
    hint = upright_hint(reader.kept.values()) if doubtful else ""
    return visual_of(track, times, picks, config, reader.size, info.fps or 25.0,
                     _sampled(path, reader, picks), (word, hint))


def visual_of(track: FaceTrack, times: np.ndarray, picks: np.ndarray, config: PreprocessConfig, size: Tuple[int, int],
              fps: float, pictures: Iterable[Tuple[int, Picture]], words: Tuple[str, str] = ("", "")
              ) -> Visual:
    """What is sampled of N frames in which a face was followed.

    Args:
        times: (N,) seconds of the frames.
        picks: (T,) numbers of those that are sampled.
        size: width and height of the pictures.
        pictures: `(frame number, picture)` of those that are sampled, in any order.
        words: which detector was taken and why; how the picture seems to lie.
    """
    face, (word, hint) = config.face, words
    shown = {"start": float(times[0]), "duration": float(times[-1] - times[0]) + 1.0 / fps, "fps": fps,
             "width": size[0], "height": size[1]}
    empty = replace(Visual.empty(times[picks] - times[0], face.size), track=Track.empty(times - times[0]))
    if track.share < max(face.min_share, 1e-9):
        looked = int((track.found | track.missed).sum())
        note = (f"a face in {int(track.found.sum())} of {looked} frames, need {face.min_share:.0%}"
                if track.found.any() else f"nobody here has the face of {face.follow}" if track.stranger
                else f"no face in any of {looked} frames")
        return replace(empty, note="; ".join(filter(None, (note, hint))), found_share=track.share, **shown)
    barriers = (*track.cuts, *track.taken)
    filled, states = fill_gaps(track.landmarks, track.found, track.missed, face.gap_window, barriers)
    smoothed = smooth(filled, states, face.smoothing, barriers)
    placed = [_place(smoothed[i], states[i], face) for i in picks]
    shows = states != NONE
    whole = Track(times - times[0], face_boxes(smoothed, face.margin) * shows[:, None],
                  smoothed * shows[:, None, None], states)
    crops = _crop_all(pictures, picks, placed, states[picks], face.size)
    repeat_nearest(crops, states[picks], times[picks], config.frames)
    return replace(empty, frames=crops, boxes=np.stack([box for box, _ in placed]), states=states[picks],
                   landmarks=whole.landmarks[picks], detector=track.detector, found_share=track.share,
                   followed_share=track.followed_share, others=track.others, track=whole,
                   note="; ".join(filter(None, (word, _alike(track), hint))), **shown)


def _too_few(track: FaceTrack, least: float) -> str:
    """Why dlib's faces were not taken where it found some; where it found none the paper takes MTCNN, too."""
    seen, looked = int(track.found.sum()), int((track.found | track.missed).sum())
    return f"MTCNN's faces are taken, as dlib found one in {seen} of {looked} frames, under {least:.0%}" if seen else ""


def _alike(track: FaceTrack) -> str:
    return (f"the photograph fits {track.alike} people here, and the one nearest to it is followed" if track.alike > 1
            else "")


def repeat_nearest(crops: np.ndarray, states: np.ndarray, times: np.ndarray, coarse: int) -> None:
    """Gives each crop (T, S, S, 3) without a face the one nearest in time that has one, in place.

    Args:
        coarse: where this many instants lie among them, these repeat each other only, as when sampled alone.
    """
    sets = [np.arange(len(crops))]
    if nested(coarse, len(crops)) > 1:
        sets.append(sets[0][::nested(coarse, len(crops))])
    for those in sets:
        have = those[states[those] != NONE]
        for k in those[states[those] == NONE]:
            crops[k] = crops[have[np.argmin(np.abs(times[have] - times[k]))]] if len(have) else 0


def sample(times: np.ndarray, count: int, coarse: Optional[int] = None) -> np.ndarray:
    """(count,) frame numbers nearest to `count` instants spread linearly from the first to the last frame time.

    Args:
        coarse: where this many instants lie among them, their frames are those that they have when sampled alone,
            whatever floating point says of an instant half-way between two frames.
    """
    wanted = np.linspace(times[0], times[-1], count)
    if coarse is not None and nested(coarse, count):
        wanted[::nested(coarse, count)] = np.linspace(times[0], times[-1], coarse)
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(wanted - times[left] <= times[right] - wanted, left, right)


def nested(coarse: int, count: int) -> int:
    """Every how many of `count` evenly spread instants are `coarse` such ones; 0 where these are not among them."""
    return (count - 1) // (coarse - 1) if coarse > 1 and (count - 1) % (coarse - 1) == 0 else 0


class _Reader:
    """Iterates over (frame number, seconds, Picture), and keeps the pictures that will be cropped."""

    def __init__(self, path: os.PathLike, info: MediaInfo, planned: np.ndarray, count: int, coarse: int) -> None:
        self._path, self.info = path, info
        self.size = (0, 0)  # width and height
        self._wanted = self._examined = planned
        if len(planned):
            self._wanted = planned[np.unique(sample(planned, count, coarse))]
            # Where the coarse instants lie among them the face is followed as for these alone: what is known of them
            # must not depend on how many others are wanted.
            if nested(coarse, count):
                self._examined = planned[np.unique(sample(planned, coarse))]
            else:
                self._examined = self._wanted
        self.times: List[float] = []
        self.kept: Dict[int, Picture] = {}
        # Padding and the decoder's own pool double what is counted here; hundreds of samples (a timeline) go with much
        # else that takes memory.
        self._budget = _BUDGET if count <= 64 else _BUDGET // 8

    def __iter__(self) -> Iterator[Tuple[int, float, Picture]]:
        for number, (seconds, picture) in enumerate(read_frames(self._path, self.info)):
            self.times.append(seconds)
            self.size = (picture.width, picture.height)
            # All or none: a single frame that is not kept costs the second decode.
            fits = len(self._wanted) * picture.width * picture.height * 3 // 2 <= self._budget
            if fits and _among(self._wanted, seconds):
                self.kept[number] = picture
            yield number, seconds, picture

    def examines(self, seconds: float) -> bool:
        """Whether the face is looked for in the frame at this instant, however short ago it was."""
        return _among(self._examined, seconds)


def _among(times: np.ndarray, seconds: float) -> bool:
    """Whether an instant is one of these, within a microsecond."""
    place = np.searchsorted(times, seconds - 1e-6)
    return bool(place < len(times) and times[place] <= seconds + 1e-6)


def _place(landmarks: np.ndarray, state: int, config: FaceConfig) -> Tuple[np.ndarray, float]:
    if state == NONE:
        return np.zeros(4, np.float32), 0.0
    if config.align:
        return aligned_box(landmarks, config.margin)
    return face_boxes(landmarks, config.margin), 0.0


def _crop_all(pictures: Iterable[Tuple[int, Picture]], picks: np.ndarray, placed: list, states: np.ndarray,
              size: int) -> np.ndarray:
    """(T, size, size, 3) uint8 RGB. No face: zeros."""
    crops = np.zeros((len(picks), size, size, 3), np.uint8)
    for number, picture in pictures:
        slots = [k for k in np.flatnonzero(picks == number) if states[k] != NONE]
        if slots:
            box, angle = placed[slots[0]]
            middle, reach = (box[:2] + box[2:]) / 2, (box[2] - box[0]) * (0.7072 if angle else 0.5) + 2
            part, corner = picture.rgb_around(np.concatenate([middle - reach, middle + reach]))
            crops[slots] = crop(part, box - np.concatenate([corner, corner]), size, angle)
    return crops


def _sampled(path: os.PathLike, reader: _Reader, picks: np.ndarray) -> Iterator[Tuple[int, Picture]]:
    """The sampled frames; those that tracking did not keep are read again."""
    wanted = set(picks.tolist())
    for number in wanted & set(reader.kept):
        yield number, reader.kept[number]
    late = wanted - set(reader.kept)
    if late:
        for number, (_, picture) in enumerate(read_frames(path, reader.info)):
            if number in late:
                yield number, picture
            if number >= max(late):
                break
