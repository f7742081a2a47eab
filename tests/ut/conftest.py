# SPDX-License-Identifier: Apache-2.0
"""Shared by rooms that look at whole clips."""

from fractions import Fraction

import av
import numpy as np
import pytest


def _write_streams(path, pictures=None, stamps=None, sound=None, start=0.0, *, rate=16000, codec="ffv1",
                   pixels="yuv420p", layout="mono"):
    """Writes a Matroska file, without loss, whose tracks begin and go on at just the times that are asked for.

    Args:
        pictures: (H, W, 3) uint8 arrays or PyAV's frames; None writes no picture.
        stamps: seconds of each picture, in whole milliseconds.
        sound: (samples,) or (samples, channels) in [-1, 1], kept in 16 bits; None writes no sound.
        start: seconds at which the sound begins.
    """
    with av.open(str(path), "w", format="matroska") as container:
        picture_track = sound_track = None
        if pictures is not None:
            pictures = [p if isinstance(p, av.VideoFrame) else av.VideoFrame.from_ndarray(p) for p in pictures]
            picture_track = container.add_stream(codec, rate=25)
            picture_track.width, picture_track.height = pictures[0].width, pictures[0].height
            picture_track.pix_fmt = pixels
            picture_track.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            sound_track = container.add_stream("pcm_s16le", rate=rate)
            sound_track.layout = layout
        for frame, stamp in zip(pictures or (), stamps or ()):
            frame.pts, frame.time_base = round(stamp * 1000), Fraction(1, 1000)
            container.mux(picture_track.encode(frame))
        if sound is not None:
            whole = np.round(np.asarray(sound, float) * 32768).astype(np.int16)
            for first in range(0, len(whole), 1024):
                part = np.ascontiguousarray(whole[first:first + 1024]).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(start * rate) + first
                container.mux(sound_track.encode(frame))
        for track in filter(None, (picture_track, sound_track)):
            container.mux(track.encode())


@pytest.fixture(scope="session")
def write_streams():
    """The function that writes tracks of known times."""
    return _write_streams
