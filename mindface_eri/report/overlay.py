# SPDX-License-Identifier: Apache-2.0
"""The video again, with the face's box, the landmarks and moving bars drawn over it, and its sound."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import MediaError
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.preprocess.audio import read_sound
from mindface_eri.preprocess.downmix import Mix
from mindface_eri.preprocess.sound_track import SoundTrack
from mindface_eri.preprocess.track import Track
from mindface_eri.preprocess.video import read_frames, read_frames_and_sound
from mindface_eri.preprocess.writer import VideoWriter, open_writer
from mindface_eri.report.style import COLOURS, STATE_COLOURS

_HEIGHT = 720  # pixels; larger pictures are reduced
_RATE = 48_000  # of the sound written, Hz


def write_overlay(prediction: Prediction, out: os.PathLike) -> Path:
    """Writes an .mp4 of the video with box, landmarks and bars; its sound is kept as one channel of AAC.

    The file is read once more, for its pictures and its sound; what is drawn was found when it was predicted. The bars
    show the prediction's moving values, if it has any (`Predictor.predict(..., moving=True)`).

    Raises:
        MediaError: the video has no picture, or the file cannot be written.
    """
    if prediction.path is None or len(prediction.clip.track.times) == 0:
        raise MediaError(f"{prediction.path or prediction.name}: has no picture to draw on")
    clip, out = prediction.clip, Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fps = float(np.clip(clip.fps, 1.0, 60.0))
    with open_writer(out, fps, _RATE if clip.present[1] else None) as writer:
        sound = _Sound(writer, clip.duration, clip.mix) if clip.present[1] else None
        if sound is not None and prediction.sound is not None:
            sound.take_whole(prediction.sound)
        for image in _frames(prediction, fps, sound):
            writer.frame(image)
    return out


class _Sound:
    """Passes sound on to the writer from the first picture's instant to the clip's end, silence where it lacks."""

    def __init__(self, writer: VideoWriter, seconds: float, mix: Mix) -> None:
        self._writer, self._left = writer, max(round(seconds * _RATE), 1)
        self.mix, self._track = mix, SoundTrack(_RATE, mix)
        self._early: Optional[int] = None  # samples before the first picture, still to be left out
        self.separate = False

    def take_whole(self, path: os.PathLike) -> None:
        """Takes a sound file, whose first sample belongs to the first picture."""
        self.separate = True
        for piece in read_sound(path, _RATE, self.mix):
            self._pass(piece)
            if not self._left:
                break

    def hear(self, frame) -> None:
        """Takes a decoded frame of the video's own sound track."""
        self._track.add(frame)

    def pass_on(self, first: float) -> None:
        """Gives what was heard since to the writer; `first` is the first picture's instant on the container's clock."""
        for samples in self._track.take():
            if self._early is None:
                late = round((self._track.start - first) * _RATE)
                self._pass(np.broadcast_to(np.float32(0), max(late, 0)))
                self._early = max(-late, 0)
            self._pass(samples[self._early:])
            self._early = max(self._early - len(samples), 0)

    def end(self, first: float) -> None:
        """Passes the rest on, and silence up to the clip's end."""
        if not self.separate:
            self._track.drain()
            self.pass_on(first)
        self._pass(np.broadcast_to(np.float32(0), self._left))

    def _pass(self, samples: np.ndarray) -> None:
        samples = samples[:self._left]
        self._left -= len(samples)
        for begin in range(0, len(samples), _RATE):  # long silence takes no memory before it is written
            self._writer.sound(np.asarray(samples[begin:begin + _RATE], np.float32))


def _frames(prediction: Prediction, fps: float, sound: Optional[_Sound]) -> Iterator[np.ndarray]:
    """Frames at a constant rate, each the latest picture at its instant."""
    track, panel, first, number = prediction.clip.track, None, None, 0
    held = None
    own = sound is not None and not sound.separate
    media = prediction.clip.media
    pictures = (read_frames_and_sound(prediction.path, sound.hear, media, sound.mix.stream) if own
                else read_frames(prediction.path, info=media))
    for seconds, picture in pictures:
        if panel is None:
            first, scale = seconds, min(1.0, _HEIGHT / picture.height)
            panel = _Panel(prediction, max(2, round(picture.height * scale)))
        if own:
            sound.pass_on(first)
        while held is not None and number / fps < seconds - first - 0.5 / fps:
            yield panel.beside(held, number / fps)
            number += 1
        held = _draw(picture.rgb(scale), track, track.at(seconds - first), scale)
    if held is not None:
        yield panel.beside(held, number / fps)
    if sound is not None:
        sound.end(first or 0.0)


