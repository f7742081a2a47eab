# SPDX-License-Identifier: Apache-2.0
"""Reading goes on where packets fail, ends where nothing more comes, and opens nothing but clips."""

import itertools
import threading
from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.video import decoded, open_media, packets_of, probe, read_frames, scan


def ramp(count):
    return [np.full((48, 64, 3), 20 + 10 * k, np.uint8) for k in range(count)]


class Container:
    """Gives what is listed, one `demux` after the other; exceptions in the list are raised, and end that `demux`."""

    def __init__(self, *items):
        self._items, self.asked, self.format = iter(items), 0, SimpleNamespace(name="matroska")

    def demux(self, stream):
        self.asked += 1
        assert stream == "stream"
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield item


def broken(count):
    """`count` errors of either kind that FFmpeg and PyAV meet in damaged files."""
    kinds = itertools.cycle([av.error.InvalidDataError(1, "damaged"), IndexError("a stream nobody announced")])
    return list(itertools.islice(kinds, count))


def test_damaged_stretches_are_skipped_and_twenty_errors_in_a_row_end_a_file():
    container = Container("a", *broken(19), "b", *broken(19), "c", "d", *broken(20), "e")
    assert list(packets_of(container, "stream")) == ["a", "b", "c", "d"]
    assert container.asked == 19 + 19 + 20
    assert list(packets_of(Container(*broken(19), "a"), "stream")) == ["a"]
    assert not list(packets_of(Container(*broken(20), "a"), "stream"))
    assert list(packets_of(Container("a", EOFError(), "b"), "stream")) == ["a"]


def write_h264(path, count=12):
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for picture in ramp(count):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())


def test_what_the_decoder_holds_comes_where_reading_ends_in_an_error(tmp_path):
    write_h264(tmp_path / "clip.mkv")

    class Cut:
        """Ends after the last packet, before the empty one that makes the decoder give all it has."""

        format = SimpleNamespace(name="matroska")

        def demux(self, stream):
            yield from (packet for packet in container.demux(stream) if packet.size)
            raise EOFError

    with open_media(tmp_path / "clip.mkv") as container:
        stream = container.streams.video[0]
        assert [frame.pts for frame in decoded(Cut(), stream)] == [40 * k for k in range(12)]
        assert stream.codec_context.thread_count == 1


def test_a_packet_that_cannot_be_decoded_is_left_out(tmp_path):
    packets = []
    for k, picture in enumerate(ramp(5)):
        maker = av.CodecContext.create("mjpeg", "w")
        maker.width, maker.height, maker.pix_fmt, maker.time_base = 64, 48, "yuvj420p", Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuvj420p")
        frame.pts = k
        packets += [*maker.encode(frame), *maker.encode()]
    packets[2] = av.Packet(b"no picture at all" * 9)
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        track = container.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p"
        for k, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts, packet.time_base = track, 40 * k, 40 * k, Fraction(1, 1000)
            container.mux(packet)
    times, pictures = zip(*read_frames(tmp_path / "clip.mkv"))
    np.testing.assert_allclose(times, [0, 0.04, 0.12, 0.16], atol=1e-9)
    assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([20, 30, 50, 60], abs=2)


def test_recordings_joined_end_to_end_keep_all_their_pictures(joined):
    """The second one's clock begins anew, from zero or from a little before."""
    for start in (0.0, 97.9):
        both = joined((100 * 25, round(start * 25)), list(ramp(6)), gop_size=1)
        times, pictures = zip(*read_frames(both))
        np.testing.assert_allclose(times, 100 + np.arange(12) / 25, atol=1e-6)
        assert [round(float(p.rgb().mean())) for p in pictures] == pytest.approx([20, 30, 40, 50, 60, 70] * 2, abs=4)


@pytest.mark.parametrize("name, content", [
    ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nclip.mkv\n#EXT-X-ENDLIST\n"),
    ("a.mp4", "ffconcat version 1.0\nfile clip.mkv\n"), ("a.ans", "hello \x1b[31m\n" * 30), ("a.png", None),
    ("a.jpg", None), ("a.bmp", None)])
