# SPDX-License-Identifier: Apache-2.0
"""Where the sound lies beside the picture, and how long a file lasts."""

import wave
from pathlib import Path

import numpy as np
import pytest
from mindface_eri.prediction.analysis import duration_of, waveform_of

from mindface_eri.errors import MediaError
from mindface_eri.prediction import analysis as module
from mindface_eri.preprocess.video import write_video


@pytest.mark.parametrize("start, begin, separate, expected", [
    (0.0, 0.0, False, [1, 2, 3, 4, 5, 6]),
    (0.2, 0.5, False, [4, 5, 6, 7, 8, 0]),  # sound that begins before the picture loses its first 3 samples
    (0.5, 0.3, False, [0, 0, 1, 2, 3, 4]),  # the picture goes on 2 samples without sound
    (0.2, 0.5, True, [1, 2, 3, 4, 5, 6])])  # a file of its own begins with the picture
def test_sound_lies_where_the_picture_is(media, make_clip, start, begin, separate, expected):
    asked = media(0.6, waveform=np.arange(1.0, 9.0), start=start, begin=begin)
    clip = make_clip(seconds=0.6)
    sound = waveform_of("s.wav", "v.mp4", clip, 10, separate=separate)
    np.testing.assert_array_equal(sound, expected)
    assert sound.dtype == np.float32
    assert asked == [(Path("s.wav"), 10)]
    assert waveform_of("s.wav", "v.mp4", make_clip(sound=False), 10, separate=separate) is None


def test_sound_without_a_picture_begins_with_the_clip(media, make_clip, monkeypatch):
    media(0.6, waveform=np.arange(1.0, 4.0), start=0.7)

    def fail(path):
        raise MediaError("no picture")

    monkeypatch.setattr(module, "read_frames", fail)
    np.testing.assert_array_equal(waveform_of("s", "s", make_clip(seconds=0.6), 10, separate=False), [1, 2, 3, 0, 0, 0])
    assert len(waveform_of("s", "s", make_clip(seconds=0.0), 10, separate=False)) == 1


def test_how_long_a_file_lasts(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 12000)
    assert duration_of(tmp_path / "a.wav") == pytest.approx(1.5)
    write_video(tmp_path / "v.mp4", [np.zeros((32, 32, 3), np.uint8)] * 8, 5)
    assert duration_of(tmp_path / "v.mp4") == pytest.approx(1.4)  # from the first picture to the last
    write_video(tmp_path / "one.mp4", [np.zeros((32, 32, 3), np.uint8)], 5)
    assert duration_of(tmp_path / "one.mp4") == pytest.approx(0.2)