def _draw(image: np.ndarray, track: Track, number: int, scale: float) -> np.ndarray:
    """The picture with the box and the landmarks of that frame of the track."""
    import cv2

    state = FRAME_STATES[int(track.states[number])]
    if state == "none":
        return image
    box, points = track.boxes[number], track.landmarks[number]
    colour = _rgb(STATE_COLOURS[state])
    width = max(1, round(image.shape[0] / 240))
    corners = np.round(box * scale).astype(int)
    cv2.rectangle(image, tuple(map(int, corners[:2])), tuple(map(int, corners[2:])), colour, width, cv2.LINE_AA)
    if state == "held":  # the face is not in sight: where its points would be is no knowledge
        return image
    radius = max(1, round((box[2] - box[0]) * scale / 130))
    for x, y in np.round(points * scale).astype(int):
        cv2.circle(image, (int(x), int(y)), radius, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, (int(x), int(y)), radius + 1, colour, 1, cv2.LINE_AA)
    return image


class _Panel:
    """Bars beside the picture; names are drawn once, values by stamps made once each."""

    def __init__(self, prediction: Prediction, height: int) -> None:
        self.emotions, self.height = prediction.emotions, height
        self.size = int(np.clip(height / (2.9 * len(self.emotions)), 9, 26))
        longest = max(_text(emotion, self.size).shape[1] for emotion in self.emotions)
        self.width = int(np.clip(longest, 5 * self.size, 16 * self.size)) + 5 * self.size
        still = prediction.moments is None
        self.moments = prediction.segments.mean(1) if still else prediction.moments
        self.values = prediction.values if still else prediction.moving
        self.step = min(height / max(len(self.emotions), 1), 3.2 * self.size)
        self.base = self._names()

    def beside(self, image: np.ndarray, seconds: float) -> np.ndarray:
        """The picture with the bars at that instant at its right."""
        panel = self.base.copy()
        for e in range(len(self.emotions)):
            known = np.isfinite(self.values[:, e])
            top, left, right = self._place(e)
            if not known.any():
                continue
            value = float(np.clip(np.interp(seconds, self.moments[known], self.values[known, e]), 0, 1))
            panel[top:top + self.size // 2, left:left + round(value * (right - left))] = _rgb(COLOURS[5])
            stamp = _text(f"{value:.2f}", self.size)
            y, x = max(top - stamp.shape[0] - 2, 0), max(right - stamp.shape[1], 0)
            area = panel[y:y + stamp.shape[0], x:x + stamp.shape[1]]
            np.maximum(area, stamp[:area.shape[0], :area.shape[1]], out=area)
        return np.concatenate([image, panel], 1)

    def _place(self, e: int) -> Tuple[int, int, int]:
        """Top, left and right of a bar."""
        start = max((self.height - self.step * len(self.emotions)) / 2, 0)
        top = min(round(start + (e + 0.62) * self.step), self.height - self.size // 2)
        return top, self.size, self.width - self.size

    def _names(self) -> np.ndarray:
        panel = np.full((self.height, self.width, 3), 24, np.uint8)
        for e, emotion in enumerate(self.emotions):
            top, left, right = self._place(e)
            panel[top:top + self.size // 2, left:right] = 60
            stamp = _text(emotion, self.size)[:, :16 * self.size]
            y = max(top - stamp.shape[0] - 2, 0)
            area = panel[y:y + stamp.shape[0], left:left + stamp.shape[1]]
            np.maximum(area, stamp[:area.shape[0], :area.shape[1]], out=area)
        return panel


@lru_cache(maxsize=512)
def _text(text: str, size: int) -> np.ndarray:
    """Light letters on black, (h, w, 3) uint8."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("RGB", (max(right - left, 1) + 1, round(size * 1.25)))
    ImageDraw.Draw(image).text((-left, 0), text, font=font, fill=(235, 235, 235))
    return np.asarray(image)


def _rgb(colour: str) -> Sequence[int]:
    return tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5))
