# SPDX-License-Identifier: Apache-2.0
"""Clips written piece by piece: the same file as written at once, whatever the pieces are and whichever comes first."""

import os

import numpy as np
import pytest

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.video import frame_times
from mindface_eri.preprocess.writer import open_writer, write_video

FRAMES = [np.full((48, 64, 3), (40 + 9 * k, 90, 200 - 9 * k), np.uint8) for k in range(12)]
SOUND = (0.2 * np.sin(np.arange(19200) / 7)).astype(np.float32)  # 1.2 s, no whole number of AAC's frames


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("at once") / "clip.mp4"
    write_video(path, FRAMES, 10, SOUND)
    return path.read_bytes()


@pytest.mark.parametrize("size", [1, 7, 1023, 1024, 1025, 5000, 19200])
def test_pieces_of_any_size_give_the_same_bytes(tmp_path, at_once, size):
    with open_writer(tmp_path / "clip.mp4", 10, 16000) as writer:
        for frame in FRAMES:
            writer.frame(frame)
        writer.end_of_frames()
        for first in range(0, len(SOUND) if size > 1 else 3000, size):
            writer.sound(SOUND[first:first + size])
        if size == 1:
            writer.sound(SOUND[3000:])
        writer.sound(SOUND[:0])
    assert (tmp_path / "clip.mp4").read_bytes() == at_once


def content(path):
    return frame_times(path), load_audio(path, 16000)


@pytest.mark.parametrize("before", [1, 1024, 2500, 19200])
def test_sound_that_comes_before_the_first_picture_waits_for_it(tmp_path, at_once, before):
    (tmp_path / "wanted.mp4").write_bytes(at_once)
    with open_writer(tmp_path / "clip.mp4", 10, 16000) as writer:
        writer.sound(SOUND[:before])
        for k, frame in enumerate(FRAMES):
            writer.frame(frame)
            rest = SOUND[before:]
            writer.sound(rest[k * len(rest) // 12:(k + 1) * len(rest) // 12])
    (times, audio), (wanted_times, wanted) = content(tmp_path / "clip.mp4"), content(tmp_path / "wanted.mp4")
    np.testing.assert_array_equal(times, wanted_times)
    np.testing.assert_array_equal(audio.waveform, wanted.waveform)
    assert audio.start == wanted.start


def test_sound_may_end_before_the_pictures_do_and_there_may_be_none(tmp_path):
    for name, sound in (("short.mp4", SOUND[:1500]), ("none.mp4", SOUND[:0])):
        with open_writer(tmp_path / name, 10, 16000) as writer:
            writer.sound(sound)
            for frame in FRAMES:
                writer.frame(frame)
        assert len(frame_times(tmp_path / name)) == 12
    assert 1500 <= len(load_audio(tmp_path / "short.mp4", 16000).waveform) < 1500 + 3 * 1024
    with pytest.raises(MediaError, match="none.mp4: the sound track holds no sample|there is no sound track"):
        load_audio(tmp_path / "none.mp4", 16000)


@pytest.mark.parametrize("rate", [None, 16000])
def test_without_a_picture_there_is_no_file(tmp_path, rate):
    with pytest.raises(MediaError, match="no.mp4: there are no frames to write"), \
            open_writer(tmp_path / "no.mp4", 10, rate) as writer:
        if rate:
            writer.sound(SOUND)
    assert os.listdir(tmp_path) == []


def test_what_goes_wrong_in_between_leaves_the_old_file(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"old")
    with pytest.raises(KeyError), open_writer(tmp_path / "clip.mp4", 10, 16000) as writer:
        writer.frame(FRAMES[0])
        raise KeyError("whatever")
    assert (tmp_path / "clip.mp4").read_bytes() == b"old" and os.listdir(tmp_path) == ["clip.mp4"]
