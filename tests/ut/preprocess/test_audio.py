# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
import librosa
import numpy as np
import pytest
import soundfile

from mindface_eri.config import AudioConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio, mfcc, mfcc_stacks

SMALL = AudioConfig(coefficients=13, stack=4)


def test_mfcc_is_librosas():
    y = np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)
    config = AudioConfig()
    expected = librosa.feature.mfcc(y=y, sr=16000, n_mfcc=128).T
    np.testing.assert_allclose(mfcc(y, config), expected, atol=1e-4)


def test_long_sound_in_pieces_gives_the_same(monkeypatch):
    y = np.random.default_rng(1).normal(0, 0.1, 30000).astype(np.float32)
    whole = mfcc(y, SMALL)
    monkeypatch.setattr("mindface_eri.preprocess.audio._CHUNK", 7)
    np.testing.assert_allclose(mfcc(y, SMALL), whole, atol=1e-4)


def test_stack_is_centred_on_its_instant():
    y = np.random.default_rng(2).normal(0, 0.1, 32000).astype(np.float32)
    frames = mfcc(y, SMALL)
    instant = 20 * 512 / 16000  # MFCC frame 20 is centred here
    stacks = mfcc_stacks(y, np.array([0.0, instant, 2.0]), SMALL)
    assert stacks.shape == (3, 52) and stacks.dtype == np.float32
    # four frames around 20: the centre of 19..22 is 20.5, of 18..21 is 19.5; a tie goes to the later
    np.testing.assert_allclose(stacks[1], frames[19:23].reshape(-1), atol=1e-5)
    np.testing.assert_allclose(stacks[0], frames[[0, 0, 1, 2]].reshape(-1), atol=1e-5)  # the edge frame is repeated


def test_offset_moves_the_sound():
    y = np.random.default_rng(3).normal(0, 0.1, 32000).astype(np.float32)
    times = np.linspace(0.5, 1.5, 5)
    np.testing.assert_allclose(mfcc_stacks(y, times - 0.4, SMALL, offset=-0.4), mfcc_stacks(y, times, SMALL), atol=1e-4)


def test_picture_longer_than_sound_hears_silence():
    y = np.random.default_rng(4).normal(0, 0.1, 16000).astype(np.float32)
    stacks = mfcc_stacks(y, np.linspace(0, 3, 10), SMALL, offset=0.5)
    silent = mfcc_stacks(y, np.array([2.2, 2.9]), SMALL, offset=0.5)
    np.testing.assert_allclose(stacks[-1][:13], stacks[-2][:13], atol=1e-3)
    np.testing.assert_allclose(silent[0], silent[1], atol=1e-3)
    assert np.abs(stacks[4] - stacks[-1]).max() > 10
    assert mfcc_stacks(y, np.linspace(0, 1, 4), SMALL, offset=1e6).shape == (4, 52)  # no overlap, no endless padding


@pytest.mark.parametrize("rate, channels, suffix", [(48000, 6, "wav"), (8000, 1, "flac"), (44100, 2, "wav")])
def test_any_rate_and_layout_becomes_mono(tmp_path, rate, channels, suffix):
    t = np.arange(rate) / rate
    data = 0.3 * np.sin(2 * np.pi * 440 * t)[:, None] * np.ones(channels)
    soundfile.write(tmp_path / f"s.{suffix}", data, rate)
    audio = load_audio(tmp_path / f"s.{suffix}", 16000)
    assert audio.waveform.dtype == np.float32 and audio.start == 0.0
    assert len(audio.waveform) == pytest.approx(16000, abs=40)
    inner = audio.waveform[1000:-1000]
    assert np.abs(inner).max() == pytest.approx(0.3, abs=0.01)  # the channels' mean, not their sum
    spectrum = np.abs(np.fft.rfft(inner))
    assert spectrum.argmax() * 16000 / len(inner) == pytest.approx(440, abs=2)


def test_track_of_a_clip_keeps_time(face_clip, tone):
    audio = load_audio(face_clip, 16000)
    assert audio.start == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(audio.waveform[4000:8000], tone[4000:8000])[0, 1] > 0.99


def test_not_a_number_becomes_silence(tmp_path):
    soundfile.write(tmp_path / "n.wav", np.array([0.1, np.nan, np.inf, -0.1] * 100, np.float32), 16000, subtype="FLOAT")
    assert np.isfinite(load_audio(tmp_path / "n.wav", 16000).waveform).all()


def test_no_sound_track(tmp_path, face_picture):
    from mindface_eri.preprocess.video import write_video

    write_video(tmp_path / "v.mp4", [face_picture(64, 48, [])] * 3, 10)
    with pytest.raises(MediaError, match="no sound track"):
        load_audio(tmp_path / "v.mp4", 16000)


@pytest.mark.parametrize("channels", [1, 2, 8, 16])
def test_any_number_of_channels_is_averaged(tmp_path, channels):
    sound = np.random.default_rng(channels).normal(0, 0.1, (800, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", 16000).waveform, sound.mean(axis=1), atol=1e-6)


def test_samples_that_no_sound_gives_are_silence(tmp_path):
    sound = np.full(800, 0.1, np.float32)
    sound[[3, 5, 7, 9]] = np.nan, np.inf, -np.inf, 3e38
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    waveform = load_audio(tmp_path / "a.wav", 16000).waveform
    assert (waveform[[3, 5, 7, 9]] == 0).all() and np.allclose(np.delete(waveform, [3, 5, 7, 9]), 0.1)
