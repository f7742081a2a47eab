# SPDX-License-Identifier: Apache-2.0
"""A person on the side or head gets a hint, one who sits upright does not."""

import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess import upright
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import Detection, register_detector
from mindface_eri.preprocess.upright import upright_hint
from mindface_eri.preprocess.video import read_frames, write_video


@register_detector("believes-all")
class BelievesAll:
    """Finds a face in every picture, as detectors do in pictures upside down."""

    colour, max_height = False, 4320

    def find(self, image):
        return [Detection(np.array([40, 40, 140, 140], np.float32), True)]


WORDS = ["", "lie on the side; turn the recording by 90 degrees clockwise",
         "upside down; turn the recording by 180 degrees",
         "lie on the side; turn the recording by 90 degrees counter-clockwise"]


@pytest.mark.parametrize("turns", range(4))
def test_the_turn_that_shows_faces(tmp_path, face_picture, turns):
    films = [face_picture(320, 240, [(140 + 5 * k, 130, 100)]) for k in range(3)]
    write_video(tmp_path / "clip.mp4", [np.ascontiguousarray(np.rot90(film, turns)) for film in films], 5)
    found = upright_hint(picture for _, picture in read_frames(tmp_path / "clip.mp4"))
    assert found.endswith(WORDS[turns]) and bool(found) == bool(turns)


@pytest.mark.parametrize("turns, looks, said", [
    ([0, 0, 1, 1], 2, ""), ([0, None, 2, 2], 2, ""), ([1, 2, 1, 1], 4, WORDS[3]), ([3, 3, 0, 3], 4, WORDS[1]),
    ([1, 2, 3, 1], 3, ""), ([2, 2, 0, 0], 4, ""), ([0, 2, 2], 3, WORDS[2]), ([2], 1, WORDS[2])])
def test_no_picture_is_turned_that_cannot_change_the_hint(monkeypatch, turns, looks, said):
    answers = iter(turns)
    monkeypatch.setattr(upright, "_clearest_turn", lambda picture: next(answers))
    assert upright_hint(turns).endswith(said) and bool(upright_hint([])) is False
    assert len(turns) - len(list(answers)) == looks


def test_rooms_and_nothing_give_no_hint(tmp_path):
    write_video(tmp_path / "clip.mp4", np.random.default_rng(0).integers(0, 255, (4, 96, 128, 3), np.uint8), 5)
    assert upright_hint(picture for _, picture in read_frames(tmp_path / "clip.mp4")) == upright_hint([]) == ""


def test_the_clips_note_carries_it(tmp_path, face_picture):
    film = np.ascontiguousarray(face_picture(320, 240, [(150, 130, 100)])[::-1, ::-1])
    write_video(tmp_path / "clip.mp4", [film] * 3, 5)
    config = PreprocessConfig(frames=3, face=FaceConfig(detector="believes-all"))
    assert WORDS[2] in extract_clip(tmp_path / "clip.mp4", config).note
