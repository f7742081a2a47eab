# SPDX-License-Identifier: Apache-2.0
"""A clip's sound: beside a useless picture, long and read twice, with holes, and the same bytes for any threads."""

import os
import struct
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile

from mindface_eri.config import AudioConfig, FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess import audio
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.mfcc import mfcc

RATE = 16000
CONFIG = PreprocessConfig(frames=31, face=FaceConfig(detector="dlib", size=32),
                          audio=AudioConfig(coefficients=13, stack=3, n_fft=512, hop_length=160))


def bursts(seconds, *places):
    """Faint noise with 0.3 s of loud noise at each place."""
    rng = np.random.default_rng(4)
    sound = rng.normal(0, 1e-3, round(seconds * RATE))
    for place in places:
        sound[round(place * RATE):][:4800] = rng.normal(0, 0.2, 4800)
    return np.clip(sound, -1, 0.999)


def onsets(clip):
    """Seconds of the instants at which it becomes loud."""
    loudness = clip.mfcc.reshape(len(clip.mfcc), 3, 13)[:, 1, 0]
    loud = loudness > (loudness.max() + loudness.min()) / 2
    return clip.timestamps[np.flatnonzero(np.diff(loud.astype(int)) == 1) + 1]


@pytest.mark.parametrize("pictures, start", [(1, 0.0), (20, 0.0), (20, 1.5), (2, 0.25)])
def test_sound_beside_a_useless_picture_is_used_over_its_whole_length(tmp_path, write_streams, pictures, start):
    """Of a cover, or 2 s without a face, beside 6 s of sound."""
    write_streams(tmp_path / "a.mkv", [np.full((48, 64, 3), 30 + k, np.uint8) for k in range(pictures)],
                  [k / 10 for k in range(pictures)], bursts(6, 2.0, 5.0), start)
    clip = extract_clip(tmp_path / "a.mkv", CONFIG)
    assert clip.present.tolist() == [0, 1] and clip.duration == pytest.approx(6) == clip.envelope.seconds
    np.testing.assert_allclose(clip.timestamps, np.linspace(0, 6, 31), atol=1e-6)
    np.testing.assert_allclose(onsets(clip), [2.0, 5.0], atol=0.21)
    assert ("a single picture" if pictures == 1 else "no face") in clip.quality


def test_a_picture_that_spans_the_sound_keeps_its_instants(tmp_path, write_streams):
    write_streams(tmp_path / "a.mkv", [np.full((48, 64, 3), 30 + k, np.uint8) for k in range(56)],
                  [k / 10 for k in range(56)], bursts(6, 2.0), 0.2)
    clip = extract_clip(tmp_path / "a.mkv", CONFIG)
    np.testing.assert_allclose(clip.timestamps, np.linspace(0, 5.5, 31), atol=0.051)
    assert clip.duration == pytest.approx(5.6)


def test_a_face_keeps_its_instants_beside_longer_sound(tmp_path, write_streams, face_picture):
    face = face_picture(160, 160, [(80, 80, 100)])
    write_streams(tmp_path / "a.mkv", [face] * 8, [k / 10 for k in range(8)], bursts(4, 2.0))
    clip = extract_clip(tmp_path / "a.mkv", CONFIG)
    assert clip.present.tolist() == [1, 1] and clip.timestamps[-1] == pytest.approx(0.7)


def test_the_windows_of_sound_beside_a_useless_picture_are_those_of_the_sound(tmp_path, write_streams):
    write_streams(tmp_path / "a.mkv", [np.full((48, 64, 3), 30 + k, np.uint8) for k in range(20)],
                  [k / 10 for k in range(20)], bursts(6, 2.0))
    asked = []
    clip = extract_clip(tmp_path / "a.mkv", CONFIG, instants=lambda long: asked.append(long) or round(5 * long))
    assert asked == pytest.approx([1.9, 6]) and len(clip.timestamps) == 30


