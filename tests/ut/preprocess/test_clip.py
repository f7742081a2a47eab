# SPDX-License-Identifier: Apache-2.0
import importlib.util
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import soundfile

from mindface_eri.benchmark.preprocess import mean_iou
from mindface_eri.config import Config, FaceConfig, PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.errors import DataError, MediaError, MissingDependencyError
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.detectors import LANDMARK_VARIABLE, MtcnnDetector, landmark_model
from mindface_eri.preprocess.storage import decode_jpeg, encode_jpeg
from mindface_eri.preprocess.video import write_video
from mindface_eri.preprocess.visual import sample

DETECTED = FRAME_STATES.index("detected")
SMALL = PreprocessConfig(frames=8, face=FaceConfig(detector="dlib"))


@pytest.fixture(scope="module")
def clip(face_clip):
    return extract_clip(face_clip)


def test_shapes_types_and_truth(clip):
    assert clip.frames.shape == (32, 112, 112, 3) and clip.frames.dtype == np.uint8
    assert clip.mfcc.shape == (32, 1024) and clip.mfcc.dtype == np.float32
    np.testing.assert_array_equal(clip.present, np.array([1, 1], np.float32))
    assert clip.boxes.shape == (32, 4) and clip.landmarks.shape == (32, 68, 2) and clip.timestamps.dtype == np.float32
    assert (clip.detected == DETECTED).all() and clip.detected.dtype == np.uint8
    assert (clip.detector, clip.found_share, clip.others, clip.width, clip.height) == ("dlib", 1.0, 0, 320, 240)
    np.testing.assert_allclose(clip.timestamps[[0, -1]], [0, 29 / 20], atol=1e-5)
    assert clip.duration == pytest.approx(1.5) and clip.fps == pytest.approx(20)
    centres = (clip.boxes[:, 0] + clip.boxes[:, 2]) / 2
    assert centres[0] == pytest.approx(130, abs=8) and centres[-1] - centres[0] == pytest.approx(29, abs=6)
    assert clip.quality.startswith("face seen in ") and clip.found_share == 1.0 and "32 detected" in clip.quality


def test_hash_is_of_the_content(clip, face_clip):
    assert extract_clip(face_clip, Config()).content_hash() == clip.content_hash()
    changed = clip.frames.copy()
    changed[0, 0, 0, 0] ^= 1
    assert replace(clip, frames=changed).content_hash() != clip.content_hash()
    assert replace(clip, note="other words").content_hash() == clip.content_hash()


def test_track_agrees_with_every_frame(clip, face_clip):
    every = extract_clip(face_clip, PreprocessConfig(face=FaceConfig(mode="every-frame")))
    assert mean_iou(clip, every) > 0.9 and every.found_share == 1.0


def test_a_gap_is_interpolated_and_after_a_long_one_the_nearest_crop_stands_in(tmp_path, face_picture):
    face, empty = face_picture(320, 240, [(160, 120, 120)]), face_picture(320, 240, [])
    blurred = cv2.GaussianBlur(face, (0, 0), 15)
    frames = [face] * 12 + [blurred] * 6 + [face] * 12 + [empty] * 30
    write_video(tmp_path / "gap.mp4", frames, 20)
    config = PreprocessConfig(frames=60, face=FaceConfig(detector="dlib", gap_window=6))
    clip = extract_clip(tmp_path / "gap.mp4", config)
    expected = ["detected"] * 12 + ["interpolated"] * 6 + ["detected"] * 12 + ["none"] * 30
    assert [FRAME_STATES[s] for s in clip.detected] == expected
    assert clip.found_share == pytest.approx(0.4)
    assert (clip.frames[30:] == clip.frames[29]).all() and not clip.boxes[30:].any() and not clip.landmarks[30:].any()
    np.testing.assert_array_equal(clip.present, [1, 0])


def test_no_jump_to_the_other_person(tmp_path, face_picture):
    both = face_picture(480, 240, [(120, 120, 130), (360, 120, 110)])
    alone = face_picture(480, 240, [(360, 120, 110)])
    write_video(tmp_path / "two.mp4", [both] * 30 + [alone] * 14, 20)
    clip = extract_clip(tmp_path / "two.mp4", replace(SMALL, face=replace(SMALL.face, follow="largest")))
    centres = (clip.boxes[:, 0] + clip.boxes[:, 2]) / 2
    assert clip.others == 1 and np.abs(centres[:5] - 120).max() < 20 and not clip.boxes[5:].any()
    assert [FRAME_STATES[s] for s in clip.detected] == ["detected"] * 5 + ["none"] * 3
    other = extract_clip(tmp_path / "two.mp4", SMALL)
    assert np.abs((other.boxes[:, 0] + other.boxes[:, 2]) / 2 - 360).max() < 20


def test_sound_alone(tmp_path, tone):
    soundfile.write(tmp_path / "s.flac", tone, 16000)
    clip = extract_clip(tmp_path / "s.flac", SMALL)
    np.testing.assert_array_equal(clip.present, [0, 1])
    assert not clip.frames.any() and clip.mfcc.any() and clip.detector == "none"
    np.testing.assert_allclose(clip.timestamps, np.linspace(0, 1.5, 8), atol=1e-5)


