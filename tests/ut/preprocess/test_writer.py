# SPDX-License-Identifier: Apache-2.0
"""Written clips: codec, rates, quality, edges, sound at its place, and what cannot be written, with the reason."""

import os
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from mindface_eri.config import AudioConfig
from mindface_eri.errors import MediaError, MissingDependencyError
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.mfcc import mfcc
from mindface_eri.preprocess.video import probe, read_frames, write_video


def scene(k, height=64, width=96):
    """A picture with a gradient to either side, colours and fine detail, that moves with k."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = 40 * np.sin((x + 3 * k) / 3) * np.sin(y / 4)
    image = np.stack([60 + 1.2 * x + waves, 200 - 1.6 * y + waves, 90 + 0.5 * x + 0.9 * y - waves], axis=2)
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("fps, rate", [(25, Fraction(25)), (12.5, Fraction(25, 2)), (29.97, Fraction(2997, 100)),
                                       (30000 / 1001, Fraction(30000, 1001))])
def test_codec_rate_and_quality(tmp_path, fps, rate):
    path, frames = tmp_path / "clip.mp4", [scene(k) for k in range(7)]
    write_video(path, frames, fps)
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        assert (track.codec_context.name, track.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert track.average_rate == rate and not container.streams.audio
    times, pictures = zip(*read_frames(path))
    np.testing.assert_allclose(times, np.arange(7) / float(rate), atol=1e-4)
    for frame, picture in zip(frames, pictures):
        assert np.abs(picture.rgb().astype(int) - frame).mean() < 4


def test_mpeg4_where_there_is_no_x264(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    write_video(tmp_path / "clip.mp4", [scene(k) for k in range(7)], 25)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    for k, (_, picture) in enumerate(read_frames(tmp_path / "clip.mp4")):
        assert np.abs(picture.rgb().astype(int) - scene(k)).mean() < 6


def test_an_odd_last_row_and_column_are_doubled(tmp_path):
    image = np.full((31, 45, 3), 60, np.uint8)
    image[-3:], image[:, -3:] = 220, 220
    write_video(tmp_path / "odd.mp4", [image] * 2, 10)
    assert (probe(tmp_path / "odd.mp4").width, probe(tmp_path / "odd.mp4").height) == (46, 32)
    found = next(iter(read_frames(tmp_path / "odd.mp4")))[1].rgb()
    assert found[31].min() > 190 and found[:, 45].min() > 190 and found[:27, :41].max() < 90
    write_video(tmp_path / "even.mp4", [image[1:, 1:]] * 2, 10)
    assert (probe(tmp_path / "even.mp4").width, probe(tmp_path / "even.mp4").height) == (44, 30)


@pytest.mark.parametrize("rate", [16000, 22050])
def test_sound_lies_where_it_was(tmp_path, rate):
    rng = np.random.default_rng(0)
    wave = 0.1 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate) * np.linspace(0.2, 1, rate)
    wave[5000:5400] += 0.4 * rng.normal(size=400).clip(-1, 1)
    write_video(tmp_path / "clip.mp4", [scene(k) for k in range(10)], 10, wave.reshape(1, -1), sample_rate=rate)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        track = container.streams.audio[0]
        assert (track.codec_context.name, track.sample_rate, track.layout.name) == ("aac", rate, "mono")
    audio = load_audio(tmp_path / "clip.mp4", rate)
    first = round(-audio.start * rate)  # AAC begins with samples of its own, before second 0 where there are any
    found = np.concatenate([np.zeros(max(-first, 0)), audio.waveform[max(first, 0):]])
    assert rate <= len(found) < rate + 2200
    shifts = {shift: np.corrcoef(found[3000 + shift:9000 + shift], wave[3000:9000])[0, 1] for shift in range(-3, 4)}
    assert max(shifts, key=shifts.get) == 0 and shifts[0] > 0.9
    assert np.abs(found[6000:rate - 500] - wave[6000:rate - 500]).max() < 0.03


def test_sound_of_another_rate_is_16000_samples_a_second_by_default(tmp_path):
    write_video(tmp_path / "clip.mp4", [scene(0)] * 3, 10, np.full(8000, 0.1, np.float64))
    assert load_audio(tmp_path / "clip.mp4", 16000).waveform.size == pytest.approx(8000, abs=2200)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.audio[0].sample_rate == 16000


@pytest.mark.parametrize("frames, said", [
    ([], "there are no frames to write"),
    ([scene(0), scene(1).astype(np.float32)], r"frame 1 is float32 \(64, 96, 3\); expected uint8 \(H, W, 3\)"),
    ([scene(0)[:, :, 0]], r"frame 0 is uint8 \(64, 96\); expected uint8"),
    ([scene(0), scene(0), scene(0)[:, :, :2]], r"frame 2 is uint8 \(64, 96, 2\); expected uint8")])
def test_frames_that_are_none_are_named(tmp_path, frames, said):
    with pytest.raises(MediaError, match="no.mp4: " + said):
        write_video(tmp_path / "no.mp4", frames, 10)
    assert not os.listdir(tmp_path)


def test_what_cannot_be_encoded_or_written(tmp_path):
    (tmp_path / "old.mp4").write_bytes(b"old")
    with pytest.raises(MediaError, match=r"old.mp4: cannot be written as a clip \(.+\)"):
        write_video(tmp_path / "old.mp4", [scene(0)], 10, np.zeros(100), sample_rate=12345)
    assert (tmp_path / "old.mp4").read_bytes() == b"old" and os.listdir(tmp_path) == ["old.mp4"]
    with pytest.raises(MediaError, match=r"x.mp4: cannot be written as a clip \(File exists\)"):
        write_video(tmp_path / "old.mp4" / "x.mp4", [scene(0)], 10)
    write_video(tmp_path / "new" / "clip.mp4", [scene(0)], 10)
    assert os.listdir(tmp_path / "new") == ["clip.mp4"]


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match="writing clips needs PyAV: pip install av"):
        write_video(tmp_path / "clip.mp4", [scene(0)], 10)
    with pytest.raises(MissingDependencyError, match="reading clips needs PyAV: pip install av"):
        probe(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "librosa", None)
    assert mfcc(np.zeros(4000, np.float32), AudioConfig()).shape == (8, 128)  # needs none of it
