# SPDX-License-Identifier: Apache-2.0
"""A path is a path, and a clip is one regular file: nothing else is opened on its behalf."""

import os
import socket

import av
import numpy as np
import pytest

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.container import open_media
from mindface_eri.preprocess.video import probe, read_frames, scan, write_video


def flat(count, shade=90):
    return [np.full((48, 64, 3), shade, np.uint8)] * count


@pytest.mark.parametrize("name", ["2026-11-25T10:00:00.mp4", "file:a.mp4", "pipe:0.mp4", "concat:a.mp4|b.mp4",
                                  "http:a.mp4", "data:,x.mp4", "a%03d.mp4", "subfile,,start,0,end,9,,:a.mp4", "-i.mp4",
                                  " a .mp4"])
def test_names_that_ffmpeg_would_take_for_more_than_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for other in ("a.mp4", "b.mp4"):
        write_video(other, flat(2), 10)
    write_video(name, flat(5), 10)
    assert sorted(os.listdir()) == sorted(["a.mp4", "b.mp4", name])
    for path in (name, tmp_path / name):
        assert len(list(read_frames(path))) == 5 and probe(path).width == 64


@pytest.mark.parametrize("name, content", [
    ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{0}\n#EXT-X-ENDLIST\n"),
    ("list.mp4", "ffconcat version 1.0\nfile {0}\n"), ("list.ffconcat", "ffconcat version 1.0\nfile {0}\n"),
    ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
              "a=rtpmap:96 H264/90000\n"),
    ("a.mpd", '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
              '<Representation id="0" bandwidth="1"><BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period>'),
    ("a.idx", "# VobSub index file, v7 (do not modify this line!)\n"), ("a.ass", "[Script Info]\nTitle: x\n")])
def test_a_list_is_refused_before_what_it_names_is_opened(tmp_path, name, content):
    """A sibling that is a FIFO would hold up whoever opens it."""
    os.mkfifo(tmp_path / "other.ts")
    os.mkfifo(tmp_path / "a.sub")
    for sibling in ("other.ts", str(tmp_path / "other.ts")):
        (tmp_path / name).write_text(content.format(sibling))
        with pytest.raises(MediaError, match=f"{name}: (not a container of video or sound|cannot be read)"):
            scan(tmp_path / name)


def test_what_is_no_file_is_refused_by_kind(tmp_path):
    os.mkfifo(tmp_path / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(tmp_path / "socket.mp4") if len(str(tmp_path)) > 90 else str(tmp_path / "socket.mp4"))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to("fifo.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    for name, words in (("fifo.mp4", r"a pipe \(FIFO\), not a file"), ("link.mp4", r"a pipe \(FIFO\), not a file"),
                        ("socket.mp4", "a socket, not a file"), ("folder.mp4", "a folder, not a file"),
                        ("gone.mp4", "no such file"), ("x" * 300, "cannot be read"), ("a\0b.mp4", "no such file")):
        for ask in (probe, scan, lambda path: list(read_frames(path))):
            with pytest.raises(MediaError, match=f": {words}"):
                ask(tmp_path / name)
    with pytest.raises(MediaError, match="/dev/zero: a device, not a file"):
        scan("/dev/zero")


def test_a_track_elsewhere_is_not_fetched(tmp_path):
    """QuickTime may say that a track's samples lie in another file."""
    os.mkfifo(tmp_path / "other.mov")
    write_video(tmp_path / "clip.mov", flat(3), 10)
    data = bytearray((tmp_path / "clip.mov").read_bytes())
    at = data.index(b"dref") + 12  # size, kind, version and flags of its one entry
    assert data[at + 4:at + 8] in (b"url ", b"alis")
    data[at + 4:at + 12] = b"alis" + bytes(4)  # not in this file
    (tmp_path / "clip.mov").write_bytes(data)
    assert len(list(read_frames(tmp_path / "clip.mov"))) <= 3


@pytest.mark.parametrize("suffix, codec, sound", [
    ("mp4", "mpeg4", None), ("mov", "mpeg4", None), ("mkv", "ffv1", None), ("webm", "libvpx", None),
    ("avi", "mjpeg", None), ("flv", "flv", None), ("wmv", "wmv2", None), ("asf", "wmv2", None),
    ("ts", "mpeg2video", None), ("m2ts", "mpeg2video", None), ("mpg", "mpeg2video", None),
    ("vob", "mpeg2video", None), ("3gp", "mpeg4", None),
    ("3g2", "mpeg4", None), ("ogv", "libtheora", None), ("nut", "ffv1", None), ("mxf", "mpeg2video", None),
    ("m4v", "mpeg4", None), ("mjpeg", "mjpeg", None), ("gif", "gif", None), ("y4m", "wrapped_avframe", None),
    ("wav", None, "pcm_s16le"), ("flac", None, "flac"), ("mp3", None, "libmp3lame"), ("m4a", None, "aac"),
    ("m4b", None, "aac"), ("aac", None, "aac"), ("ogg", None, "libopus"), ("oga", None, "libopus"),
    ("opus", None, "libopus"), ("weba", None, "libopus"), ("mka", None, "flac"), ("wma", None, "wmav2"),
    ("aiff", None, "pcm_s16be"), ("caf", None, "pcm_s16be"), ("au", None, "pcm_s16be"), ("ac3", None, "ac3"),
    ("amr", None, "libopencore_amrnb"), ("wv", None, "wavpack"), ("tta", None, "tta"), ("mp2", None, "mp2"),
    ("voc", None, "pcm_s16le")])
def test_containers_that_people_use_are_on_the_list(tmp_path, suffix, codec, sound):
    if (codec or sound) not in av.codecs_available:
        pytest.skip("this FFmpeg cannot write it")
    path, form = tmp_path / f"clip.{suffix}", {"m4b": "mp4", "weba": "webm", "m2ts": "mpegts"}.get(suffix)
    try:
        with av.open(str(path), "w", format=form) as container:
            track = container.add_stream(codec or sound, rate=25 if codec else 8000 if suffix == "amr" else 48000)
            if codec:
                track.width, track.height = 64, 48
                track.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
                frames = [av.VideoFrame.from_ndarray(f).reformat(format=track.pix_fmt) for f in flat(12)]
            else:
                track.layout = "mono"
                samples = np.zeros((1, 4800), np.int16)
                frames = [av.AudioFrame.from_ndarray(samples, "s16", "mono")]
                frames[0].sample_rate, frames[0].pts = track.rate, 0
                fitted = av.AudioResampler(format=track.format, layout="mono", rate=track.rate,
                                           frame_size=track.codec_context.frame_size or 1024)
                frames = [*fitted.resample(frames[0]), *fitted.resample(None)]
            for frame in frames:
                container.mux(track.encode(frame))
            container.mux(track.encode())
    except (av.error.FFmpegError, ValueError, OSError) as error:
        pytest.skip(f"this FFmpeg cannot write it: {error}")
    with open_media(path) as container:
        assert container.streams.video if codec else container.streams.audio
    assert (scan(path)[0].has_video, scan(path)[0].has_audio) == (bool(codec), bool(sound))
