# SPDX-License-Identifier: Apache-2.0
"""The video again, with the face's box, the landmarks and moving bars drawn over it, and its sound."""

from __future__ import annotations

import dataclasses
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import MediaError
from mindface_eri.prediction.analysis import Analysis, analyse, duration_of, waveform_of
from mindface_eri.preprocess.clip import Clip, extract_clip
from mindface_eri.preprocess.video import frame_times, read_frames, write_video
from mindface_eri.report.style import COLOURS, STATE_COLOURS

_HEIGHT = 720  # pixels; larger pictures are reduced
_DENSE = 8.0  # landmarks a second below which they are read again for the drawing
_MOST = 20_000  # frames whose landmarks are kept
_RATE = 48_000  # of the sound written, Hz


def write_overlay(path: os.PathLike, out: os.PathLike, predictor: Any, *, audio_path: Optional[os.PathLike] = None,
                  window: float = 0.0, hop: float = 0.0, analysis: Optional[Analysis] = None) -> Path:
    """Writes an .mp4 of the video with box, landmarks and bars; its sound is kept as one channel of AAC.

    The bars show sliding windows, at their middle: those of `analysis` where that is a timeline; else of `window`
    seconds, by default half of the video, at least 2 s and at most 12 s.

    Raises:
        MediaError: the video has no picture, or the file cannot be written.
    """
    length = duration_of(path)
    if not len(frame_times(path)):
        raise MediaError(f"{path}: has no picture to draw on")
    if analysis is None or not analysis.is_timeline:
        window = window or float(np.clip(length / 2, 2.0, 12.0))
        analysis = analyse(path, predictor, audio_path=audio_path, window=window, hop=hop or window / 8,
                           attention=False)
    clip = _dense(path, predictor.preprocess, analysis.clip, length)
    sound = waveform_of(audio_path if audio_path is not None else path, path, analysis.clip, _RATE,
                        separate=audio_path is not None)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fps = float(np.clip(analysis.clip.fps, 1.0, 60.0))
    write_video(out, _frames(path, clip, analysis, fps), fps, sound, _RATE)
    return out


def _dense(path: os.PathLike, config: Any, clip: Clip, length: float) -> Clip:
    """The clip, or, where its landmarks are too sparse to follow a mouth, the same with those of every frame."""
    if len(clip.timestamps) >= _DENSE * length:
        return clip
    count = min(len(frame_times(path)), _MOST)
    small = dataclasses.replace(config, frames=count, face=dataclasses.replace(config.face, size=32))
    return extract_clip(path, small)


def _frames(path: os.PathLike, clip: Clip, analysis: Analysis, fps: float) -> Iterator[np.ndarray]:
    """Frames at a constant rate, each the latest picture at its instant."""
    panel, first, number = None, None, 0
    held = None
    for seconds, picture in read_frames(path):
        first = seconds if first is None else first
        if panel is None:
            scale = min(1.0, _HEIGHT / picture.height)
            panel = _Panel(analysis, max(2, round(picture.height * scale)))
        while held is not None and number / fps < seconds - first - 0.5 / fps:
            yield panel.beside(held, number / fps)
            number += 1
        held = _draw(picture.rgb(scale), clip, seconds - first, scale)
    if held is not None:
        yield panel.beside(held, number / fps)


def _draw(image: np.ndarray, clip: Clip, seconds: float, scale: float) -> np.ndarray:
    import cv2

    nearest = int(np.abs(clip.timestamps - seconds).argmin())
    state = FRAME_STATES[int(clip.detected[nearest])]
    if state == "none":
        return image
    box, points = _between(clip, seconds, nearest)
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


def _between(clip: Clip, seconds: float, nearest: int) -> Tuple[np.ndarray, np.ndarray]:
    """Box (4,) and landmarks (68, 2) at an instant, between the samples around it where both show the face."""
    times = clip.timestamps
    right = int(np.clip(np.searchsorted(times, seconds), 1, len(times) - 1))
    left = right - 1
    if len(times) < 2 or not (clip.detected[left] and clip.detected[right]) or times[right] <= times[left]:
        return clip.boxes[nearest], clip.landmarks[nearest]
    share = float(np.clip((seconds - times[left]) / (times[right] - times[left]), 0, 1))
    return tuple((1 - share) * a[left] + share * a[right] for a in (clip.boxes, clip.landmarks))


class _Panel:
    """Bars beside the picture; names are drawn once, values by stamps made once each."""

    def __init__(self, analysis: Analysis, height: int) -> None:
        self.emotions, self.height = analysis.emotions, height
        self.size = int(np.clip(height / (2.9 * len(self.emotions)), 9, 26))
        longest = max(_text(emotion, self.size).shape[1] for emotion in self.emotions)
        self.width = int(np.clip(longest, 5 * self.size, 16 * self.size)) + 5 * self.size
        self.middles, self.values = analysis.segments.mean(1), analysis.values
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
            value = float(np.clip(np.interp(seconds, self.middles[known], self.values[known, e]), 0, 1))
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
