# SPDX-License-Identifier: Apache-2.0
"""Which stream of a recording is the picture: the one that shows most, as a person would choose it."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

_MAX_SIDE = 16384  # pixels; damaged headers claim more than any camera gives
_DEFAULT, _ATTACHED_PICTURE, _TIMED_THUMBNAILS = 0x1, 0x400, 0x800  # FFmpeg's AV_DISPOSITION_*
_STILL = 0.5  # seconds for which one picture counts as film; what stays longer is a slide
_ALIKE = 0.9  # of the most that a stream shows, from which another one shows as much


def video_streams(container) -> list:
    """The real video streams, in the file's order: no cover art, no thumbnails, and a size that cameras give."""
    return [stream for stream in container.streams.video if _is_film(stream)]


def choose_video(streams: Sequence, times: Sequence[np.ndarray]) -> Tuple[Optional[int], str]:
    """Index of the stream to take, None of none, and a word about the choice where there was one.

    The one that shows moving pictures for longest; of those alike the one that the file marks as default, then the
    first: what players do.

    Args:
        streams: PyAV's video streams.
        times: seconds of the pictures of each.
    """
    if not streams:
        return None, ""
    shown = np.array([_shown(seconds) for seconds in times])
    alike = [k for k in range(len(streams)) if shown[k] >= _ALIKE * shown.max()]
    chosen = next((k for k in alike if _flags(streams[k]) & _DEFAULT), alike[0])
    if len(streams) == 1:
        return chosen, ""
    why = "it shows most" if len(alike) == 1 else "of those that show as much the default or first one"
    codec = streams[chosen].codec_context
    kind = f"{codec.name}, {codec.width}x{codec.height}"
    return chosen, f"video stream {chosen + 1} of {len(streams)} ({kind}) is used: {why}"


def _shown(seconds: np.ndarray) -> float:
    """Seconds for which a stream shows moving pictures."""
    return float(np.minimum(np.diff(np.sort(seconds)), _STILL).sum()) if len(seconds) > 1 else 0.0


def _flags(stream) -> int:
    # `value`, as PyAV up to 15 has flags here that are no integers.
    return getattr(getattr(stream, "disposition", None), "value", 0)


def _is_film(stream) -> bool:
    context = stream.codec_context  # None where FFmpeg has no decoder for what the header names
    return bool(not _flags(stream) & (_ATTACHED_PICTURE | _TIMED_THUMBNAILS) and context
                and 0 < context.width <= _MAX_SIDE and 0 < context.height <= _MAX_SIDE)
