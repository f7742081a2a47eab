# SPDX-License-Identifier: Apache-2.0
"""Clips with drawn faces, which dlib finds, so that no one's likeness and no download is needed."""

import os
from fractions import Fraction
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.preprocess import faces
from mindface_eri.preprocess.detectors import Detection, DlibDetector, Landmarks, MtcnnDetector
from mindface_eri.preprocess.tracking import Tracker
from mindface_eri.preprocess.video import scan, write_video
from mindface_eri.preprocess.visual import extract_faces

MARKS = np.random.default_rng(0).uniform(-1, 1, (68, 2)).astype(np.float32)  # of a face of side 2 around (0, 0)


def draw_face(canvas: np.ndarray, cx: float, cy: float, side: float, mouth: float = 0.2) -> None:
    """Draws a frontal face into `canvas` (H, W, 3) uint8; `side` is about the width of the head."""

    def ellipse(x, y, rx, ry, colour, start=0, end=360, thickness=-1):
        cv2.ellipse(canvas, (round(cx + x * side), round(cy + y * side)), (max(1, round(rx * side)),
                    max(1, round(ry * side))), 0, start, end, colour, thickness, cv2.LINE_AA)

    line = max(1, round(0.03 * side))
    ellipse(0, -0.12, 0.56, 0.68, (70, 50, 40))  # hair
    ellipse(0, 0, 0.5, 0.64, (224, 182, 156))
    for eye in (-0.2, 0.2):
        ellipse(eye, -0.1, 0.14, 0.09, (188, 142, 120))  # socket
        ellipse(eye, -0.1, 0.09, 0.045, (245, 245, 245))
        ellipse(eye, -0.1, 0.04, 0.045, (50, 35, 30))
        ellipse(eye, -0.2, 0.13, 0.06, (80, 55, 45), 200, 340, line)
    ellipse(0, 0.08, 0.05, 0.16, (236, 198, 172))
    ellipse(0, 0.18, 0.09, 0.04, (176, 128, 108))
    ellipse(0, 0.36, 0.17, 0.03 + 0.1 * mouth, (150, 60, 60))
    ellipse(0, 0.36, 0.12, 0.1 * mouth, (70, 20, 25))


def picture(width: int, height: int, faces) -> np.ndarray:
    """(height, width, 3) uint8 with faces [(cx, cy, side), ...] on a soft background."""
    canvas = np.full((height, width, 3), (120, 140, 150), np.uint8)
    canvas[:] = (canvas * np.linspace(0.8, 1.1, height)[:, None, None]).clip(0, 255).astype(np.uint8)
    for cx, cy, side in faces:
        draw_face(canvas, cx, cy, side)
    return cv2.GaussianBlur(canvas, (0, 0), 1.2)


@pytest.fixture(scope="session")
def face_picture():
    """The function that draws pictures with faces."""
    return picture


@pytest.fixture(scope="session")
def tone():
    """(24000,) float32: 1.5 s of a 440 Hz tone at 16 kHz."""
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(24000) / 16000)).astype(np.float32)


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory, tone):
    """A clip of 30 frames at 20 a second, 320x240, with a face that drifts to the right, and a tone."""
    path = tmp_path_factory.mktemp("clips") / "face.mp4"
    write_video(path, (picture(320, 240, [(130 + k, 120, 120)]) for k in range(30)), 20, tone)
    return path


def square(x: float, y: float, side: float) -> np.ndarray:
    """(4,) float32 box around (x, y)."""
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)


class Grey(np.ndarray):
    """Pixels that know of which scene they are."""


