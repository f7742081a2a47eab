# SPDX-License-Identifier: Apache-2.0
"""Each option of `preprocess` makes a difference to the clip that comes out, or to the crops that are stored."""

from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.options import Case, check, leaves

from mindface_eri.config import AudioConfig
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.build.extraction import extract_to_file
from mindface_eri.datasets.build.plan import Plan
from mindface_eri.datasets.build.stage import Stage
from mindface_eri.datasets.labels import ClipEntry, Manifest
from mindface_eri.datasets.records import Records
from mindface_eri.preprocess import faces
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import Detection, DlibDetector, Landmarks, MtcnnDetector

COUNT, WIDTH, HEIGHT = 30, 160, 120
_GONE = {8, 9, 10, 11, *range(16, 25), 27, 28, 29}
_random = np.random.default_rng(4)
_MARKS = _random.uniform([-1, -0.9], [1, 0.8], (68, 2))
_MARKS[36:42], _MARKS[42:48] = [-0.4, -0.45], [0.4, -0.15]  # eyes that are not level


def _faces(number):
    """(x, y, side): the largest wanders and is away at times, the last is near the middle and comes late."""
    k = number
    largest = [] if k in _GONE else [(36 + 0.7 * k + 3 * np.sin(k), 62 + 4 * np.cos(1.7 * k), 40 + 4 * np.sin(2.1 * k))]
    return [*largest, (132, 28 + 0.3 * k, 26), *([(96, 70 + 2 * np.sin(k), 20)] if k >= 6 else [])]


def _picture(number):
    """Its shade tells the number; a pattern in less than half of it lets pixels tell where a crop was cut."""
    picture = np.full((HEIGHT, WIDTH, 3), 20 + 7 * number, np.uint8)
    picture[30:90, 10:110] = np.random.default_rng(1).integers(0, 255, (15, 25, 3)).repeat(4, 0).repeat(4, 1)
    return picture


def _number(image):
    level = float(np.median(image))
    return round(((level - 16) * 255 / 219 if image.ndim == 2 else level) / 7 - 20 / 7)


def _box(face):
    x, y, side = face
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)


def _landmarks(grey, box):
    middle, side = (box[:2] + box[2:]) / 2, box[2] - box[0]
    x, y, near = min(_faces(_number(grey)), key=lambda face: np.hypot(*(middle - face[:2])))
    if np.hypot(*(middle - (x, y))) < 0.8 * side:
        middle, side = np.array([x, y]), near
    return (_MARKS * side / 2 + middle).astype(np.float32)


class _Portrait:
    """Whose face it is follows from its size."""

    def __init__(self, picture, landmarks):
        self.numbers = np.zeros(128)
        self.numbers[0] = np.searchsorted([23, 32], np.ptp(landmarks[:, 0]))

    def cut(self):
        """Needs no picture."""


def _find(places):
    """Faces of at least 11 pixels in the picture that is looked at."""
    def find(self, image):
        scale = image.shape[0] / HEIGHT
        return [Detection(_box(face) * scale, True) for face in places(_number(image)) if face[2] * scale >= 11]
    return find


@pytest.fixture(scope="module")
def film(tmp_path_factory, write_streams):
    """20 frames a second, and louder and louder sound, left another than right."""
    path, time = tmp_path_factory.mktemp("film") / "film.mkv", np.arange(24000) / 16000
    left, right = np.sin(2 * np.pi * 300 * time * (1 + time)), np.sin(2 * np.pi * 1900 * time)
    write_streams(path, [_picture(k) for k in range(COUNT)], [k / 20 for k in range(COUNT)],
                  np.stack([left, right], 1) * 0.3 * time[:, None], layout="stereo")
    return SimpleNamespace(path=path, bases={})


@pytest.fixture
def made(film, monkeypatch, tmp_path):
    """dlib finds the faces, MTCNN others; `blind` takes dlib's away."""
    for detector in (DlibDetector, MtcnnDetector, Landmarks):
        monkeypatch.setattr(detector, "__init__", lambda self: None)
    monkeypatch.setattr(faces, "Portrait", _Portrait)
    monkeypatch.setattr(Landmarks, "__call__", lambda self, grey, box: _landmarks(grey, box))
    monkeypatch.setattr(MtcnnDetector, "find", _find(lambda number: _faces(number)[-2:]))
    monkeypatch.setattr(DlibDetector, "find", _find(_faces))
    return SimpleNamespace(path=film.path, bases=film.bases, folder=tmp_path,
                           calm=lambda: monkeypatch.setattr(
                               DlibDetector, "find", _find(lambda number: [(132, 28 + 0.3 * number, 26)])),
                           blind=lambda: monkeypatch.setattr(DlibDetector, "find", _find(lambda number: [])))


