# SPDX-License-Identifier: Apache-2.0
"""Times, streams and sizes as containers give them: odd stamps, none, unknown codecs, sizes that change on the way."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import Detection, register_detector
from mindface_eri.preprocess.streams import video_streams
from mindface_eri.preprocess.video import frame_times, open_media, probe, read_frames, scan


@register_detector("anything")
class Anything:
    """Finds a face in every picture."""

    colour, max_height = False, 4320

    def find(self, image):
        return [Detection(np.array([12, 8, 48, 44], np.float32), True)]


def ramp(count, height=48, width=64):
    """Flat grey frames, each 10 brighter than the one before."""
    return [np.full((height, width, 3), 20 + 10 * k, np.uint8) for k in range(count)]


def mux(path, packets, stamps):
    """Intact packets of other makers in Matroska, under whatever stamps, seconds."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p"
        for k, (packet, stamp) in enumerate(zip(packets, stamps)):
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts, packet.dts = round(stamp * 1000), round(min(stamps[k:]) * 1000)
            container.mux(packet)


def jpegs(pictures):
    """One MJPEG packet for each picture."""
    packets = []
    for k, picture in enumerate(pictures):
        maker = av.CodecContext.create("mjpeg", "w")
        maker.height, maker.width, maker.pix_fmt = *picture.shape[:2], "yuvj420p"
        maker.time_base = Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuvj420p")
        frame.pts = k
        packets += [*maker.encode(frame), *maker.encode()]
    return packets


@pytest.mark.parametrize("stamps, times", [
    ([0, 0.04, 0.08, 0.08, 0.16], [0, 0.04, 0.08, 0.12, 0.16]),  # twice the same
    ([0.3, 0.34, 0.36, 0.4], [0.3, 0.34, 0.36, 0.4]),
    ([0, 0.04, 59, 59.04], [0, 0.04, 59, 59.04]),
    ([0, 0.04, 100, 100.04, 100.1], [0, 0.04, 100, 100.04, 100.1]),  # nothing was recorded for so long
    ([0, 0.04, 100, 0.12, 0.16, 0.2], [0, 0.04, 0.08, 0.12, 0.16, 0.2]),  # an odd one moves nothing else
])
def test_stamps_are_kept_unless_they_cannot_be(tmp_path, stamps, times):
    mux(tmp_path / "clip.mkv", jpegs(ramp(len(stamps))), stamps)
    found, pictures = zip(*read_frames(tmp_path / "clip.mkv"))
    np.testing.assert_allclose(found, times, atol=1e-9)
    np.testing.assert_allclose(frame_times(tmp_path / "clip.mkv"), times, atol=1e-9)
    assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([20 + 10 * k for k in range(len(times))],
                                                                           abs=2)


@pytest.mark.parametrize("name, codec, first, counted", [
    ("a.avi", "mpeg4", 0, 6), ("a.mjpeg", "mjpeg", 0, None), ("a.m4v", "mpeg4", 0, 6),
    ("a.ts", "mpeg2video", None, None), ("a.h264", "libx264", 0, None)])
def test_containers_with_and_without_stamps(tmp_path, name, codec, first, counted):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for picture in ramp(6):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())
    info, planned = scan(path)
    found = np.array([t for t, _ in read_frames(path)])
    np.testing.assert_allclose(planned, found, atol=1e-9)
    np.testing.assert_allclose(np.diff(found), np.full(5, 0.04), atol=1e-6)
    assert (found[0] > 0) if first is None else (found[0] == first)
    assert (info.fps, info.width, info.height, info.has_video, info.has_audio) == (25, 64, 48, True, False)
    assert (probe(path).fps, probe(path).frames) == (25, counted)


def test_stamps_for_some_pictures_only_go_on_from_the_first(tmp_path):
    """A transport stream whose packets hold two pictures each has stamps for every other one."""
    packets = []
    with av.open(str(tmp_path / "clip.ts"), "w") as container:
        track = container.add_stream("libx264", rate=20)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.gop_size, track.codec_context.max_b_frames = 1, 0
        for k, picture in enumerate(ramp(6)):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = 8 + k, Fraction(1, 20)
            packets += track.encode(frame)
        packets += track.encode()
        for one, other in zip(packets[::2], packets[1::2]):
            both = av.Packet(bytes(one) + bytes(other))
            both.stream, both.pts, both.dts, both.time_base = track, one.pts, one.dts, one.time_base
            container.mux(both)
    with open_media(tmp_path / "clip.ts") as container:
        assert [packet.pts is None for packet in container.demux(video=0) if packet.size] == [False, True] * 3
    np.testing.assert_allclose(frame_times(tmp_path / "clip.ts"), 0.4 + np.arange(6) / 20, atol=1e-6)
    np.testing.assert_allclose([t for t, _ in read_frames(tmp_path / "clip.ts")], 0.4 + np.arange(6) / 20, atol=1e-6)


