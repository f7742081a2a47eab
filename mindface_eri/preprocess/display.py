# SPDX-License-Identifier: Apache-2.0
"""How a player shows a stored picture: turned, mirrored, with square pixels, and on a screen of standard range."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional, Tuple

import numpy as np

_MAX_ASPECT = 16  # a pixel this much wider than high, or higher than wide, is no pixel but a damaged header
_SQUARE = 0.005  # a deviation from square of less than this is rounding
# FFmpeg's AVCOL_TRC_* and AVCOL_PRI_*
_BT709, _SRGB, _PQ, _HLG = 1, 13, 16, 18
_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_RANGES = {_PQ: "HDR (PQ)", _HLG: "HDR (HLG)"}


@dataclass(frozen=True)
class Turn:
    """One of the eight ways in which a display matrix lays a picture on the screen."""

    transposed: bool = False  # rows become columns, before the two others
    mirrored: bool = False  # left and right change places
    flipped: bool = False  # top and bottom change places

    def size(self, width: int, height: int) -> Tuple[int, int]:
        """Width and height as shown."""
        return (height, width) if self.transposed else (width, height)

    def shown(self, stored: np.ndarray) -> np.ndarray:
        """(H, W, ...) as shown: a view of the array as stored."""
        turned = stored.swapaxes(0, 1) if self.transposed else stored
        return turned[::-1 if self.flipped else 1, ::-1 if self.mirrored else 1]

    @property
    def upright(self) -> bool:
        """Whether the picture is shown as it is stored."""
        return not (self.transposed or self.mirrored or self.flipped)


UPRIGHT = Turn()
_AS_ROTATED = {0: UPRIGHT, 90: Turn(True, False, True), 180: Turn(False, True, True), 270: Turn(True, True, False)}


def turn_of(frame) -> Turn:
    """What the display matrix of a decoded frame says, to the nearest of the eight."""
    rotation = getattr(frame, "rotation", 0) or 0
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
        matrix = None if data is None else np.frombuffer(data, np.int32)
    except (AttributeError, KeyError, ValueError):  # PyAV stumbles over side data that it has no name for
        matrix = None
    if matrix is None or len(matrix) < 9:
        return _AS_ROTATED[round(rotation / 90) * 90 % 360]
    a, b, _, c, d = (int(x) for x in matrix[:5])  # x' = a x + c y, y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, a < 0, d < 0)
    return Turn(True, c < 0, b < 0)


class Turns:
    """How the pictures of a stream are laid on the screen, one after another.

    Give it copies: a frame whose side data were looked at, here where the rotation changes, lives until the garbage
    collector comes by. In its decoder it would hold a buffer, and a damaged picture shows what the next one held.
    """

    def __init__(self) -> None:
        self._rotation: Optional[float] = None
        self._turn = UPRIGHT

    def of(self, frame) -> Turn:
        """Of the next frame."""
        rotation = getattr(frame, "rotation", 0) or 0
        if rotation != self._rotation:
            self._rotation, self._turn = rotation, turn_of(frame)
        return self._turn


def rotation_of(frame) -> int:
    """Degrees counter-clockwise that bring a decoded frame upright, mirroring apart: 0, 90, 180 or 270."""
    return round((getattr(frame, "rotation", 0) or 0) / 90) * 90 % 360


def square_size(width: int, height: int, aspect: Optional[Fraction]) -> Tuple[int, int]:
    """Width and height, as stored but with square pixels: the shorter side of a pixel is stretched, none is lost."""
    aspect = float(aspect or 1)
    if abs(aspect - 1) <= _SQUARE or not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


class PixelAspect:
    """How much wider than high the pixels of a stream are, picture by picture: a broadcast may go from 4:3 to 16:9.

    What a container says counts for all pictures. Where it agrees with the codec, or says nothing, the codec is
    followed. Its word is of the packet that was decoded last, and new from a key frame on.
    """

    def __init__(self, stream) -> None:
        self._stream, self._aspect, self._fixed = stream, stream.sample_aspect_ratio, None

    def of(self, frame) -> Optional[Fraction]:
        """Of the next decoded frame, in the order of showing."""
        said = self._stream.codec_context.sample_aspect_ratio
        if self._fixed is None:
            self._fixed = bool(self._aspect) and self._aspect != (said or 1)
        elif said and frame.key_frame and not self._fixed:
            self._aspect = said
        return self._aspect


class ToneMap:
    """Brings pictures of high dynamic range or wide gamut to what a standard screen (BT.709) shows of them.

    FFmpeg's scaler does it, by tables that take it seconds to make: one for all pictures of a recording.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter  # pylint: disable=no-name-in-module

        self._reformatter = VideoReformatter()

    def __call__(self, frame):
        """The frame in rgb24."""
        if getattr(frame, "color_trc", _BT709) in (0, 2, 3):  # unsaid
            frame.color_trc = _BT709
        return self._reformatter.reformat(frame, format="rgb24", dst_color_trc=_SRGB, dst_color_primaries=_BT709)


def wide_range(said) -> str:
    """What a codec context or frame says of a range or gamut that is more than a standard screen shows, or nothing."""
    transfer, primaries = getattr(said, "color_trc", 2), getattr(said, "color_primaries", 2)
    return _RANGES.get(transfer) or (f"wide gamut ({_WIDE[primaries]})" if primaries in _WIDE else "")


@functools.lru_cache(maxsize=1)
def can_map() -> bool:
    """Whether PyAV hands ranges and gamuts on to FFmpeg's scaler (from 17 on)."""
    import av

    frame = av.VideoFrame(16, 16, "yuv420p")
    try:
        frame.reformat(format="rgb24", dst_color_trc=_BT709, dst_color_primaries=_BT709)
    except TypeError:
        return False
    return True
