# SPDX-License-Identifier: Apache-2.0
"""A picture is what a player shows: all eight ways of laying it down, any shape of pixels, high range, odd formats."""

import gc
import struct
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess import display, video
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.display import PixelAspect, ToneMap, Turn, can_map, square_size, turn_of, wide_range
from mindface_eri.preprocess.picture import Picture, fitted
from mindface_eri.preprocess.video import probe, read_frames, scan, write_video

# How a player lays a stored picture down, and a way to store one so that it is then shown as it was.
STORED = {
    (1, 0, 0, 1): lambda x: x, (-1, 0, 0, 1): lambda x: x[:, ::-1], (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1], (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda x: x[::-1, ::-1].transpose(1, 0, 2), (0, 1, -1, 0): lambda x: np.rot90(x, 1),
    (0, -1, 1, 0): lambda x: np.rot90(x, 3)}


def scene(height=48, width=80):
    """Dark, bright to the top left and middling to the bottom left, so that no turn gives the same."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[:height // 2, :width // 2], image[height // 2:, :width // 4] = 220, 120
    return image


def write(path, pictures, codec="mpeg4", pixels="yuv420p", rate=10, **context):
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=rate)
        track.width, track.height, track.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], pixels
        for name, value in context.items():
            setattr(track.codec_context, name, value)
        for picture in pictures:
            frame = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture)).reformat(format=pixels)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return path


def lay(path, matrix):
    """Writes a display matrix into the track header (version 0) of an MP4."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (round(65536 * part) for part in matrix)
    at = data.index(b"tkhd") + 44
    data[at:at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def near(image, right):
    return np.abs(image.astype(float) - right).mean() < 8


@pytest.mark.parametrize("matrix", STORED, ids=str)
def test_all_eight_ways_of_laying_a_picture_down(tmp_path, matrix):
    path, right = tmp_path / "clip.mp4", scene()
    write(path, [STORED[matrix](right)] * 2)
    lay(path, matrix)
    info = probe(path)
    assert (info.width, info.height) == (80, 48)
    shown = next(read_frames(path))[1]
    assert (shown.width, shown.height) == (80, 48)
    assert near(shown.rgb(), right) and near(shown.rgb(0.5), right[::2, ::2])
    assert near((shown.grey.astype(float) - 16) * 255 / 219, right[..., 0])
    part, corner = shown.rgb_around(np.array([0, 20, 30, 48]))
    assert near(part, right[corner[1]:, :part.shape[1]])


@pytest.mark.parametrize("degrees, turn", [(1, Turn()), (88, Turn(True, False, True)), (-91, Turn(True, True, False)),
                                           (179, Turn(False, True, True))])
def test_a_crooked_matrix_counts_as_the_nearest_turn(tmp_path, degrees, turn):
    path, (cos, sin) = tmp_path / "clip.mp4", (np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)))
    write(path, [scene()] * 2)
    lay(path, (cos, -sin, sin, cos))
    with av.open(str(path)) as container:
        assert turn_of(next(container.decode(video=0))) == turn


def test_no_frame_waits_for_the_garbage_collector(tmp_path):
    """In a decoder it would hold a buffer, and damaged pictures would show what the collector's moments say."""
    write_video(tmp_path / "clip.mp4", [np.zeros((32, 48, 3), np.uint8)] * 20, 10)
    gc.collect()
    gc.disable()
    try:
        count = sum(1 for _ in read_frames(tmp_path / "clip.mp4"))
        left = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]
    finally:
        gc.enable()
    assert count == 20 and len(left) <= 2  # the first picture's copy


def test_side_data_that_pyav_cannot_name_leaves_the_rotation():
    class Odd:
        rotation = -90

        @property
        def side_data(self):
            raise ValueError("99 is not a valid Type")

    assert turn_of(Odd()) == Turn(True, True, False)
    assert turn_of(SimpleNamespace(side_data={})) == Turn()


@pytest.mark.parametrize("aspect, size", [
    (None, (720, 576)), (Fraction(1), (720, 576)), (Fraction(2), (1440, 576)), (Fraction(1, 2), (720, 1152)),
    (Fraction(64, 45), (1024, 576)), (Fraction(16, 15), (768, 576)), (Fraction(8, 9), (720, 648)),
    (Fraction(12, 11), (785, 576)), (Fraction(136, 135), (725, 576)), (Fraction(400, 401), (720, 576)),
    (Fraction(1000, 1), (720, 576)), (Fraction(1, 99), (720, 576)), (Fraction(0), (720, 576))])
