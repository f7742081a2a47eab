# SPDX-License-Identifier: Apache-2.0
"""Decoded frames: copied out of the decoder, and converted only as far, and as large, as somebody asks."""

from __future__ import annotations

import threading
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Callable, Optional, Tuple

import numpy as np

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.display import UPRIGHT, Turn

_LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")
# What FFmpeg's scaler does not read. Asked to, every PyAV dies of yaf32 with its process, those before 17 of all these,
# and of what it does not write.
_UNREADABLE = frozenset((
    "ayuv64be", "bgr4", "nv20be", "nv20le", "rgb4", "rgbaf32be", "rgbaf32le", "rgbf32be", "rgbf32le", "uyyvyy411",
    "x2bgr10be", "x2rgb10be", "xv30be", "xv36be", "y210be", "y212be"))
_NEVER_READABLE = frozenset(("yaf32be", "yaf32le"))
_ROUNDING = 4  # pixels by which a picture of the same form may miss the size
_LARGE = 600_000  # pixels from which converting a part is cheaper than converting the whole


class FrameCopies:
    """Copies frames out of their decoder's memory, whatever their pixel format.

    A decoder leaves unwritten what it cannot decode of a damaged picture, and later pictures refer to it. What shows
    there is what lay in a buffer used again, and which one that is depends on the frames that somebody still holds.
    """

    def __init__(self) -> None:
        self._form: Optional[Tuple[int, int, str]] = None
        self._graph = None

    def __call__(self, frame):
        """The same picture in memory of its own."""
        form = (frame.width, frame.height, frame.format.name)
        if form != self._form:
            self._graph, self._form = _copying_graph(frame), form
        self._graph.push(frame)
        return self._graph.pull()


def _copying_graph(frame):
    """A filter graph that hands out copies of frames."""
    from av.filter import Graph

    graph = Graph()
    if hasattr(graph, "threads"):  # PyAV 15; before, two threads wait for work that never comes
        graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    copy, sink = graph.add("copy"), graph.add("buffersink")
    source.link_to(copy)
    copy.link_to(sink)
    graph.configure()
    return graph


def fitted(frame, size: Tuple[int, int], shape: Optional[Tuple[int, int]] = None):
    """The frame brought to this width and height, in its own pixel format where FFmpeg's scaler can write it.

    Args:
        shape: width and height that the frame has with square pixels, by default `size`. One of another form (a phone
            that is turned in a call) is laid into the middle, black beside it, and not stretched.
    """
    width, height = shape or size
    if (frame.width, frame.height) == size == (width, height):
        return frame
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    if max(size[0] - inner[0], size[1] - inner[1]) > _ROUNDING:
        left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        canvas = np.zeros((size[1], size[0], 3), np.uint8)
        canvas[top:top + inner[1], left:left + inner[0]] = _converted(
            frame, width=inner[0], height=inner[1], format="rgb24").to_ndarray()
        return type(frame).from_ndarray(canvas, format="rgb24")
    try:
        if _deadly(frame.format.name, same=True):
            raise ValueError("not to be tried")
        return frame.reformat(width=size[0], height=size[1])
    except (OSError, ValueError):
        return _converted(frame, width=size[0], height=size[1], format="rgb24")


def _deadly(name: str, same: bool = False) -> bool:
    """Whether this PyAV, where it should fail to convert from a pixel format, or to the `same`, ends the process."""
    import av

    old = int(av.__version__.partition(".")[0]) < 17
    return name in _NEVER_READABLE or old and (name in _UNREADABLE or same and name not in _LUMA_FIRST)


def _converted(frame, **form):
    kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range,
            getattr(frame, "color_trc", None), getattr(frame, "color_primaries", None))
    try:
        if _deadly(frame.format.name):
            raise ValueError("FFmpeg does not read it")
        return _scaler(threading.get_ident(), *kind, *form.items()).reformat(frame, **form)
    except (OSError, ValueError) as error:  # FFmpeg's errors are of either kind
        raise MediaError(f"the pixel format {frame.format.name} cannot be converted "
                         f"({getattr(error, 'strerror', None) or error}); convert the recording first") from None