def test_play_lists_text_and_pictures_are_no_clips(tmp_path, name, content):
    write_h264(tmp_path / "clip.mkv", 3)
    if content is None:
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 24, 3), np.uint8))
    else:
        (tmp_path / name).write_text(content)
    for ask in (probe, scan, lambda path: list(read_frames(path)), lambda path: load_audio(path, 16000)):
        with pytest.raises(MediaError) as error:
            ask(tmp_path / name)
        assert str(error.value) == (f"{tmp_path / name}: not a container of video or sound (a picture, text, a play "
                                    "list, or damaged); give the recording itself")


def test_files_alone_are_opened_and_titles_in_any_encoding(tmp_path, monkeypatch):
    write_h264(tmp_path / "plain.mkv", 2)
    with av.open(str(tmp_path / "titled.mkv"), "w") as container, av.open(str(tmp_path / "plain.mkv")) as source:
        container.metadata["title"] = "caf# ##"
        track = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = track
                container.mux(packet)
    data = (tmp_path / "titled.mkv").read_bytes()
    assert b"caf# ##" in data
    (tmp_path / "titled.mkv").write_bytes(data.replace(b"caf# ##", b"caf\xe9 \xff\xfe"))
    asked, whole = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **more: asked.append(more) or whole(*args, **more))
    with open_media(tmp_path / "titled.mkv") as container:
        assert container.metadata["title"].startswith("caf")
    assert asked[0]["container_options"]["protocol_whitelist"] == "file"  # a list in a file cannot call the network


def test_an_error_while_reading_is_one_of_the_file(tmp_path):
    write_h264(tmp_path / "clip.mkv", 2)
    for error, reason in ((OSError(5, "Input/output error"), "Input/output error"), (EOFError("short"), "short"),
                          (ValueError("odd header"), "odd header")):
        with pytest.raises(MediaError) as caught, open_media(tmp_path / "clip.mkv"):
            raise error
        assert str(caught.value) == f"{tmp_path / 'clip.mkv'}: cannot be read as video or sound ({reason})"
    with pytest.raises(KeyError), open_media(tmp_path / "clip.mkv"):
        raise KeyError("a fault of ours")


def test_of_two_sound_tracks_the_first_that_can_be_decoded(tmp_path):
    with av.open(str(tmp_path / "two.mka"), "w") as container:
        for codec in ("flac", "pcm_s16le"):
            container.add_stream(codec, rate=16000, layout="mono")
        for track, level in zip(container.streams.audio, (3000, 9000)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), level, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16000, 0
            container.mux([*track.encode(frame), *track.encode()])
    assert load_audio(tmp_path / "two.mka", 16000).waveform[800] == pytest.approx(3000 / 32768, abs=1e-4)
    data = (tmp_path / "two.mka").read_bytes()
    assert data.count(b"A_FLAC") == 1
    (tmp_path / "two.mka").write_bytes(data.replace(b"A_FLAC", b"A_FLXX"))
    assert probe(tmp_path / "two.mka").has_audio and scan(tmp_path / "two.mka")[0].has_audio
    assert load_audio(tmp_path / "two.mka", 16000).waveform[800] == pytest.approx(9000 / 32768, abs=1e-4)


@pytest.mark.parametrize("threads, more", [("1", 0), ("2", 1)])
def test_decoding_has_a_thread_of_its_own_where_a_core_is_spare(tmp_path, monkeypatch, threads, more):
    write_h264(tmp_path / "clip.mkv", 4)
    monkeypatch.setenv("MINDFACE_ERI_THREADS", threads)
    before = threading.active_count()
    frames = read_frames(tmp_path / "clip.mkv")
    next(frames)
    assert threading.active_count() == before + more
    frames.close()
    assert threading.active_count() == before