class Scene:
    """A picture that only knows what a detector sees in it, [(x, y, side), ...] with a fourth value False for an
    unsure one, and where the faces really are, by default there."""

    def __init__(self, faces, number: int = 0, true=None, size=(640, 480)) -> None:
        self.faces, self.true, self.number = faces, faces if true is None else true, number
        self.width, self.height = size
        self.solid_grey = np.zeros(size[::-1], np.uint8).view(Grey)  # what there is to be seen is for a test to paint
        self.solid_grey.__dict__.update(faces=self.faces, true=self.true, number=number, width=size[0], height=size[1])

    def reduced_grey(self, scale):
        """What a grey detector is given."""
        return SimpleNamespace(scene=self, scale=scale, colour=False,
                               shape=(round(self.height * scale), round(self.width * scale)))

    def rgb(self, scale):
        """What a colour detector is given."""
        return SimpleNamespace(**{**vars(self.reduced_grey(scale)), "colour": True})


class ScriptedDetector:
    """Finds the scene's faces of at least `smallest` pixels in the reduced picture; notes (number, scale) it was asked
    for."""

    def __init__(self, smallest: float = 80, colour: bool = False, max_height: int = 4320) -> None:
        self.smallest, self.colour, self.max_height = smallest, colour, max_height
        self.looks = []

    def find(self, image):
        """As a FaceDetector's."""
        assert image.colour is self.colour
        self.looks.append((image.scene.number, image.scale))
        stretch = np.array([image.shape[1] / image.scene.width, image.shape[0] / image.scene.height] * 2)
        return [Detection((square(*face[:3]) * stretch).astype(np.float32), all(face[3:]))
                for face in image.scene.faces if face[2] * image.scale >= self.smallest]


def scripted_landmarks(scene: Scene, box: np.ndarray) -> np.ndarray:
    """Landmarks of the real face nearest to the box, if near; else of whatever is in the box."""
    x, y, side = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]
    near = sorted((np.hypot(f[0] - x, f[1] - y), *f[:3]) for f in scene.true)
    if near and near[0][0] < 0.8 * side:
        x, y, side = near[0][1:]
    return MARKS * side / 2 + np.array([x, y], np.float32)


class ScriptedPortrait:
    """Stands for `identity.Portrait`: whose face it is follows from its size alone; a person's are all the same."""

    def __init__(self, picture, landmarks) -> None:
        self.numbers = np.zeros(128)
        self.numbers[0] = np.ptp(landmarks[:, 0]) / 10  # faces whose sides differ by 10 pixels are 1 apart
        self.released = False

    def cut(self):
        """Lets the picture go."""
        self.released = True


@pytest.fixture(scope="session")
def script():
    """Faces whose geometry is known: `marks`, `square`, `Scene`, `Detector`, `landmarks`, `Portrait`."""
    return SimpleNamespace(marks=MARKS, square=square, Scene=Scene, Detector=ScriptedDetector,
                           landmarks=scripted_landmarks, Portrait=ScriptedPortrait)


@pytest.fixture
def track(script):
    """Runs a tracker over scenes (lists of faces, or pairs of what is seen and what is there)."""
    def run(scenes, detector=None, size=(640, 480), landmarks=script.landmarks, **face):
        detector = detector or script.Detector()
        tracker = Tracker(detector, landmarks, FaceConfig(**face), script.Portrait)
        pairs = [scene if isinstance(scene, tuple) else (scene, None) for scene in scenes]
        tracker.run((k, script.Scene(seen, k, true, size)) for k, (seen, true) in enumerate(pairs))
        return tracker, detector.looks
    return run


@pytest.fixture
def replace_dlib(monkeypatch):
    """A function that puts a `find(image)` and a `landmarks(grey, box)` in the place of dlib's; all faces are one
    person's, or `portrait` says whose they are."""
    def replace(find, landmarks, portrait=None):
        one = SimpleNamespace(numbers=np.zeros(128), cut=lambda: None)
        monkeypatch.setattr(faces, "Portrait", portrait or (lambda picture, marks: one))
        monkeypatch.setattr(DlibDetector, "__init__", lambda self: None)
        monkeypatch.setattr(DlibDetector, "find", lambda self, image: find(image))
        monkeypatch.setattr(Landmarks, "__init__", lambda self: None)
        monkeypatch.setattr(Landmarks, "__call__", lambda self, grey, box: landmarks(grey, box))
    return replace