@lru_cache(maxsize=8)
def _scaler(*_kind):
    """FFmpeg's scaler with its tables, whose making takes longer than a small picture: one for all of a kind.

    Nothing of one kind of picture, or of another thread's, is left in it when the next comes.
    """
    from av.video.reformatter import VideoReformatter  # pylint: disable=no-name-in-module

    return VideoReformatter()


class Picture:
    """One decoded frame as a player shows it; width and height are those of what is shown.

    Raises:
        MediaError: (on first use) its pixel format cannot be converted.
    """

    def __init__(self, frame, turn: Turn = UPRIGHT, tone: Optional[Callable] = None) -> None:
        """
        Args:
            frame: with square pixels.
            turn: how it is laid on the screen.
            tone: gives the frame as a standard screen shows it; None where it is made for one.
        """
        self._stored, self._turn, self._tone = frame, turn, tone
        self.width, self.height = turn.size(frame.width, frame.height)

    @property
    def _frame(self):
        if self._tone is not None:  # at first use: most frames are never looked at
            try:
                self._stored, self._tone = self._tone(self._stored), None
            except (OSError, ValueError):
                self._tone = None
        return self._stored

    @cached_property
    def grey(self) -> np.ndarray:
        """(H, W) uint8; a view of the luma plane where the pixel format allows it."""
        frame = self._frame
        if frame.format.name in _LUMA_FIRST:
            plane = frame.planes[0]
            stored = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        else:
            stored = _converted(frame, format="gray").to_ndarray()
        return self._turn.shown(stored)

    @cached_property
    def solid_grey(self) -> np.ndarray:
        """(H, W) uint8, contiguous, as dlib wants it; no copy where the decoder's rows have no padding."""
        return np.ascontiguousarray(self.grey)

    def reduced_grey(self, scale: float) -> np.ndarray:
        """(round(H * scale), round(W * scale)) uint8, contiguous; `scale` at most 1."""
        if scale >= 1.0:
            return self.solid_grey
        return _shrink(self.solid_grey, scale)

    def rgb(self, scale: float = 1.0) -> np.ndarray:
        """(H, W, 3) uint8 RGB, reduced by `scale`, contiguous."""
        frame = self._frame
        if scale < 1.0:
            frame = _converted(frame, width=max(2, round(frame.width * scale)),
                               height=max(2, round(frame.height * scale)), format="rgb24", interpolation="AREA")
        return np.ascontiguousarray(self._turn.shown(_converted(frame, format="rgb24").to_ndarray()))

    def rgb_around(self, box: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """The picture around `box` (4,): (h, w, 3) uint8 RGB, and (2,) x, y of that part's corner in the picture.

        Converts only that part of a large picture; the numbers are those of the whole conversion.
        """
        limits = np.array([self.width, self.height])
        low = np.clip(np.floor(box[:2]).astype(int) // 2 * 2 - 4, 0, limits // 2 * 2)
        high = np.clip(np.ceil(box[2:]).astype(int) // 2 * 2 + 6, low, limits)
        part = self._part(low, high) if self._turn.upright else None
        if part is None:
            part = self.rgb()[low[1]:high[1], low[0]:high[0]]
        return part, low

    def _part(self, low: np.ndarray, high: np.ndarray) -> Optional[np.ndarray]:
        """A part of a large frame, converted alone; None where that does not pay."""
        frame = self._frame
        (left, top), (width, height) = low, high - low
        if frame.format.name not in ("yuv420p", "yuvj420p") or frame.width * frame.height < _LARGE:
            return None
        if width < 16 or height < 16 or width % 2 or height % 2:
            return None
        rows = []
        for plane, shift in zip(frame.planes, (1, 2, 2)):
            table = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            cut = table[top // shift:(top + height) // shift, left // shift:(left + width) // shift]
            rows.append(cut.reshape(-1))
        stacked = np.concatenate(rows).reshape(height * 3 // 2, width)
        small = type(frame).from_ndarray(stacked, format=frame.format.name)
        small.colorspace, small.color_range = frame.colorspace, frame.color_range
        return small.to_ndarray(format="rgb24")


def _shrink(grey: np.ndarray, scale: float) -> np.ndarray:
    import cv2

    height, width = grey.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
