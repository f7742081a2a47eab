# SPDX-License-Identifier: Apache-2.0
import enum
import hashlib
import os
import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.streams import video_streams
from mindface_eri.preprocess.video import Picture, frame_times, probe, read_frames, scan, write_video


def ramp(count, height=48, width=64):
    """Flat grey frames, each 5 brighter than the one before."""
    return [np.full((height, width, 3), 20 + 5 * k, np.uint8) for k in range(count)]


def test_written_clip_reads_back(tmp_path, tone):
    path = tmp_path / "ramp.mp4"
    write_video(path, iter(ramp(20)), 25, tone)
    info = probe(path)
    assert (info.width, info.height, info.has_video, info.has_audio, info.frames) == (64, 48, True, True, 20)
    assert info.fps == 25
    assert info.duration == pytest.approx(1.5, abs=0.1)  # the sound is longer than the picture's 0.8 s
    times, pictures = zip(*read_frames(path))
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-6)
    np.testing.assert_allclose(frame_times(path), times, atol=1e-9)
    assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([20 + 5 * k for k in range(20)], abs=2)
    assert os.listdir(tmp_path) == ["ramp.mp4"]  # no temporary file stays


def test_same_input_gives_same_pictures(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, 10)
    a, b = ([p.rgb() for _, p in read_frames(tmp_path / name)] for name in ("a.mp4", "b.mp4"))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("suffix, codec", [("mkv", "libx264"), ("webm", "libvpx")])
def test_a_damaged_stream_gives_the_same_pictures_each_time(tmp_path, monkeypatch, face_picture, suffix, codec):
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(24):
            picture = face_picture(320, 240, [(100 + 5 * k, 120, 100)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 4, len(data), len(data) // 40):
        data[place] ^= 0x55
    path.write_bytes(data)
    seen = set()
    for threads in ["1"] + ["4"] * 9:
        monkeypatch.setenv("MINDFACE_ERI_THREADS", threads)
        seen.add(hashlib.sha256(b"".join(picture.rgb().tobytes() for _, picture in read_frames(path))).hexdigest())
    assert len(seen) == 1


def test_odd_sides_are_doubled_at_the_edge(tmp_path):
    write_video(tmp_path / "odd.mp4", [np.zeros((31, 45, 3), np.uint8)] * 2, 10)
    assert (probe(tmp_path / "odd.mp4").width, probe(tmp_path / "odd.mp4").height) == (46, 32)


@pytest.mark.parametrize("frames", [[], [np.zeros((8, 8), np.uint8)], [np.zeros((8, 8, 3), np.float32)]])
def test_frames_that_cannot_be_written(tmp_path, frames):
    with pytest.raises(MediaError):
        write_video(tmp_path / "no.mp4", frames, 10)
    assert not os.listdir(tmp_path)


def test_variable_frame_rate_keeps_time_stamps(tmp_path):
    stamps = [0, 20, 40, 500, 1000, 1040]  # milliseconds
    with av.open(str(tmp_path / "vfr.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, array in zip(stamps, ramp(len(stamps))):
            frame = av.VideoFrame.from_ndarray(array)
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    np.testing.assert_allclose([t for t, _ in read_frames(tmp_path / "vfr.mp4")], np.array(stamps) / 1000, atol=2e-3)


@pytest.mark.parametrize("rotation, matrix", [(0, (1, 0, 0, 1)), (90, (0, -1, 1, 0)), (180, (-1, 0, 0, -1)),
                                              (270, (0, 1, -1, 0))])
def test_rotation_metadata_is_honoured(tmp_path, rotation, matrix):
    """A frame stored on its side or head, whose track header says so, comes out upright."""
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = 220  # bright top left
    path = tmp_path / "turned.mp4"
    write_video(path, [np.ascontiguousarray(np.rot90(upright, -(rotation // 90)))] * 4, 10)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the matrix of a version 0 track header
    a, b, c, d = (65536 * part for part in matrix)
    data[at:at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    info = probe(path)
    assert (info.width, info.height, info.rotation) == (96, 64, rotation)
    stored, _ = scan(path)
    assert (stored.width, stored.height, stored.rotation) == ((64, 96, 0) if rotation % 180 else (96, 64, 0))
    _, first = next(read_frames(path))
    assert (first.width, first.height) == (96, 64)
    part, _ = first.rgb_around(np.array([-9, -9, 200, 200]))
    for image in (first.rgb().mean(axis=2), first.grey.astype(float), first.reduced_grey(0.5), part.mean(axis=2)):
        height, width = image.shape
        corners = [image[y, x] for y, x in ((2, 2), (2, width - 3), (height - 3, 2), (height - 3, width - 3))]
        assert corners[0] > 150 and max(corners[1:]) < 60


def test_damaged_middle_is_skipped(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "hurt.mp4"
    write_video(path, rng.integers(0, 256, (40, 64, 96, 3), dtype=np.uint8), 20)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 400] = bytes(400)
    path.write_bytes(data)
    times = [t for t, _ in read_frames(path)]
    assert 10 < len(times) <= 40 and all(b > a for a, b in zip(times, times[1:]))


@pytest.mark.parametrize("content, words", [(b"", "empty"), (b"hello\n" * 50, "cannot be read"), (None, "no such file"),
                                            (b"#EXTM3U\n#EXTINF:3,\nother.ts\n", "read|play list")])
def test_files_that_are_no_clips(tmp_path, content, words):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=words):
        probe(path)


def test_a_picture_is_no_clip(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((20, 20, 3), np.uint8))
    os.replace(tmp_path / "p.png", tmp_path / "p.mp4")
    with pytest.raises(MediaError, match="a picture, text, a play list"):
        list(read_frames(tmp_path / "p.mp4"))


@pytest.mark.parametrize("kind", [enum.Flag, enum.IntFlag], ids=["PyAV up to 15", "PyAV from 16"])
def test_flags_of_either_kind_are_read(kind):
    flags = kind("Disposition", {"default": 1, "attached_pic": 0x400})
    streams = [SimpleNamespace(disposition=flag, codec_context=SimpleNamespace(width=64, height=48))
               for flag in (flags.attached_pic, flags.default)]
    assert video_streams(SimpleNamespace(streams=SimpleNamespace(video=streams))) == [streams[1]]


def test_cover_art_is_not_video(tmp_path, tone):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value  # up to PyAV 15 the flag itself is refused
        frame = av.VideoFrame.from_ndarray(ramp(1)[0]).reformat(format="yuvj420p")
        frame.pts = 0
        container.mux(cover.encode(frame))
        for start in range(0, len(tone) - 1152, 1152):
            part = av.AudioFrame.from_ndarray(tone[None, start:start + 1152].copy(), format="fltp", layout="mono")
            part.sample_rate, part.pts = 16000, start
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    assert (probe(path).has_video, probe(path).has_audio) == (False, True)


def test_grey_does_not_depend_on_the_pixel_format():
    array = np.zeros((16, 24, 3), np.uint8)
    array[:, 12:] = 200
    frame = av.VideoFrame.from_ndarray(array)
    grey = [Picture(frame.reformat(format=name)).grey for name in ("yuv420p", "yuv420p10le")]
    assert grey[0].shape == grey[1].shape == (16, 24)
    assert all(image[4, 20] - image[4, 4].astype(int) > 120 for image in grey)
