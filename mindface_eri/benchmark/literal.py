# SPDX-License-Identifier: Apache-2.0
"""The yardstick: section 3.1 of the paper as a plain script would write it.

OpenCV decodes every frame to RGB at full size, dlib's detector looks at each full frame, the 68-point predictor at the
largest face in each, every frame's face is cropped, gaps are filled, 32 frames are picked; librosa loads the sound.
It is here to be measured against, and shares no code with the package's own route except the models' location.
"""

from __future__ import annotations

import os
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np

from mindface_eri.config import PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.container import open_media
from mindface_eri.preprocess.detectors import dlib_module, landmark_model

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # OpenCV's FFmpeg is chatty about damaged files


@dataclass(frozen=True)
class LiteralClip:
    """What the plain script makes of a clip."""

    frames: np.ndarray  # (T, S, S, 3) uint8 RGB
    mfcc: np.ndarray  # (T, M) float32
    boxes: np.ndarray  # (T, 4) float32
    found_share: float
    total: int  # decoded frames


def literal_clip(path: os.PathLike, config: PreprocessConfig = None) -> LiteralClip:
    """Runs the plain script on one clip.

    Raises:
        MediaError: OpenCV decodes no frame of it.
    """
    config = config or PreprocessConfig()
    crops, boxes = _literal_faces(path, config)
    if not boxes:
        raise MediaError(f"{path}: OpenCV decodes no frame of it")
    found = np.array([box is not None for box in boxes])
    picked = np.round(np.linspace(0, len(boxes) - 1, config.frames)).astype(int)
    size = config.face.size
    blank = np.zeros((size, size, 3), np.uint8)
    filled = np.zeros((len(boxes), 4), np.float32)
    if found.any():
        known = np.flatnonzero(found)
        table = np.array([boxes[i] for i in known], np.float32)
        filled = np.stack([np.interp(np.arange(len(boxes)), known, table[:, k]) for k in range(4)], axis=1)
    frames = np.stack([blank if crops[i] is None else crops[i] for i in picked])
    return LiteralClip(frames, _literal_mfcc(path, config), filled[picked].astype(np.float32), float(found.mean()),
                       len(boxes))


def _literal_faces(path: os.PathLike, config: PreprocessConfig):
    """Crops as a plain script makes them: the largest face of each frame, gaps filled."""
    import cv2

    dlib = dlib_module()
    detector, predictor = dlib.get_frontal_face_detector(), _predictor(str(landmark_model()))
    capture = cv2.VideoCapture(os.fspath(path))
    crops: List = []
    boxes: List = []
    while True:
        more, bgr = capture.read()
        if not more:
            break
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        faces = detector(rgb, 0)
        if len(faces) == 0:
            crops.append(None)
            boxes.append(None)
            continue
        shape = predictor(rgb, max(faces, key=lambda face: face.width()))
        points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
        low, high = points.min(axis=0), points.max(axis=0)
        centre, half = (low + high) / 2, (high - low).max() / 2 * (1 + 2 * config.face.margin)
        boxes.append([*(centre - half), *(centre + half)])
        crops.append(_plain_crop(rgb, centre, half, config.face.size))
    capture.release()
    return crops, boxes


_LOADED: dict = {}


def _predictor(path: str):
    if path not in _LOADED:
        _LOADED[path] = dlib_module().shape_predictor(path)
    return _LOADED[path]


def _plain_crop(rgb: np.ndarray, centre: np.ndarray, half: float, size: int) -> np.ndarray:
    import cv2

    reach = int(np.ceil(half)) + 1
    padded = cv2.copyMakeBorder(rgb, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    x, y = np.round(np.clip(centre, 0, [rgb.shape[1], rgb.shape[0]])).astype(int) + reach
    side = int(round(half))
    return cv2.resize(padded[y - side:y + side, x - side:x + side], (size, size), interpolation=cv2.INTER_AREA)


def _literal_mfcc(path: os.PathLike, config: PreprocessConfig) -> np.ndarray:
    """Stacks as a plain script makes them: all of the sound at once."""
    import librosa

    audio = config.audio
    with tempfile.TemporaryDirectory() as folder:
        sound = _as_wav(path, Path(folder) / "sound.wav")
        if sound is None:
            return np.zeros((config.frames, audio.features), np.float32)
        waveform, _ = librosa.load(sound, sr=audio.sample_rate, mono=True)
    mfcc = librosa.feature.mfcc(y=waveform, sr=audio.sample_rate, n_mfcc=audio.coefficients, n_fft=audio.n_fft,
                                hop_length=audio.hop_length, n_mels=max(128, audio.coefficients)).T  # (n, coefficients)
    if len(mfcc) < audio.stack:
        mfcc = np.pad(mfcc, ((0, audio.stack - len(mfcc)), (0, 0)), mode="edge")
    begins = np.round(np.linspace(0, len(mfcc) - audio.stack, config.frames)).astype(int)
    return np.stack([mfcc[b:b + audio.stack].reshape(-1) for b in begins]).astype(np.float32)


def _as_wav(path: os.PathLike, target: Path):
    """What `ffmpeg -i clip sound.wav` does: the track as 16-bit PCM at its own rate."""
    import av

    with open_media(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=stream.rate)
        with wave.open(str(target), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(stream.rate)
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    out.writeframes(part.to_ndarray().tobytes())
    return target
