# SPDX-License-Identifier: Apache-2.0
"""Of several video streams the one that shows most is the picture."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import Detection, register_detector
from mindface_eri.preprocess.streams import choose_video
from mindface_eri.preprocess.video import probe, read_frames, scan


@register_detector("sees-all")
class SeesAll:
    """Finds a face in every picture."""

    colour, max_height = False, 4320

    def find(self, image):
        return [Detection(np.array([12, 8, 48, 44], np.float32), True)]


FILM = np.arange(100) / 25


def stream(default=False):
    return SimpleNamespace(disposition=SimpleNamespace(value=int(default)),
                           codec_context=SimpleNamespace(width=64, height=48, name="h264"))


@pytest.mark.parametrize("times, default, chosen", [
    ([FILM], [], 0), ([np.zeros(0)], [], 0),
    ([FILM[:1], FILM], [0], 1),  # a still marked as default
    ([np.arange(9) * 10.0, np.arange(200) / 25], [0], 1),  # slides over a longer time
    ([np.arange(180) / 60, np.arange(100) / 5], [], 1),  # many pictures in a short time
    ([FILM, FILM], [], 0), ([FILM, FILM], [1], 1), ([FILM, FILM[:96]], [1], 1), ([FILM[:96], FILM], [], 0),
    ([FILM[:50], FILM], [0], 1), ([FILM, FILM[:1], FILM], [2], 2), ([FILM, FILM[::2]], [1], 1),
    ([np.zeros(0), FILM[:1]], [], 0)])
def test_which_stream(times, default, chosen):
    streams = [stream(k in default) for k in range(len(times))]
    found, why = choose_video(streams, times)
    assert found == chosen and bool(why) == (len(times) > 1)
    assert not why or why.startswith(f"video stream {chosen + 1} of {len(times)} (h264, 64x48) is used: ")
    assert choose_video([], []) == (None, "")


def write(path, streams, rate=20):
    """`streams`: [(codec, pixel format, shade, seconds of each picture), ...]."""
    with av.open(str(path), "w") as container:
        tracks = []
        for codec, pixels, *_ in streams:
            track = container.add_stream(codec, rate=rate)
            track.width, track.height, track.pix_fmt = 64, 48, pixels
            track.codec_context.time_base = Fraction(1, 1000)
            tracks.append(track)
        packets = []
        for track, (_, pixels, shade, times) in zip(tracks, streams):
            for seconds in times:
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8)).reformat(format=pixels)
                frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
                packets += track.encode(frame)
            packets += track.encode()
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


@pytest.mark.parametrize("name, codec, pixels", [("a.mkv", "mjpeg", "yuvj420p"), ("a.mp4", "png", "rgb24"),
                                                 ("a.mov", "mjpeg", "yuvj420p"), ("a.mkv", "ffv1", "yuv420p")])
@pytest.mark.parametrize("stills", [[0.0], [0.0, 1.5, 3.0]])
def test_a_still_or_slides_before_the_film(tmp_path, name, codec, pixels, stills):
    write(tmp_path / name, [(codec, pixels, 200, stills), ("mpeg4", "yuv420p", 50, np.arange(60) / 20)])
    info, times = scan(tmp_path / name)
    assert info.stream == probe(tmp_path / name).stream == 1 and info.fps == pytest.approx(20)
    np.testing.assert_allclose(times, np.arange(60) / 20, atol=1e-6)
    found, pictures = zip(*read_frames(tmp_path / name))
    np.testing.assert_allclose(found, times, atol=1e-9)
    assert all(abs(picture.rgb().mean() - 50) < 4 for picture in pictures)


def test_the_note_says_which_stream_was_taken_where_there_was_a_choice(tmp_path):
    config = PreprocessConfig(frames=2, face=FaceConfig(detector="sees-all"))
    write(tmp_path / "two.mkv", [("mjpeg", "yuvj420p", 200, [0.0]), ("mpeg4", "yuv420p", 150, np.arange(10) / 20)])
    write(tmp_path / "one.mkv", [("mpeg4", "yuv420p", 150, np.arange(10) / 20)])
    words = "video stream 2 of 2 (mpeg4, 64x48) is used: it shows most"
    assert words in extract_clip(tmp_path / "two.mkv", config).note
    assert "video stream" not in extract_clip(tmp_path / "one.mkv", config).note