def test_separate_sound_wins(tmp_path, face_clip, tone):
    soundfile.write(tmp_path / "other.wav", np.random.default_rng(0).normal(0, 0.1, 24000), 16000)
    own, separate = extract_clip(face_clip, SMALL), extract_clip(face_clip, SMALL, audio_path=tmp_path / "other.wav")
    assert np.abs(own.mfcc - separate.mfcc).max() > 10
    np.testing.assert_array_equal(own.frames, separate.frames)


def test_silence_is_absence(tmp_path, face_picture):
    write_video(tmp_path / "q.mp4", [face_picture(320, 240, [(160, 120, 120)])] * 4, 20, np.zeros(3200, np.float32))
    clip = extract_clip(tmp_path / "q.mp4", SMALL)
    np.testing.assert_array_equal(clip.present, [1, 0])
    assert not clip.mfcc.any() and "silent" in clip.quality


def test_one_frame_repeats(tmp_path, face_picture):
    write_video(tmp_path / "one.mp4", [face_picture(320, 240, [(160, 120, 120)])], 20)
    clip = extract_clip(tmp_path / "one.mp4", SMALL)
    assert (clip.frames == clip.frames[:1]).all() and not clip.timestamps.any()


def test_nothing_to_work_on(tmp_path, face_picture):
    write_video(tmp_path / "empty.mp4", [face_picture(320, 240, [])] * 5, 20)
    with pytest.raises(MediaError, match="picture: no face in any of 5 frames; sound: no sound track"):
        extract_clip(tmp_path / "empty.mp4", replace(SMALL, face=FaceConfig(detector="dlib", track_stride=1)))
    (tmp_path / "text.mp4").write_text("not a clip")
    with pytest.raises(MediaError, match="cannot be read"):
        extract_clip(tmp_path / "text.mp4")


def test_a_face_too_rare_is_no_face(tmp_path, face_picture, tone):
    face, empty = face_picture(320, 240, [(160, 120, 120)]), face_picture(320, 240, [])
    write_video(tmp_path / "rare.mp4", [face] * 2 + [empty] * 58, 20, tone)
    clip = extract_clip(tmp_path / "rare.mp4", SMALL)
    assert clip.present[0] == 0 and not clip.frames.any() and "need 5%" in clip.quality


def test_sampled_frames_fetched_by_a_second_decode_are_the_same(clip, face_clip, monkeypatch):
    monkeypatch.setattr("mindface_eri.preprocess.visual._BUDGET", 300_000)
    assert extract_clip(face_clip).content_hash() == clip.content_hash()


def test_sampling_by_time():
    np.testing.assert_array_equal(sample(np.arange(5) / 25, 3), [0, 2, 4])
    np.testing.assert_array_equal(sample(np.array([0.0, 0.1, 0.2, 3.0]), 4), [0, 2, 3, 3])
    np.testing.assert_array_equal(sample(np.array([7.0]), 3), [0, 0, 0])
    np.testing.assert_array_equal(sample(np.array([0.0, 1.0]), 4), [0, 0, 1, 1])


def test_mtcnn_finds_a_drawn_face_and_takes_over(tmp_path, face_picture, monkeypatch):
    picture = face_picture(320, 240, [(160, 120, 120)])
    box = MtcnnDetector().find(picture)[0].box
    assert (box[0] + box[2]) / 2 == pytest.approx(160, abs=12) and 70 < box[2] - box[0] < 150
    write_video(tmp_path / "m.mp4", [picture] * 6, 20)
    monkeypatch.setattr("mindface_eri.preprocess.detectors.DlibDetector.find", lambda self, image: [])
    clip = extract_clip(tmp_path / "m.mp4", PreprocessConfig(frames=4))
    assert clip.detector == "mtcnn" and clip.present[0] == 1


def test_missing_packages_are_named(monkeypatch, face_clip):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingDependencyError, match="pip install dlib-bin"):
        extract_clip(face_clip)
    monkeypatch.delenv(LANDMARK_VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="face_recognition_models"):
        landmark_model()


def test_landmark_model_by_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(LANDMARK_VARIABLE, str(tmp_path / "nowhere.dat"))
    with pytest.raises(MediaError, match="no such file"):
        landmark_model()
    (tmp_path / "here.dat").write_bytes(b"x")
    monkeypatch.setenv(LANDMARK_VARIABLE, str(tmp_path / "here.dat"))
    assert landmark_model() == tmp_path / "here.dat"


def test_jpeg_keeps_crops_apart(clip):
    back = decode_jpeg(encode_jpeg(clip.frames, 95), 112)
    assert back.shape == clip.frames.shape
    assert np.abs(back.astype(int) - clip.frames).mean() < 3
    apart = np.zeros((3, 112, 112, 3), np.uint8)
    apart[1] = 255
    np.testing.assert_array_equal(decode_jpeg(encode_jpeg(apart, 90), 112), apart)
    too_high = np.zeros((700, 112, 8, 3), np.uint8)
    for bad in (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32), too_high):
        with pytest.raises(DataError):
            encode_jpeg(bad, 90)
    with pytest.raises(DataError):
        decode_jpeg(b"no jpeg", 112)


def test_jpeg_is_decoded_in_place(clip):
    data, batch = encode_jpeg(clip.frames, 95), np.zeros((2, *clip.frames.shape), np.uint8)
    decode_jpeg(data, 112, batch[1])
    np.testing.assert_array_equal(batch[1], decode_jpeg(data, 112))
    assert not batch[0].any()
    with pytest.raises(DataError, match="not a JPEG of 2 crops"):
        decode_jpeg(data, 112, np.empty((2, 112, 112, 3), np.uint8))
