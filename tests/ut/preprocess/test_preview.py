# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os

import cv2
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.preprocess.preview import STATE_COLOURS, contact_sheet, save_contact_sheet
from mindface_eri.preprocess.video import write_video

CONFIG = PreprocessConfig(frames=10, face=FaceConfig(detector="dlib", gap_window=2))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, face_picture, tone):
    """Two crops' worth of each of detected and none."""
    path = tmp_path_factory.mktemp("preview") / "half.mp4"
    face, empty = face_picture(320, 240, [(160, 120, 120)]), face_picture(320, 240, [])
    write_video(path, [face] * 10 + [empty] * 10, 20, tone)
    return extract_clip(path, CONFIG)


def colours(sheet):
    return {name for name, colour in STATE_COLOURS.items() if (sheet[100:] == colour).all(axis=2).any()}


def test_frames_carry_the_colour_of_their_state(clip):
    sheet = contact_sheet(clip, title="half")
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert colours(sheet) == {"detected", "none"}
    silent = dataclasses.replace(clip, envelope=Envelope.silent())
    assert len(contact_sheet(silent)) < len(sheet)  # without the waveform the sheet is lower


def test_saved_sheet_reads_back(clip, tmp_path):
    save_contact_sheet(clip, tmp_path / "sheet.png", "a title")
    back = cv2.imread(str(tmp_path / "sheet.png"))[:, :, ::-1]
    np.testing.assert_array_equal(back, contact_sheet(clip, title="a title"))
    assert os.listdir(tmp_path) == ["sheet.png"]
    with pytest.raises(MediaError, match="cannot be written"):
        save_contact_sheet(clip, tmp_path / "sheet.png" / "sheet.png")


def test_the_clip_carries_the_sound_that_the_sheet_shows(clip, tone):
    assert clip.envelope.peak == pytest.approx(np.abs(tone).max(), rel=0.2)
    assert clip.envelope.seconds == clip.duration
    quiet = clip.envelope.high[int(1.5 / clip.duration * len(clip.envelope)) + 60:]  # AAC rings a little after its end
    assert not len(quiet) or quiet.max() < 0.1


def test_a_clip_without_sound_shows_none(clip, tmp_path, face_picture):
    write_video(tmp_path / "mute.mp4", [face_picture(320, 240, [(160, 120, 120)])] * 3, 20)
    write_video(tmp_path / "still.mp4", [face_picture(320, 240, [(160, 120, 120)])] * 3, 20, np.zeros(2400, np.float32))
    for name in ("mute.mp4", "still.mp4"):
        mute = extract_clip(tmp_path / name, CONFIG)
        assert len(mute.envelope) == 0 and mute.envelope.peak == 0
        assert len(contact_sheet(mute)) < len(contact_sheet(clip)) - 108, "neither waveform nor MFCC"
