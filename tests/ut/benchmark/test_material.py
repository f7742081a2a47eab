# SPDX-License-Identifier: Apache-2.0
"""What is drawn and computed to be measured on, and the plain script on pictures whose faces are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.benchmark import clips, features, literal
from mindface_eri.benchmark.clips import drawn_clip, drawn_sound
from mindface_eri.benchmark.features import benchmark_features
from mindface_eri.benchmark.harness import Timing
from mindface_eri.benchmark.literal import literal_clip
from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.video import read_frames, scan, write_video

CONFIG = PreprocessConfig(frames=5, face=FaceConfig(size=32, margin=0.25),
                          audio=AudioConfig(sample_rate=8000, coefficients=6, stack=3, hop_length=256, n_fft=512))


def test_a_drawn_clip_is_as_asked(clip):
    assert clip.name == "drawn-270p.mp4"
    info, _ = scan(clip)
    assert len(list(read_frames(clip))) == 20 and info.has_audio


def test_without_wishes_it_is_five_seconds_of_720p(monkeypatch, tmp_path):
    made, written = [], []
    picture = np.zeros((360, 640, 3), np.uint8)
    monkeypatch.setattr(clips, "render_clip", lambda settings, index: made.append((settings, index)) or (
        iter([picture]), "voice", None))
    monkeypatch.setattr(clips, "write_video", lambda path, frames, *rest: written.append(
        (path, [frame.shape for frame in frames], *rest)))
    assert drawn_clip(tmp_path) == tmp_path / "drawn-720p.mp4"
    assert written == [(tmp_path / "drawn-720p.mp4", [(720, 1280, 3)], 30, "voice", 16000)]
    (settings, index), = made
    assert (settings.duration, settings.fps, settings.size, index) == ((5.0, 5.0), (30, 30), (640, 360), 0)


def test_a_drawn_sound_has_every_sample():
    sound = drawn_sound(0.3, 44100)
    assert sound.shape == (13230,) and sound.dtype == np.float32 and np.abs(sound).max() > 0.01
    assert drawn_sound(0.5, 8000).shape == (4000,)


def test_stacks_are_measured_over_the_whole_sound(monkeypatch):
    asked = []

    def in_turns(calls, repeats):
        asked.append(repeats)
        times = {name: Timing((0.5 if name == "ours" else 1.0,)) for name in calls}
        return times, {name: call() for name, call in calls.items()}

    monkeypatch.setattr(features, "in_turns", in_turns)
    monkeypatch.setattr(features, "drawn_sound", lambda seconds, rate: (seconds, rate))
    monkeypatch.setattr(features, "mfcc_stacks", lambda sound, instants, audio: asked.append((sound, instants, audio))
                        or np.array([1.0, -3.0]))
    monkeypatch.setattr(features, "_plain", lambda sound, instants, audio: np.array([1.25, -7.0]))
    short, long = benchmark_features(config=CONFIG)
    assert short.what == "MFCC stacks of 12 s of sound" and long.what == "MFCC stacks of 600 s of sound"
    assert short.yardstick == "librosa called plainly" and short.speedup == 2.0
    assert short.note == "largest difference 4.0e+00 of values up to 7"
    repeats, (sound, instants, audio), *_ = asked
    assert repeats == 3 and sound == (12.0, 8000) and audio == CONFIG.audio
    np.testing.assert_allclose(instants, [0.2, 3.1, 6.0, 8.9, 11.8])


class Detector:
    """Sees a face where the picture is bright; a second, narrower one beside it in the brightest."""

    def __call__(self, rgb, upsampled):
        assert upsampled == 0
        level = int(rgb[60, 80].mean())
        assert rgb[60, 80, 0] > rgb[60, 80, 2] + 20 or level < 60  # red first
        wide = SimpleNamespace(width=lambda: 40, points=[(60 + level // 10, 40), (100 + level // 10, 80)])
        narrow = SimpleNamespace(width=lambda: 10, points=[(0, 0), (10, 10)])
        return [] if level < 60 else [narrow, wide] if level > 150 else [wide]


@pytest.fixture
def faces(monkeypatch):
    """dlib whose faces are known."""

    def predictor(rgb, face):
        return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in face.points])

    monkeypatch.setattr(literal, "dlib_module", lambda: SimpleNamespace(
        get_frontal_face_detector=Detector, shape_predictor=lambda path: predictor))
    monkeypatch.setattr(literal, "landmark_model", lambda: "points.dat")
    monkeypatch.setattr(literal, "_LOADED", {})


def film(path, levels, sound=None):
    pictures = [np.tile(np.array([level, level // 2, level // 4], np.uint8), (120, 160, 1)) for level in levels]
    write_video(path, pictures, 10, sound)
    return path


def test_the_plain_script_by_hand(faces, tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000 * 9 // 10) / 16000).astype(np.float32)
    path = film(tmp_path / "film.mp4", [20, 120, 20, 20, 20, 20, 240, 20, 20], tone)  # faces in pictures 1 and 6 alone
    found = literal_clip(path, CONFIG)
    assert (found.total, found.found_share) == (9, pytest.approx(2 / 9))
    assert found.frames.shape == (5, 32, 32, 3) and found.frames.dtype == np.uint8
    assert [int(crop.any()) for crop in found.frames] == [0, 0, 0, 1, 0]  # pictures 0, 2, 4, 6 and 8
    crop = found.frames[3].astype(int)
    assert abs(crop[16, 16] - [240, 120, 60]).max() < 12
    centres = found.boxes.reshape(5, 2, 2).mean(axis=1)
    first, last = 80 + int(120 * 1.75 / 3) // 10, 80 + int(240 * 1.75 / 3) // 10
    wanted = [first, first + (last - first) / 5, first + (last - first) * 3 / 5, last, last]
    np.testing.assert_allclose(centres[:, 0], wanted, atol=1.5)  # between the two faces in proportion, held outside
    np.testing.assert_allclose(centres[:, 1], 60, atol=0.1)
    np.testing.assert_allclose(found.boxes[:, 2] - found.boxes[:, 0], 2 * 20 * 1.5, atol=0.1)  # the margin on each side
    assert found.boxes.dtype == np.float32 and found.mfcc.shape == (5, 18) and found.mfcc.dtype == np.float32
    assert (found.mfcc[0] != found.mfcc[4]).any() and found.mfcc.any(axis=1).all()


def test_a_crop_at_the_edge_is_black_outside(faces, monkeypatch, tmp_path):
    monkeypatch.setattr(Detector, "__call__", lambda self, rgb, up: [SimpleNamespace(
        width=lambda: 40, points=[(140, 40), (180, 80)])])
    crop = literal_clip(film(tmp_path / "film.mp4", [200] * 5), CONFIG).frames[2].astype(int)
    assert crop[16, 14, 0] > 180 and not crop[:, 18:].any()  # centred on the picture's last column


def test_clips_without_a_face_sound_or_picture(faces, tmp_path):
    found = literal_clip(film(tmp_path / "dark.mp4", [20] * 6), CONFIG)
    assert found.found_share == 0 and not found.frames.any() and not found.boxes.any()
    assert found.mfcc.shape == (5, 18) and not found.mfcc.any()
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match="none.mp4: OpenCV decodes no frame of it"):
        literal_clip(tmp_path / "none.mp4", CONFIG)