def seen(config, made):
    """What is seen, and by what, but for words."""
    clip = extract_clip(made.path, config)
    return [clip.frames, clip.present, clip.boxes, clip.landmarks, clip.detected, clip.found_share, clip.followed_share,
            clip.others, clip.track]


def seen_where_dlib_is_blind(config, made):
    made.blind()
    return seen(config, made)


def seen_of_a_calm_face(config, made):
    made.calm()
    return seen(config, made)


def heard(config, made):
    clip = extract_clip(made.path, config)
    return [clip.mfcc, clip.present]


def copied(config, made):
    """Copies of the sound, of a clip whose split has some."""
    return extract_clip(made.path, config, copies=True).copies


def passed_on(config, made):
    """Which clips' workers are asked for copies."""
    clips = [ClipEntry(f"c{k}", split, (0.5,) * 7, made.path) for k, split in enumerate(("train", "val", "test"))]
    plan = Plan(made.folder, Manifest(EMOTIONS, tuple(clips)), config.preprocess, 3)
    (made.folder / "plan.json").touch()
    asked = []

    def pool(task):
        asked.append(task["copies"])
        return "done", "", ""

    pool.elsewhere = False
    stage = Stage(plan, pool, 0, set())
    for position in range(3):
        stage(np.int64(position))
    return asked


def stored(config, made):
    """The crops that training reads back."""
    target = made.folder / "clip.npz"
    reply = extract_to_file(extract_clip, config.preprocess, {
        "video": str(made.path), "audio": None, "target": str(target), "preview": None, "id": "00001"})
    assert reply == ("done", "", "")
    records = Records(made.folder, ("Fear",), config.preprocess, "", (), (), np.zeros((0, 1)), np.zeros(1), np.ones(1))
    with np.load(target) as arrays:
        return records.crops(arrays["frames"])


START = {"preprocess.frames": 8, "preprocess.face.follow": "largest", "preprocess.face.size": 32,
         "preprocess.audio.coefficients": 12, "preprocess.audio.stack": 4, "preprocess.audio.n_fft": 512}
_FACE = {
    "detector": [Case(seen, ["mtcnn"]), Case(seen_where_dlib_is_blind, ["dlib"])],
    "mode": [Case(seen, ["every-frame"])],
    "follow": [Case(seen, ["center", "longest"])],
    "size": [Case(seen, [40])],
    "margin": [Case(seen, [0.0, 0.5])],
    "align": [Case(seen, [True])],
    "gap_window": [Case(seen, [2])],
    "min_share": [Case(seen, [0.9], {"preprocess.face.detector": "dlib"}),
                  Case(seen, [0.9])],  # then MTCNN has its turn
    "smoothing": [Case(seen, [0.0, 0.5])],
    "redetect_every": [Case(seen_of_a_calm_face, [5])],
    "track_stride": [Case(seen, [1, 5])],
    "detect_height": [Case(seen, [60])]}
_AUDIO = {
    "sample_rate": [Case(heard, [8000])],
    "coefficients": [Case(heard, [10])],
    "stack": [Case(heard, [3])],
    "n_fft": [Case(heard, [1024])],
    "hop_length": [Case(heard, [256])],
    "cover": [Case(heard, ["all"], {"preprocess.audio.hop_length": 64})],
    "silence": [Case(heard, [0.9])]}
_SPED = {"preprocess.augment.speeds": (0.8, 1.25)}
_AUGMENT = {
    "speeds": [Case(copied, [(0.9,), (0.9, 1.5)])],
    "noise": [Case(copied, [0.1, 0.4], _SPED)],
    "splits": [Case(passed_on, [("val",), ("train", "test")], _SPED)]}
CASES = {
    "preprocess.frames": [Case(seen, [5]), Case(heard, [5])],
    **{f"preprocess.face.{name}": cases for name, cases in _FACE.items()},
    **{f"preprocess.audio.{name}": cases for name, cases in _AUDIO.items()},
    **{f"preprocess.augment.{name}": cases for name, cases in _AUGMENT.items()},
    "preprocess.storage": [Case(stored, ["raw"])],
    "preprocess.jpeg_quality": [Case(stored, [40])]}


@pytest.mark.parametrize("name", leaves("preprocess"))
def test_an_option_changes_what_comes_out(name, made):
    check(name, CASES, made, START)


def test_no_case_is_of_an_option_that_is_gone():
    assert set(CASES) <= set(leaves("preprocess"))


def test_the_width_of_a_stack_is_no_option():
    """It follows from two."""
    assert AudioConfig(coefficients=12, stack=4).features == 48
