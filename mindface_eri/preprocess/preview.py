# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: in one picture, whether a clip's crops and sound are right."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import MediaError
from mindface_eri.files import write_bytes
from mindface_eri.preprocess.clip import Clip

STATE_COLOURS = {"detected": (46, 160, 67), "interpolated": (240, 180, 0), "none": (200, 40, 40),
                 "held": (230, 110, 20)}
_COLUMNS, _CELL, _BORDER, _GAP = 8, 112, 5, 4  # crops in a row; pixels
_SHOWN = 32  # MFCC coefficients in the picture; the higher ones look like noise
_BACK, _INK, _SOFT = (250, 250, 250), (30, 30, 30), (130, 130, 130)


def contact_sheet(clip: Clip, title: str = "") -> np.ndarray:
    """(H, W, 3) uint8 RGB: the crops over time, framed in the colour of their state; the sound and its MFCC below.

    Args:
        title: one line above; the clip's quality line follows it.
    """
    width = _COLUMNS * (_CELL + 2 * _BORDER + _GAP) + _GAP
    parts = [_header(clip, title, width), _crops(clip, width)]
    if len(clip.envelope):
        parts.append(_wave(clip, width))
    parts.append(_mfcc(clip, width))
    return np.concatenate(parts)


def save_contact_sheet(clip: Clip, path_png: os.PathLike, title: str = "") -> None:
    """Writes `contact_sheet` as PNG, whole or not at all.

    Raises:
        MediaError: the file cannot be written.
    """
    import cv2

    sheet = contact_sheet(clip, title)
    done, data = cv2.imencode(".png", np.ascontiguousarray(sheet[:, :, ::-1]))
    target = Path(path_png)
    try:
        if not done:
            raise OSError("OpenCV could not encode it")
        write_bytes(target, data.tobytes())
    except OSError as error:
        raise MediaError(f"{target}: the contact sheet cannot be written ({error.strerror or error})") from None


def _text(canvas: np.ndarray, text: str, x: int, y: int, colour=_INK, scale: float = 0.45) -> None:
    import cv2

    plain = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    cv2.putText(canvas, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def _header(clip: Clip, title: str, width: int) -> np.ndarray:
    """The sheet's title and what was found in the clip."""
    canvas = np.full((96, width, 3), _BACK, np.uint8)
    if title:
        _text(canvas, title[:100], _GAP + 2, 20, scale=0.55)
    shape = f"{clip.width}x{clip.height}, {clip.fps:.2f} frames/s, " if clip.width else ""
    _text(canvas, f"{shape}{clip.duration:.2f} s", _GAP + 2, 42, _SOFT, 0.4)
    _text(canvas, clip.quality[:145], _GAP + 2, 60, _SOFT, 0.4)
    x = _GAP + 2
    for name, colour in list(STATE_COLOURS.items())[:3]:
        canvas[74:86, x:x + 12] = colour
        _text(canvas, name, x + 18, 85, _SOFT, 0.4)
        x += 120
    return canvas


def _crops(clip: Clip, width: int) -> np.ndarray:
    """The clip's crops with their states."""
    import cv2

    pitch, label = _CELL + 2 * _BORDER + _GAP, 15
    rows = -(-len(clip.frames) // _COLUMNS)
    canvas = np.full((rows * (pitch + label) + _GAP, width, 3), _BACK, np.uint8)
    for k, crop in enumerate(clip.frames):
        y, x = _GAP + k // _COLUMNS * (pitch + label), _GAP + k % _COLUMNS * pitch
        canvas[y:y + _CELL + 2 * _BORDER, x:x + _CELL + 2 * _BORDER] = STATE_COLOURS[FRAME_STATES[clip.detected[k]]]
        small = cv2.resize(crop, (_CELL, _CELL), interpolation=cv2.INTER_AREA)
        canvas[y + _BORDER:y + _BORDER + _CELL, x + _BORDER:x + _BORDER + _CELL] = small
        _text(canvas, f"{clip.timestamps[k]:.2f} s", x + 2, y + _CELL + 2 * _BORDER + 12, _SOFT, 0.35)
    return canvas


def _span(clip: Clip) -> float:
    return max(float(clip.timestamps[-1]), clip.duration, 1e-3)


def _wave(clip: Clip, width: int) -> np.ndarray:
    """The sound's envelope on the clip's time axis; marks where the crops are taken."""
    height, inner = 90, width - 2 * _GAP
    canvas = np.full((height + 18, width, 3), _BACK, np.uint8)
    canvas[16:16 + height, _GAP:-_GAP] = (238, 240, 244)
    low, high = clip.envelope.scaled()
    place = (np.arange(inner) + 0.5) / inner * _span(clip) / clip.envelope.seconds * len(low)
    for column in np.flatnonzero(place < len(low)):
        span = int(place[column])
        top, bottom = (int(16 + height / 2 * (1 - v)) for v in (high[span], low[span]))
        canvas[max(top, 16):min(bottom + 1, 16 + height), _GAP + column] = (60, 90, 160)
    for second in clip.timestamps:
        canvas[16 + height - 5:16 + height, _GAP + min(int(second / _span(clip) * inner), inner - 1)] = _INK
    _text(canvas, f"waveform, peak {clip.envelope.peak:.3f}, sampled instants marked", _GAP + 2, 12, _SOFT, 0.38)
    return canvas


def _mfcc(clip: Clip, width: int) -> np.ndarray:
    """One column a sampled frame: the stack's mean MFCC, each coefficient on its own scale, the lowest below."""
    import cv2

    height, inner = 128, width - 2 * _GAP
    canvas = np.full((height + 22, width, 3), _BACK, np.uint8)
    if not clip.present[1]:
        _text(canvas, "no sound: the acoustic modality is absent", _GAP + 2, 14, STATE_COLOURS["none"], 0.45)
        return canvas[:22]
    width_of_one = 128 if clip.mfcc.shape[1] % 128 == 0 else clip.mfcc.shape[1]
    stacks = clip.mfcc.reshape(len(clip.mfcc), -1, width_of_one)  # (T, stack, coefficients)
    table = stacks.mean(axis=1).T[:_SHOWN][::-1]  # (_SHOWN, T)
    low, high = table.min(axis=1, keepdims=True), table.max(axis=1, keepdims=True)
    grey = (255 * (table - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
    colours = cv2.applyColorMap(cv2.resize(grey, (inner, height), interpolation=cv2.INTER_NEAREST),
                                cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    canvas[18:18 + height, _GAP:_GAP + inner] = colours
    _text(canvas, f"MFCC, coefficients 0 (below) to {len(table) - 1}, mean of each stack", _GAP + 2, 13, _SOFT, 0.38)
    return canvas
