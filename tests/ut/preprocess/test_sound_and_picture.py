# SPDX-License-Identifier: Apache-2.0
"""Sound and picture that begin at different times meet at the same instants: in stacks, crops and contact sheets."""

import librosa
import numpy as np
import pytest

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.envelope import envelope_of
from mindface_eri.preprocess.video import frame_times, probe

RATE, HOP = 16000, 160  # an MFCC frame each 10 ms
AUDIO = AudioConfig(sample_rate=RATE, coefficients=13, stack=3, n_fft=512, hop_length=HOP)
CONFIG = PreprocessConfig(frames=5, face=FaceConfig(detector="dlib"), audio=AUDIO)
STARTS = [(0.32, 0.96), (0.96, 0.32), (0.0, 0.4), (0.4, 0.0), (0.4, 0.4)]  # of the picture, of the sound


def clicks(begin, *places, seconds=1.0):
    """Faint noise from second `begin` on, with clicks at seconds of the same clock; the first is the loudest."""
    sound = np.random.default_rng(5).normal(0, 2e-3, round(seconds * RATE))
    for k, place in enumerate(places):
        sound[round((place - begin) * RATE)] = 0.8 - 0.3 * k
    return np.round(sound * 32768) / 32768


def pictures():
    return [np.full((48, 64, 3), 30 + 5 * k, np.uint8) for k in range(21)]


def heard(sound, lead, length):
    """The stacks by librosa of the sound with `lead` seconds of silence before it, on instants from 0 to `length`."""
    whole = np.concatenate([np.zeros(round(max(lead, 0) * RATE)), sound]).astype(np.float32)
    whole = np.pad(whole, (0, max(round((max(-lead, 0) + length) * RATE) - len(whole), 0)))
    frames = librosa.feature.mfcc(y=whole, sr=RATE, n_mfcc=13, n_fft=512, hop_length=HOP).T
    at = np.round((np.linspace(0, length, 5) + max(-lead, 0)) * RATE / HOP).astype(int)
    return frames[np.clip(at[:, None] + [-1, 0, 1], 0, len(frames) - 1)].reshape(5, 39)


def loudest(clip):
    """(instant, place in its stack) of the MFCC frame with most energy."""
    return np.unravel_index(clip.mfcc.reshape(5, 3, 13)[:, :, 0].argmax(), (5, 3))


def check_drawn(clip, wave, offset, atol=1e-6):
    """The clip carries the envelope of this sound, at this second."""
    wanted = envelope_of(np.asarray(wave, np.float32), RATE, offset, clip.duration)
    np.testing.assert_allclose(clip.envelope.low, wanted.low, atol=atol)
    np.testing.assert_allclose(clip.envelope.high, wanted.high, atol=atol)
    assert clip.envelope.seconds == clip.duration


def heard_at(clip):
    """Second of the clip's loudest span, its middle."""
    return (clip.envelope.high.argmax() + 0.5) / len(clip.envelope) * clip.envelope.seconds