@pytest.mark.parametrize("name, codec", [
    ("a.avi", "mpeg4"), ("b.avi", "libx264"), ("a.ts", "mpeg2video"), ("b.ts", "libx264"), ("a.mpg", "mpeg2video"),
    ("a.flv", "libx264"), ("a.mp4", "mpeg4"), ("a.mkv", "libx264"), ("a.nut", "mpeg4"), ("b.h264", "libx264"),
    ("a.webm", "libvpx")])
def test_what_is_foreseen_is_what_comes_with_pictures_out_of_order_too(tmp_path, name, codec):
    with av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream(codec, rate=20)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.max_b_frames, track.codec_context.gop_size = 2, 9
        for picture in ramp(20):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())
    info, planned = scan(tmp_path / name)
    found, pictures = zip(*read_frames(tmp_path / name, info))
    np.testing.assert_allclose(found, planned, atol=1e-9)
    fps = 25 if name.endswith("h264") else 20  # a bare stream says nothing
    np.testing.assert_allclose(np.diff(found), np.full(19, 1 / fps), atol=1.1e-3)
    assert (np.diff([float(picture.rgb().mean()) for picture in pictures]) > -4).all() and info.fps == fps


@pytest.mark.parametrize("start", [0, 40])
def test_recordings_joined_end_to_end_are_foreseen_as_they_come(joined, start):
    """Transport streams with pictures out of order; the second one's clock begins anew."""
    both = joined((50 * 25, start * 25), list(ramp(14)), max_b_frames=2)
    info, planned = scan(both)
    found = [seconds for seconds, _ in read_frames(both, info)]
    np.testing.assert_allclose(found, planned, atol=1e-9)
    np.testing.assert_allclose(found, 50 + np.arange(28) / 25, atol=1e-6)
    assert info.note == ("the time stamps begin anew once, as in recordings joined end to end: picture and sound go on "
                         "together")


@pytest.mark.parametrize("rate, suffix, fps", [(1000, "nut", 1000), (1001, "nut", 0), (5000, "mkv", 1000),
                                               (Fraction(1, 10), "nut", 0.1), (Fraction(1, 11), "nut", 0),
                                               (Fraction(1, 20), "mkv", 1)])
def test_rates_that_no_camera_has_are_not_believed(tmp_path, rate, suffix, fps):
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        track = container.add_stream("mpeg4", rate=rate)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for picture in ramp(1):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())
    assert scan(path)[0].fps == probe(path).fps == fps
    shown = extract_clip(path, PreprocessConfig(frames=2, face=FaceConfig(detector="anything")))
    assert shown.fps == pytest.approx(fps or 25) and shown.duration == pytest.approx(1 / (fps or 25))