def test_the_length_of_sound_alone_is_measured(tmp_path):
    """A bit rate that misleads the container: quiet first, loud later."""
    rng = np.random.default_rng(0)
    sound = np.concatenate([np.zeros(3 * 44100), rng.normal(0, 0.2, 3 * 44100)]).astype(np.float32)
    with av.open(str(tmp_path / "a.aac"), "w", format="adts") as container:
        track = container.add_stream("aac", rate=44100, layout="mono")
        for first in range(0, len(sound), 1024):
            part = np.pad(sound[first:first + 1024], (0, max(first + 1024 - len(sound), 0)))
            frame = av.AudioFrame.from_ndarray(part[None], "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, first
            container.mux(track.encode(frame))
        container.mux(track.encode())
    with av.open(str(tmp_path / "a.aac")) as container:
        assert abs(container.duration / 1e6 - 6) > 0.5
    assert extract_clip(tmp_path / "a.aac", CONFIG).duration == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("name", ["sound.wav", "stereo.flac", "gap.mka"])
def test_long_sound_is_read_twice_and_gives_the_same(tmp_path, write_streams, monkeypatch, name):
    sound = bursts(9, 1.0, 7.0)
    if name == "gap.mka":
        write_streams(tmp_path / name, sound=sound, start=0.5)
    else:
        soundfile.write(tmp_path / name, np.stack([sound, sound / 2], 1) if "stereo" in name else sound, 44100)
    once = extract_clip(tmp_path / name, CONFIG)
    monkeypatch.setattr(audio, "_KEPT", 2.0)
    found = load_audio(tmp_path / name, RATE)
    assert found.kept is None and found.samples == len(found.waveform)
    opened, before = [], av.open
    monkeypatch.setattr(av, "open", lambda path, *a, **k: (opened.append(path), before(path, *a, **k))[1])
    twice = extract_clip(tmp_path / name, CONFIG)
    assert len(opened) == 2 and twice.content_hash() == once.content_hash()
    np.testing.assert_array_equal(twice.envelope.high, once.envelope.high)
    assert len(once.envelope) == 800 and once.envelope.seconds == once.duration


def test_a_file_that_is_a_hole_is_refused(tmp_path):
    path, size = tmp_path / "days.wav", 3_000_000_000
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    with open(path, "wb") as file:
        file.write(head + b"data" + struct.pack("<I", size - 44) + b"\x90" * 4000)
        file.truncate(size)
    if os.stat(path).st_blocks * 512 > size / 2:
        pytest.skip("this file system knows no holes")
    for ask in (lambda: load_audio(path, RATE), lambda: extract_clip(path, CONFIG)):
        with pytest.raises(MediaError, match=r"days.wav: the file claims 3000000000 bytes, of which \d+ are there"):
            ask()
    with open(path, "r+b") as file:  # what claims as much but ends is read as far as it goes
        file.truncate(4044)
    assert load_audio(path, RATE).seconds == pytest.approx(0.5)


def test_the_numbers_do_not_depend_on_threads():
    from threadpoolctl import threadpool_limits

    sound, found = np.random.default_rng(0).normal(0, 0.1, 160000).astype(np.float32), []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            found.append(mfcc(sound, AudioConfig()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_hours_of_sound_take_no_memory(tmp_path):
    """Three hours of FLAC, in a process of its own."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 8000, 1) as file:
        for _ in range(180):
            file.write(np.repeat(rng.normal(0, 0.1, 60), 8000))
    # Not `ru_maxrss`, which goes on from that of the process that starts this one.
    code = ("import re, sys; from mindface_eri import extract_clip; clip = extract_clip(sys.argv[1]); "
            "print(clip.duration, *re.findall(r'VmHWM:\\s*([0-9]+) kB', open('/proc/self/status').read()))")
    shown = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.flac")], capture_output=True, text=True,
                           check=True).stdout
    seconds, kibibytes = map(float, shown.split())
    assert seconds == 10800 and kibibytes < 600 * 1024


def test_a_config_without_silence_takes_everything(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(16000, 5e-5), RATE, subtype="FLOAT")
    with pytest.raises(MediaError, match="the sound is silent"):
        extract_clip(tmp_path / "a.wav", CONFIG)
    clip = extract_clip(tmp_path / "a.wav", replace(CONFIG, audio=replace(CONFIG.audio, silence=0.0)))
    assert clip.present[1] == 1