COUNT, WIDTH, HEIGHT = 20, 96, 64  # of the numbered clip
# Brows to chin, seen by a camera that is tilted: 2 wide, eyes not level.
TILT = np.deg2rad(20)
TURN = np.array([[np.cos(TILT), np.sin(TILT)], [-np.sin(TILT), np.cos(TILT)]])


def level_marks():
    marks = np.random.default_rng(1).uniform([-1, -0.9], [1, 0.8], (68, 2))
    marks[36:42], marks[42:48] = [-0.4, -0.3], [0.4, -0.3]
    return marks


TILTED = (level_marks() @ TURN).astype(np.float32)


def shade(number):
    return 20 + 10 * number


def number_of(image):
    """Luma has 219 steps from 16 on, where RGB has 255."""
    level = float(np.median(image))
    return round(((level - 16) * 255 / 219 if image.ndim == 2 else level) / 10) - 2


def walking(numbers):
    return {k: (30 + 2 * k, 28 + k, 24 + (k % 3)) for k in numbers}


def marks_at(x, y, side):
    return TILTED * side / 2 + np.array([x, y], np.float32)


@pytest.fixture(scope="session")
def walk():
    """A face that walks through the numbered clip: its places, its landmarks, how they are tilted, and the shade of
    every frame and back."""
    return SimpleNamespace(faces=walking, marks=marks_at, tilt=TILT, shade=shade, number_of=number_of)


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """20 flat frames, 12.5 a second, frame k of brightness 20 + 10 k."""
    path = tmp_path_factory.mktemp("numbered") / "clip.mp4"
    write_video(path, (np.full((HEIGHT, WIDTH, 3), shade(k), np.uint8) for k in range(COUNT)), 12.5)
    return path


@pytest.fixture
def extract(numbered, monkeypatch, replace_dlib):
    """extract_faces where dlib finds `faces`, {frame: (x, y, side)}, and MTCNN `others`."""
    def run(faces, others=None, frames=COUNT, path=numbered, number=number_of, planned=None, count=None, **face):
        looks = {"dlib": [], "mtcnn": []}

        def finder(name, table):
            def find(image):
                looks[name].append(number(image))
                at = table.get(looks[name][-1])
                scale = image.shape[1] / WIDTH
                if at is None:
                    return []
                x, y, side = at
                box = scale * np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
                return [Detection(box.astype(np.float32), True)]
            return find

        def landmarks(grey, box):
            table = {**(others or {}), **faces}
            x, y, side = table.get(number(grey), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]))
            return marks_at(x, y, side)

        replace_dlib(finder("dlib", faces), landmarks)
        find = finder("mtcnn", others or {})
        monkeypatch.setattr(MtcnnDetector, "__init__", lambda self: None)
        monkeypatch.setattr(MtcnnDetector, "find", lambda self, image: find(image))
        config = PreprocessConfig(frames=frames, face=FaceConfig(**{"mode": "every-frame", "size": 32, **face}))
        info, announced = scan(path)
        return extract_faces(path, info, announced if planned is None else planned, config,
                             count or frames), looks
    return run


@pytest.fixture
def joined(tmp_path):
    """`joined(begins, pictures, **codec)`: the path of transport streams joined end to end, each with its own clock.

    begins: of each stream, the stamp of its first picture, in 1/25 s.
    """
    def build(begins, pictures, **codec):
        parts = []
        for begin in begins:
            with av.open(str(tmp_path / "part.ts"), "w") as container:
                track = container.add_stream("mpeg2video", rate=25)
                track.width, track.height, track.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
                for name, value in codec.items():
                    setattr(track.codec_context, name, value)
                for k, image in enumerate(pictures):
                    frame = av.VideoFrame.from_ndarray(image)
                    frame.pts, frame.time_base = begin + k, Fraction(1, 25)
                    container.mux(track.encode(frame))
                container.mux(track.encode())
            parts.append((tmp_path / "part.ts").read_bytes())
        path = tmp_path / "both.ts"
        path.write_bytes(b"".join(parts))
        return path

    return build