def test_a_size_that_changes_is_brought_to_the_first_one(tmp_path):
    halves = [np.zeros((48, 64, 3), np.uint8), np.zeros((96, 128, 3), np.uint8), np.zeros((96, 160, 3), np.uint8)]
    for picture in halves:
        picture[:, picture.shape[1] // 2:] = 200  # bright to the right
    mux(tmp_path / "clip.mkv", jpegs([halves[0], halves[1], halves[2]]), [0, 0.04, 0.08])
    pictures = [picture for _, picture in read_frames(tmp_path / "clip.mkv")]
    assert [(p.width, p.height) for p in pictures] == [(64, 48)] * 3
    for picture, rows in zip(pictures, (slice(0, 48), slice(0, 48), slice(7, 41))):  # the last one is wider
        assert picture.rgb().shape == (48, 64, 3)
        assert picture.grey[:, :28].max() < 15 and picture.grey[rows, 36:].min() > 185
    assert max(pictures[2].grey[:4].max(), pictures[2].grey[44:].max()) < 15, "not stretched"


def test_what_containers_say(tmp_path, write_streams):
    sound = np.full(12000, 0.1)
    write_streams(tmp_path / "both.mkv", ramp(8), [0.5 + k / 10 for k in range(8)], sound, 0.25)
    write_streams(tmp_path / "mute.mkv", ramp(8), [k / 10 for k in range(8)])
    write_streams(tmp_path / "sound.mka", sound=sound)
    info, times = scan(tmp_path / "both.mkv")
    assert (info.width, info.height, info.has_video, info.has_audio, info.rotation) == (64, 48, True, True, 0)
    assert info.duration == pytest.approx(1.0, abs=0.25) and probe(tmp_path / "both.mkv").duration == info.duration
    np.testing.assert_allclose(times, 0.5 + np.arange(8) / 10, atol=1e-9)
    info = probe(tmp_path / "mute.mkv")
    assert (info.width, info.height, info.has_video, info.has_audio, info.frames) == (64, 48, True, False, None)
    for info in (probe(tmp_path / "sound.mka"), scan(tmp_path / "sound.mka")[0]):
        assert (info.has_video, info.has_audio, info.width, info.fps) == (False, True, 0, 0)
        assert info.duration == pytest.approx(0.75, abs=0.01)
    assert not len(frame_times(tmp_path / "sound.mka"))
    with pytest.raises(MediaError, match="sound.mka: there is no video stream"):
        list(read_frames(tmp_path / "sound.mka"))


def test_streams_without_a_decoder_are_none(tmp_path, write_streams):
    write_streams(tmp_path / "both.mkv", ramp(3), [0, 0.1, 0.2], np.full(4000, 0.1))
    data = (tmp_path / "both.mkv").read_bytes()
    (tmp_path / "s.mkv").write_bytes(data.replace(b"A_PCM/INT/LIT", b"A_XXX/INT/LIT"))
    (tmp_path / "v.mkv").write_bytes(data.replace(b"V_FFV1", b"V_XXX1").replace(b"V_MS/VFW", b"V_XX/VFW"))
    for ask in (probe, lambda path: scan(path)[0]):
        assert (ask(tmp_path / "s.mkv").has_video, ask(tmp_path / "s.mkv").has_audio) == (True, False)
        assert (ask(tmp_path / "v.mkv").has_video, ask(tmp_path / "v.mkv").has_audio) == (False, True)
    with pytest.raises(MediaError, match="there is no sound track"):
        load_audio(tmp_path / "s.mkv", 16000)


def test_a_video_stream_has_a_size_that_cameras_give():
    def stream(width, height):
        return SimpleNamespace(disposition=None, codec_context=SimpleNamespace(width=width, height=height))

    def first(*streams):
        return next(iter(video_streams(SimpleNamespace(streams=SimpleNamespace(video=list(streams))))), None)

    good = stream(16384, 1)
    for bad in (stream(0, 48), stream(64, 0), stream(16385, 48), stream(64, 16385),
                SimpleNamespace(disposition=None, codec_context=None)):
        assert first(bad) is None and first(bad, good) is good
    assert first(stream(1, 16384), good) is not good


def test_sound_and_picture_of_one_file_are_decoded_to_the_end(tmp_path, write_streams):
    """What a decoder holds back comes too: H.264 with pictures out of order."""
    write_streams(tmp_path / "clip.mkv", ramp(20), [k / 10 for k in range(20)], codec="libx264")
    with open_media(tmp_path / "clip.mkv") as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert stamps != sorted(stamps)
    found, pictures = zip(*read_frames(tmp_path / "clip.mkv"))
    np.testing.assert_allclose(found, np.arange(20) / 10, atol=1e-9)
    assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([20 + 10 * k for k in range(20)], abs=3)


def test_pictures_that_an_edit_list_cuts_away_are_not_there(tmp_path):
    """A clip cut without coding it anew: the pictures before its begin are in the file, for the decoder alone."""
    packets = []
    with av.open(str(tmp_path / "cut.mp4"), "w") as container:
        track = container.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for picture in ramp(8):
            packets += track.encode(av.VideoFrame.from_ndarray(picture))
        for packet in [*packets, *track.encode()]:
            early = round(Fraction(3, 25) / packet.time_base)
            packet.pts, packet.dts = packet.pts - early, packet.dts - early
            container.mux(packet)
    np.testing.assert_allclose(frame_times(tmp_path / "cut.mp4"), np.arange(5) / 25, atol=1e-9)
    times, pictures = zip(*read_frames(tmp_path / "cut.mp4"))
    np.testing.assert_allclose(times, np.arange(5) / 25, atol=1e-9)
    assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([50 + 10 * k for k in range(5)], abs=3)


@pytest.mark.parametrize("content, suffix, message", [
    (b"", "mp4", r"clip.mp4: the file is empty \(0 bytes\); fetch or record it again"),
    (None, "mp4", "clip.mp4: no such file"),
    (b"\x00\x01\x02" * 300, "mp4", r"clip.mp4: cannot be read as video or sound \(.*[Ii]nvalid data.*\)"),
    (b"P6\n4 4\n255\n" + bytes(48), "ppm", r"clip.ppm: not a container of video or sound \(a picture, text"),
], ids=["empty", "missing", "noise", "picture"])
def test_files_that_are_no_clips_are_named_with_the_reason(tmp_path, content, suffix, message):
    path = tmp_path / f"clip.{suffix}"
    if content is not None:
        path.write_bytes(content)
    for ask in (probe, scan, lambda path: list(read_frames(path)), lambda path: load_audio(path, 16000)):
        with pytest.raises(MediaError, match=message):
            ask(path)


@pytest.mark.parametrize("frames, pause", [(1, 3), (1, 26), (2, 26), (3, 30)])
def test_a_pause_in_avi_is_where_it_was_recorded(tmp_path, frames, pause):
    """AVI keeps stamps of decoding only, which run ahead of what is shown by as many pictures as are held back."""
    shown = [*range(10), *range(10 + pause, 23 + pause)]
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        track = container.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.max_b_frames, track.codec_context.time_base = frames, Fraction(1, 25)
        track.options = {"x264-params": f"bframes={frames}:b-adapt=0"}
        for picture, stamp in zip(ramp(23), shown):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = stamp, Fraction(1, 25)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    info, planned = scan(tmp_path / "a.avi")
    found, pictures = zip(*read_frames(tmp_path / "a.avi", info))
    np.testing.assert_allclose(planned - planned[0], np.array(shown) / 25, atol=1e-6)
    np.testing.assert_allclose(found, planned, atol=1e-9)
    assert (np.diff([p.rgb().mean() for p in pictures]) > 0).all()
