# SPDX-License-Identifier: Apache-2.0
"""What a clip says of itself: the sentence on its quality, its hash, and reasons where a modality fails."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.clip import Clip, extract_clip
from mindface_eri.preprocess.downmix import Mix
from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.preprocess.track import Track
from mindface_eri.preprocess.video import MediaInfo

CONFIG = PreprocessConfig(frames=4, face=FaceConfig(detector="dlib", mode="every-frame", size=48),
                          audio=AudioConfig(coefficients=6, stack=2))


def clip_of(states=(3, 3, 0, 2, 1, 3), present=(1, 1), **more):
    count, rng = len(states), np.random.default_rng(0)
    values = {"frames": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
              "mfcc": rng.normal(size=(count, 12)).astype(np.float32), "present": np.array(present, np.float32),
              "timestamps": np.arange(count, dtype=np.float32) / 4, "detector": "mtcnn", "found_share": 0.625,
              "boxes": rng.normal(size=(count, 4)).astype(np.float32), "others": 0, "duration": 1.5, "fps": 25.0,
              "landmarks": rng.normal(size=(count, 68, 2)).astype(np.float32), "width": 64, "height": 48,
              "detected": np.array(states, np.uint8)}
    return Clip(**{**values, **more})


@pytest.mark.parametrize("clip, said", [
    (clip_of(), "face seen in 62% of frames (mtcnn); of 6 crops 3 detected, 1 interpolated, 1 held, 1 none; sound"),
    (clip_of((3, 1, 1), others=2, found_share=0.996, followed_share=0.87, detector="dlib"),
     "face seen in 13% of frames, followed in 87% (dlib); of 3 crops 1 detected, 2 held; 2 other people; sound"),
    (clip_of((3, 0), others=1, followed_share=0.005),
     "face seen in 62% of frames (mtcnn); of 2 crops 1 detected, 1 none; 1 other person; sound"),
    (clip_of((2, 2), present=(1, 0), note="the sound is silent"),
     "face seen in 62% of frames (mtcnn); of 2 crops 2 interpolated; no sound; the sound is silent"),
    (clip_of((0, 0), present=(0, 1), others=3, note="no video stream"), "no picture used; sound; no video stream"),
    (clip_of((0, 0), present=(0, 0)), "no picture used; no sound"),
])
def test_quality_is_one_sentence(clip, said):
    assert clip.quality == said


@pytest.mark.parametrize("name", ["frames", "mfcc", "present", "timestamps", "boxes", "landmarks", "detected"])
def test_the_hash_knows_each_array(name):
    clip = clip_of()
    values = getattr(clip, name)
    other = values.copy()
    other.reshape(-1)[-1] += 1
    same_bytes = values.view(np.int8 if values.dtype == np.uint8 else np.int32)
    for changed in (other, values[None], same_bytes):
        assert replace(clip, **{name: changed}).content_hash() != clip.content_hash()
    spread = np.repeat(values, 2, axis=0)[::2]  # the same numbers, otherwise laid in memory
    assert replace(clip, **{name: spread}).content_hash() == clip.content_hash()


def test_the_hash_knows_nothing_but_arrays():
    clip = clip_of()
    assert len(clip.content_hash()) == 64
    words = {"detector": "dlib", "found_share": 0.1, "followed_share": 0.05, "others": 4, "duration": 9.0, "fps": 5.0,
             "width": 1, "height": 2, "note": "else"}
    words["envelope"] = Envelope(np.zeros(3, np.float32), np.ones(3, np.float32), 9.0)  # drawn, not stored
    words["track"] = Track.empty(np.arange(5))
    words["media"] = MediaInfo(9.0, True, False)
    words["mix"] = Mix(3, {2: (1.0, 0.0)})
    words["coarse_mfcc"] = np.ones((2, 3), np.float32)
    assert len(words) + 8 == len(fields(Clip)), "these, seven arrays and copies"
    assert replace(clip, **words).content_hash() == clip.content_hash()
    copied = [replace(clip, copies=np.full((2, 1, 3), value, np.float32)).content_hash() for value in (0, 1)]
    assert len({clip.content_hash(), *copied}) == 3, "copies of the sound are arrays, too"


@pytest.fixture(scope="module")
def files(tmp_path_factory, face_picture, write_streams):
    """A face with sound, the same without a face, without sound, sound alone, and things that are no clips."""
    folder = tmp_path_factory.mktemp("files")
    faces, stamps = [face_picture(160, 160, [(80, 80, 100)])] * 4, [k / 10 for k in range(4)]
    empty, sound = [np.full((48, 64, 3), 90, np.uint8)] * 4, np.random.default_rng(1).normal(0, 0.1, 8000)
    write_streams(folder / "face.mkv", faces, stamps, sound)
    write_streams(folder / "mute.mkv", faces, stamps)
    write_streams(folder / "empty.mkv", empty, stamps, sound)
    write_streams(folder / "nothing.mkv", empty, stamps)
    write_streams(folder / "sound.mka", sound=sound)
    (folder / "broken.mkv").write_bytes(b"no clip at all" * 40)
    return folder


def test_a_separate_sound_that_fails_is_absence_with_its_reason(files):
    clip = extract_clip(files / "face.mkv", CONFIG, audio_path=files / "gone.wav")
    assert clip.present.tolist() == [1, 0] and not clip.mfcc.any() and clip.mfcc.shape == (4, 12)
    assert clip.note == f"{files / 'gone.wav'}: no such file"
    assert clip.quality.endswith(f"4 detected; no sound; {files / 'gone.wav'}: no such file")
    clip = extract_clip(files / "face.mkv", CONFIG, audio_path=files / "mute.mkv")
    assert clip.present.tolist() == [1, 0] and clip.note == f"{files / 'mute.mkv'}: there is no sound track"


def test_a_separate_sound_goes_with_a_picture_that_fails(files):
    for name, reason in (("gone.mp4", "no such file"), ("broken.mkv", "cannot be read as video or sound")):
        clip = extract_clip(files / name, CONFIG, audio_path=files / "sound.mka")
        assert clip.present.tolist() == [0, 1] and clip.mfcc.any() and clip.duration == 0.5
        assert clip.note.startswith(f"{files / name}: {reason}") and clip.note in clip.quality
        np.testing.assert_allclose(clip.timestamps, [0, 1 / 6, 1 / 3, 0.5], atol=1e-6)
        with pytest.raises(MediaError, match=reason):
            extract_clip(files / name, CONFIG)
    clip = extract_clip(files / "mute.mkv", CONFIG, audio_path=files / "sound.mka")
    assert clip.present.tolist() == [1, 1] and clip.note == "" and clip.mfcc.any()


@pytest.mark.parametrize("name, present, note", [
    ("face.mkv", [1, 1], ""), ("mute.mkv", [1, 0], "no sound track"), ("sound.mka", [0, 1], "no video stream"),
    ("empty.mkv", [0, 1], "no face in any of 4 frames")])
def test_what_is_absent_says_why(files, name, present, note):
    clip = extract_clip(files / name, CONFIG)
    assert clip.present.tolist() == present and clip.present.dtype == np.float32 and clip.note == note
    assert bool(clip.mfcc.any()) == bool(present[1]) and bool(clip.frames.any()) == bool(present[0])
    assert clip.frames.shape == (4, 48, 48, 3) and clip.landmarks.shape == (4, 68, 2) and clip.boxes.shape == (4, 4)
    assert (clip.width, clip.height) == {"face.mkv": (160, 160), "mute.mkv": (160, 160), "empty.mkv": (64, 48),
                                         "sound.mka": (0, 0)}[name]
    if not present[0]:
        assert not clip.boxes.any() and not clip.landmarks.any() and not clip.detected.any()
        assert (clip.detector, clip.others, clip.found_share) == ("none", 0, 0.0)


def test_neither_modality_gives_both_reasons(files):
    path = files / "nothing.mkv"
    with pytest.raises(MediaError) as error:
        extract_clip(path, CONFIG)
    assert str(error.value) == (f"{path}: nothing to work on: picture: no face in any of 4 frames; sound: no sound "
                                "track")
    with pytest.raises(MediaError) as error:
        extract_clip(path, CONFIG, audio_path=files / "gone.wav")
    assert str(error.value).endswith(f"sound: {files / 'gone.wav'}: no such file")
    with pytest.raises(MediaError) as error:
        extract_clip(files / "broken.mkv", CONFIG, audio_path=files / "mute.mkv")
    assert f"picture: {files / 'broken.mkv'}: cannot be read" in str(error.value)
    assert str(error.value).endswith(f"sound: {files / 'mute.mkv'}: there is no sound track")


@pytest.mark.parametrize("peak", [0.25, -0.25])
def test_silence_begins_below_the_limit(tmp_path, write_streams, peak):
    sound = np.random.default_rng(2).uniform(-0.1, 0.1, 8000)
    sound[300] = peak
    write_streams(tmp_path / "s.mka", sound=sound)
    audio = replace(CONFIG.audio, silence=0.25)
    assert extract_clip(tmp_path / "s.mka", replace(CONFIG, audio=audio)).present.tolist() == [0, 1]
    audio = replace(audio, silence=0.2501)
    with pytest.raises(MediaError, match=r"sound: the sound is silent \(peak 2.5e-01 of full scale\)"):
        extract_clip(tmp_path / "s.mka", replace(CONFIG, audio=audio))


@pytest.mark.parametrize("steps, heard", [(4, True), (3, False)])
def test_silence_without_a_word_in_the_config(tmp_path, write_streams, steps, heard):
    """A ten thousandth of full scale is 3.3 steps of 16 bits."""
    sound = np.zeros(8000)
    sound[700:740] = steps / 32768
    write_streams(tmp_path / "s.mka", sound=sound)
    if heard:
        assert extract_clip(tmp_path / "s.mka").present.tolist() == [0, 1]
    else:
        with pytest.raises(MediaError, match="silent"):
            extract_clip(tmp_path / "s.mka")


def test_a_track_that_holds_nothing_is_named_without_the_path(tmp_path, write_streams, face_picture):
    path = tmp_path / "clip.mkv"
    write_streams(path, [face_picture(160, 160, [(80, 80, 100)])] * 2, [0, 0.1], np.zeros(0))
    clip = extract_clip(path, CONFIG)
    assert clip.present.tolist() == [1, 0] and clip.note == "the sound track holds no sample that can be decoded"


def test_the_config_of_the_paper_is_the_default(files):
    clip = extract_clip(files / "face.mkv")
    assert clip.frames.shape == (32, 112, 112, 3) and clip.mfcc.shape == (32, 1024)
    assert extract_clip(files / "face.mkv", PreprocessConfig()).content_hash() == clip.content_hash()
