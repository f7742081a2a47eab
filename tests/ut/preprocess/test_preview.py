# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os

import cv2
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.preview import STATE_COLOURS, contact_sheet, save_contact_sheet, sound_of
from mindface_eri.preprocess.video import write_video

CONFIG = PreprocessConfig(frames=10, face=FaceConfig(detector="dlib", gap_window=2, hold_window=4))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, face_picture, tone):
    """Two crops' worth of each of detected, held and none."""
    path = tmp_path_factory.mktemp("preview") / "half.mp4"
    face, empty = face_picture(320, 240, [(160, 120, 120)]), face_picture(320, 240, [])
    write_video(path, [face] * 10 + [empty] * 10, 20, tone)
    return extract_clip(path, CONFIG)


def colours(sheet):
    return {name for name, colour in STATE_COLOURS.items() if (sheet[100:] == colour).all(axis=2).any()}


def test_frames_carry_the_colour_of_their_state(clip, tone):
    sheet = contact_sheet(clip, tone, title="half")
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert colours(sheet) == {"detected", "held", "none"}
    assert len(contact_sheet(clip)) < len(sheet)  # without the waveform the sheet is lower


def test_saved_sheet_reads_back(clip, tone, tmp_path):
    save_contact_sheet(clip, tmp_path / "sheet.png", "a title", tone)
    back = cv2.imread(str(tmp_path / "sheet.png"))[:, :, ::-1]
    np.testing.assert_array_equal(back, contact_sheet(clip, tone, title="a title"))
    assert os.listdir(tmp_path) == ["sheet.png"]
    with pytest.raises(MediaError, match="cannot be written"):
        save_contact_sheet(clip, tmp_path / "sheet.png" / "sheet.png")


def test_the_sheet_shows_the_sound_that_the_clip_uses(clip, tone, tmp_path):
    path = tmp_path / "toned.mp4"
    write_video(path, [np.zeros((64, 64, 3), np.uint8)] * 20, 20, tone)
    waveform, offset = sound_of(clip, path, None, 16000)
    assert np.abs(waveform).max() > 0.5 * np.abs(tone).max()
    assert abs(offset) < 0.1
    taller = contact_sheet(clip, waveform, offset=offset)
    assert taller.shape[0] > contact_sheet(clip).shape[0]


def test_a_clip_without_sound_shows_none(clip):
    silent = dataclasses.replace(clip, present=np.array([1, 0], np.float32))
    assert sound_of(silent, "gone.mp4", None, 16000) == (None, 0.0)