def test_sizes_in_square_pixels(aspect, size):
    assert square_size(720, 576, aspect) == size


@pytest.mark.parametrize("aspect, stored", [(Fraction(2), (48, 40)), (Fraction(1, 2), (24, 80)),
                                            (Fraction(4, 3), (48, 60)), (Fraction(8, 9), (42, 80))])
@pytest.mark.parametrize("codec, pixels", [("mpeg4", "yuv420p"), ("libx264", "yuv444p")])
def test_pixels_of_any_shape_are_shown_square(tmp_path, aspect, stored, codec, pixels):
    import cv2

    path = tmp_path / "clip.mkv"
    small = cv2.resize(scene(), stored[::-1], interpolation=cv2.INTER_AREA)
    write(path, [small] * 2, codec, pixels, sample_aspect_ratio=aspect)
    size = square_size(*stored[::-1], aspect)
    assert abs(size[0] - 80) < 1 and abs(size[1] - 48) < 2
    assert (probe(path).width, probe(path).height) == size and scan(path)[0].width == stored[1]
    shown = next(read_frames(path))[1]
    assert (shown.width, shown.height) == size and shown.grey.shape == shown.rgb().shape[:2] == size[::-1]
    assert np.abs(shown.rgb()[:46, :78].astype(float) - scene()[:46, :78]).mean() < 8


def test_a_squeezed_picture_on_its_side(tmp_path):
    """The shape of pixels is that of the stored picture, before it is turned."""
    path = tmp_path / "clip.mp4"
    write(path, [np.rot90(scene())[:, ::2]] * 2, sample_aspect_ratio=Fraction(2))
    lay(path, (0, 1, -1, 0))
    shown = next(read_frames(path))[1]
    assert (shown.width, shown.height) == (probe(path).width, probe(path).height) == (80, 48)
    assert near(shown.rgb(), scene())


def test_boxes_and_landmarks_are_in_shown_pixels(tmp_path, face_picture):
    """The same face, stored squeezed, on its side and mirrored, gives the same box and crop."""
    right = face_picture(320, 240, [(200, 130, 110)])
    write(tmp_path / "plain.mp4", [right] * 3)
    write(tmp_path / "odd.mp4", [STORED[(0, -1, -1, 0)](right)[::2]] * 3, sample_aspect_ratio=Fraction(1, 2))
    lay(tmp_path / "odd.mp4", (0, -1, -1, 0))
    config = PreprocessConfig(frames=2, face=FaceConfig(detector="dlib"))
    plain, odd = (extract_clip(tmp_path / name, config) for name in ("plain.mp4", "odd.mp4"))
    assert (odd.width, odd.height) == (plain.width, plain.height) == (320, 240)
    np.testing.assert_allclose(odd.boxes, plain.boxes, atol=4)
    np.testing.assert_allclose(odd.landmarks, plain.landmarks, atol=6)
    assert np.abs(odd.frames.astype(float) - plain.frames).mean() < 12


def test_ten_bits_are_as_bright_as_eight(tmp_path):
    shades = np.tile(np.arange(16, 240, 8, np.uint8).repeat(4)[None, :, None], (32, 1, 3))
    for name, pixels in (("eight.mkv", "yuv420p"), ("ten.mkv", "yuv420p10le")):
        write(tmp_path / name, [shades] * 2, "ffv1", pixels)
    for name in ("eight.mkv", "ten.mkv"):
        assert np.abs(next(read_frames(tmp_path / name))[1].rgb().astype(int) - shades).max() <= 3
        assert not scan(tmp_path / name)[0].note


def said(transfer, primaries):
    return SimpleNamespace(color_trc=transfer, color_primaries=primaries)


@pytest.mark.parametrize("transfer, primaries, words", [
    (1, 1, ""), (2, 2, ""), (6, 6, ""), (13, 5, ""), (16, 9, "HDR (PQ)"), (18, 9, "HDR (HLG)"),
    (14, 9, "wide gamut (BT.2020)"), (2, 12, "wide gamut (Display P3)"), (1, 11, "wide gamut (DCI-P3)")])