@pytest.mark.parametrize("picture, sound", STARTS)
def test_a_click_is_heard_at_the_frame_that_it_was_recorded_with(tmp_path, write_streams, picture, sound):
    both = max(picture, sound)
    path, stamps = tmp_path / "clip.mkv", [picture + k / 20 for k in range(21)]
    # The instants lie 0, 0.25, ... 1 s after the picture's begin; the click 10 ms before, at, or after one of them.
    for shift, place in ((-0.01, 0), (0.0, 1), (0.01, 2)):
        instant = int(np.ceil((both - picture) * 4)) + 1
        wave = clicks(sound, picture + instant / 4 + shift)
        write_streams(path, pictures(), stamps, wave, sound)
        clip = extract_clip(path, CONFIG)
        assert loudest(clip) == (instant, place)
        np.testing.assert_allclose(clip.timestamps, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(clip.mfcc, heard(wave, sound - picture, 1.0), atol=2e-2)
        assert heard_at(clip) == pytest.approx(instant / 4 + shift, abs=2e-3)
    assert clip.duration == pytest.approx(1.05) and clip.fps == pytest.approx(20)
    found = load_audio(path, RATE)
    assert found.start == pytest.approx(sound, abs=1e-9) and frame_times(path)[0] == pytest.approx(picture, abs=1e-9)
    np.testing.assert_allclose(found.waveform, wave, atol=1e-6)
    check_drawn(clip, wave, sound - picture)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_separate_sound_begins_with_the_first_frame_whatever_its_own_clock_says(tmp_path, write_streams, start):
    wave = clicks(start, start + 0.75)
    write_streams(tmp_path / "sound.mka", sound=wave, start=start)
    write_streams(tmp_path / "clip.mkv", pictures(), [0.32 + k / 20 for k in range(21)], clicks(0.0, 0.6), 0.0)
    clip = extract_clip(tmp_path / "clip.mkv", CONFIG, audio_path=tmp_path / "sound.mka")
    assert loudest(clip) == (3, 1)
    np.testing.assert_allclose(clip.mfcc, heard(wave, 0.0, 1.0), atol=2e-2)
    check_drawn(clip, wave, 0.0)


@pytest.mark.parametrize("start", [0.0, 0.64])
def test_sound_alone_is_timed_from_its_own_begin(tmp_path, write_streams, start):
    wave = clicks(start, start + 0.5)
    write_streams(tmp_path / "sound.mka", sound=wave, start=start)
    clip = extract_clip(tmp_path / "sound.mka", CONFIG)
    assert loudest(clip) == (2, 1) and clip.duration == 1.0 and clip.fps == 0
    np.testing.assert_allclose(clip.timestamps, [0, 0.25, 0.5, 0.75, 1])
    assert load_audio(tmp_path / "sound.mka", RATE).start == pytest.approx(start, abs=1e-9)
    check_drawn(clip, wave, 0.0)


def test_a_late_sound_without_a_picture_that_can_be_decoded(tmp_path, write_streams):
    path = tmp_path / "clip.mkv"
    write_streams(path, pictures(), [0.2 + k / 20 for k in range(21)], clicks(0.64, 1.39), 0.64, codec="mpeg4")
    data, at = path.read_bytes(), -1
    while (at := data.find(b"\x00\x00\x01\xb6", at + 1)) >= 0:  # begin of each picture in MPEG-4
        data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4:]
    path.write_bytes(data)
    clip = extract_clip(path, CONFIG)
    assert loudest(clip) == (3, 1) and clip.duration == 1.0 and (clip.width, clip.height) == (0, 0)
    np.testing.assert_array_equal(clip.present, [0, 1])
    np.testing.assert_allclose(clip.timestamps, [0, 0.25, 0.5, 0.75, 1])
    assert clip.fps == probe(path).fps > 0
    assert clip.quality == "no picture used; sound; the video stream holds no frame that can be decoded"


def test_crops_and_stacks_of_one_instant(tmp_path, write_streams, face_picture):
    """The light goes on in a frame, with a click: both branches say the same instant, and the hash knows of it."""
    face = face_picture(160, 160, [(80, 80, 100)])
    frames = [(face * (0.6 if k < 10 else 1.0)).astype(np.uint8) for k in range(17)]
    write_streams(tmp_path / "clip.mkv", frames, [0.48 + k / 20 for k in range(17)], clicks(0.8, 0.98), 0.8)
    clip = extract_clip(tmp_path / "clip.mkv", CONFIG)  # instants at 0, 0.2, 0.4, 0.6, 0.8 s, the click at 0.5
    light = clip.frames.mean(axis=(1, 2, 3))
    assert light[2] < 0.7 * light[3] and np.ptp(light[:3]) < 3 and np.ptp(light[3:]) < 3
    longer = extract_clip(tmp_path / "clip.mkv", PreprocessConfig(
        frames=17, face=CONFIG.face, audio=AudioConfig(coefficients=13, stack=1, n_fft=512, hop_length=HOP)))
    light = longer.frames.mean(axis=(1, 2, 3))
    assert np.diff(light).argmax() + 1 == longer.mfcc[:, 0].argmax() == 10


@pytest.mark.parametrize("rate", [8000, 32000])
def test_another_sample_rate_hears_the_same_places(tmp_path, write_streams, rate):
    """The file has 16000 samples a second; what is computed has as many as the config says."""
    config = PreprocessConfig(frames=5, face=FaceConfig(detector="dlib"), audio=AudioConfig(
        sample_rate=rate, coefficients=13, stack=3, n_fft=rate * 32 // 1000, hop_length=rate // 100))
    burst = clicks(0.2)
    burst[8000:8016] = 0.5 * np.sin(2 * np.pi * 2000 * np.arange(16) / RATE)  # about second 0.7
    write_streams(tmp_path / "clip.mkv", pictures(), [0.45 + k / 20 for k in range(21)], burst, 0.2)
    write_streams(tmp_path / "sound.mka", sound=burst, start=0.2)
    clip, alone = extract_clip(tmp_path / "clip.mkv", config), extract_clip(tmp_path / "sound.mka", config)
    assert loudest(clip) == (1, 1) and loudest(alone) == (2, 1) and alone.duration == 1.0
    assert heard_at(clip) == pytest.approx(0.25, abs=3e-3) and heard_at(alone) == pytest.approx(0.5, abs=3e-3)
    assert len(load_audio(tmp_path / "clip.mkv", rate).waveform) == rate