def test_what_is_more_than_a_standard_screen_shows(transfer, primaries, words):
    assert wide_range(said(transfer, primaries)) == words
    assert not wide_range(object())  # older PyAV does not say


def pq(nits):
    """The code, 0 to 1, of a luminance in candela per square metre (SMPTE ST 2084)."""
    part = (nits / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * part) / (1 + 2392 / 128 * part)) ** (2523 / 32)


def hlg(linear):
    """The code of a scene's light (BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.sqrt(3 * linear) if linear <= 1 / 12 else a * np.log(12 * linear - b) + c


def high_range(path, codes, transfer):
    """Grey columns of 16 pixels each, in BT.2020 and 10 bits."""
    columns = np.tile(np.round(np.repeat(codes, 16) * 65535).astype(np.uint16)[None, :, None], (32, 1, 3))
    frame = av.VideoFrame.from_ndarray(columns, "rgb48le").reformat(format="yuv420p10le", dst_colorspace=9,
                                                                    dst_color_range=1)
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, 9, 9, 1
    with av.open(str(path), "w") as container:
        track = container.add_stream("ffv1", rate=10)
        track.width, track.height, track.pix_fmt = columns.shape[1], 32, "yuv420p10le"
        for name, value in (("color_trc", transfer), ("color_primaries", 9), ("colorspace", 9), ("color_range", 1)):
            setattr(track.codec_context, name, value)
        container.mux([*track.encode(frame), *track.encode()])


@pytest.mark.slow
@pytest.mark.skipif(not can_map(), reason="PyAV 17 hands ranges on to FFmpeg's scaler")
def test_high_range_is_shown_as_on_a_standard_screen(tmp_path):
    """White is at 203 candela per square metre (BT.2408), above it all is white."""
    nits = np.array([0, 1, 10, 50, 100, 150, 203, 1000])
    light = np.minimum(nits / 203, 1)
    right = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    high_range(tmp_path / "pq.mkv", [pq(n) for n in nits], 16)
    shown = next(read_frames(tmp_path / "pq.mkv"))[1]
    np.testing.assert_allclose(shown.rgb()[16, 8::16], np.repeat(right[:, None], 3, 1), atol=4)
    np.testing.assert_allclose(shown.grey[16, 8::16], right, atol=4)
    assert not scan(tmp_path / "pq.mkv")[0].note
    # HLG: a scene's light to the power of 1.2 on a screen of 1,000 candela per square metre.
    high_range(tmp_path / "hlg.mkv", [hlg((n / 1000) ** (1 / 1.2)) for n in nits], 18)
    shown = next(read_frames(tmp_path / "hlg.mkv"))[1]
    np.testing.assert_allclose(shown.rgb()[16, 8::16, 1], right, atol=8)


@pytest.mark.skipif(not hasattr(av.VideoFrame, "color_trc"), reason="this PyAV does not tell frames' transfer")
def test_high_range_goes_through_one_map_where_there_is_one_and_into_the_note_where_not(tmp_path, monkeypatch):
    high_range(tmp_path / "pq.mkv", [0.2, 0.5], 16)
    made = []

    class Dark(ToneMap):
        def __init__(self):
            made.append(self)

        def __call__(self, frame):
            return av.VideoFrame.from_ndarray(np.full((frame.height, frame.width, 3), 7, np.uint8))

    monkeypatch.setattr(video, "ToneMap", Dark)
    monkeypatch.setattr(video, "can_map", lambda: True)
    shown = next(read_frames(tmp_path / "pq.mkv"))[1]
    assert len(made) == 1 and (shown.rgb() == 7).all() and (shown.width, shown.height) == (32, 32)
    monkeypatch.setattr(video, "can_map", lambda: False)
    assert next(read_frames(tmp_path / "pq.mkv"))[1].rgb()[16, 24].min() > 100
    assert "HDR (PQ): colours are not those of a player" in scan(tmp_path / "pq.mkv")[0].note
    assert isinstance(display.can_map(), bool)


def test_a_pixel_format_that_cannot_be_converted_is_an_error_of_its_clip():
    for ask in (lambda p: p.grey, lambda p: p.rgb(), lambda p: p.rgb(0.5), lambda p: p.rgb_around(np.zeros(4))):
        with pytest.raises(MediaError, match="pixel format rgb4 cannot be converted"):
            ask(Picture(av.VideoFrame(64, 48, "rgb4")))


@pytest.mark.parametrize("name", ["yaf32le", "rgbaf32be"])
def test_what_the_scaler_dies_of_is_not_handed_to_it(name):
    """In a process of its own: it would take this one along."""
    if name not in av.video.format.names:
        pytest.skip("this FFmpeg does not know it")
    code = ("import av\nfrom mindface_eri.errors import MediaError\n"
            "from mindface_eri.preprocess.picture import Picture, fitted\n"
            f"frame = av.VideoFrame(64, 48, {name!r})\n"
            "for ask in (lambda: Picture(frame).grey, lambda: Picture(frame).rgb(), lambda: fitted(frame, (32, 24))):\n"
            "    try:\n        ask()\n    except MediaError as error:\n        print(error)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count(f"pixel format {name} cannot be converted") == 3, done.stderr


def test_an_old_pyav_resizes_what_its_scaler_may_not_write_as_rgb(monkeypatch):
    frame = av.VideoFrame(64, 48, "rgb8")
    monkeypatch.setattr(av, "__version__", max(av.__version__, "17.0.0"))
    assert fitted(frame, (32, 24)).format.name == "rgb8"
    monkeypatch.setattr(av, "__version__", "16.1.0")
    assert fitted(frame, (32, 24)).format.name == "rgb24"
    with pytest.raises(MediaError, match="y210be cannot be converted"):
        Picture(av.VideoFrame(64, 48, "y210be")).rgb()


def test_a_clip_of_such_pixels_fails_with_the_reason(tmp_path):
    frames = []
    for k in range(3):
        frames.append(av.VideoFrame(64, 48, "rgb4"))
        frames[-1].pts = k
    with av.open(str(tmp_path / "clip.nut"), "w") as container:
        track = container.add_stream("rawvideo", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "rgb4"
        for frame in frames:
            container.mux(track.encode(frame))
    with pytest.raises(MediaError, match="clip.nut: .*picture: the pixel format rgb4 cannot be converted"):
        extract_clip(tmp_path / "clip.nut")


@pytest.mark.parametrize("codec, first, second", [
    ("mpeg2video", Fraction(1), Fraction(4, 3)), ("libx264", Fraction(4, 3), Fraction(1)),
    ("libx264", Fraction(2), Fraction(2))])
def test_pixels_may_become_wider_within_a_recording(tmp_path, codec, first, second):
    """Two recordings joined, whose codec holds pictures back: each has its own form in the size of the first."""
    data = b""
    for aspect in (first, second):
        with av.open(str(tmp_path / "one.ts"), "w") as container:
            track = container.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 96, 72, "yuv420p"
            track.codec_context.max_b_frames, track.codec_context.sample_aspect_ratio = 2, aspect
            for k in range(8):
                frame = av.VideoFrame.from_ndarray(np.full((72, 96, 3), 120, np.uint8))
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(track.encode(frame))
            container.mux(track.encode())
        data += (tmp_path / "one.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(data)
    pictures = [picture for _, picture in read_frames(tmp_path / "both.ts")]
    assert {(p.width, p.height) for p in pictures} == {(round(96 * first), 72)}
    assert len(pictures) in (15, 16)  # FFmpeg 7's decoder of MPEG-2 loses one where the shape changes
    for number, picture in enumerate(pictures):
        lit = picture.rgb().mean(2) > 60
        shape = (lit.any(0).sum(), lit.any(1).sum())
        if number < len(pictures) - 8 or first == second:
            assert shape == (round(96 * first), 72), number
        elif second > first:
            assert shape == (96, 54), "black above and below"
        else:
            assert shape == (96, 72), "black on both sides"


def test_a_container_has_the_last_word_on_the_form_of_pixels():
    said = iter([Fraction(1), Fraction(4, 3)])
    stream = SimpleNamespace(sample_aspect_ratio=Fraction(2), codec_context=SimpleNamespace(sample_aspect_ratio=None))
    for agrees in (False, True):
        aspect = PixelAspect(stream)
        stream.codec_context.sample_aspect_ratio = Fraction(2) if agrees else next(said)
        found = [aspect.of(SimpleNamespace(key_frame=True))]
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        found += [aspect.of(SimpleNamespace(key_frame=key)) for key in (False, True, False)]
        assert found == ([2, 2, Fraction(4, 3), Fraction(4, 3)] if agrees else [2] * 4)
