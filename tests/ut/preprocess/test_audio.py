# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
import pytest
import soundfile

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio


@pytest.mark.parametrize("rate, channels, suffix", [(48000, 6, "wav"), (8000, 1, "flac"), (44100, 2, "wav")])
def test_any_rate_and_layout_becomes_mono(tmp_path, rate, channels, suffix):
    t = np.arange(rate) / rate
    data = 0.3 * np.sin(2 * np.pi * 440 * t)[:, None] * np.linspace(0.4, 1.6, channels) if channels > 1 else (
        0.3 * np.sin(2 * np.pi * 440 * t))
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    soundfile.write(tmp_path / f"s.{suffix}", data, rate)
    audio = load_audio(tmp_path / f"s.{suffix}", 16000)
    assert audio.waveform.dtype == np.float32 and audio.start == 0.0
    # the channels' mean, not their sum; no sample early or late, none lost at the end
    assert len(audio.waveform) == 16000
    np.testing.assert_allclose(audio.waveform[200:-200], expected[200:-200], atol=1e-4)


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
    rng = np.random.default_rng(channels)
    sound = (rng.normal(0, 0.1, (800, 1)) + rng.normal(0, 0.1, (800, channels))).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", 16000).waveform, sound.mean(axis=1), atol=1e-6)


def test_samples_that_no_sound_gives_are_silence(tmp_path):
    sound = np.full(800, 0.1, np.float32)
    sound[[3, 5, 7, 9]] = np.nan, np.inf, -np.inf, 3e38
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    waveform = load_audio(tmp_path / "a.wav", 16000).waveform
    assert (waveform[[3, 5, 7, 9]] == 0).all() and np.allclose(np.delete(waveform, [3, 5, 7, 9]), 0.1)


def write_blocks(path, blocks, rate=8000):
    """Matroska, blocks of sound of which each has its own begin: [(seconds, samples), ...]."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=rate)
        track.layout = "mono"
        for begin, samples in blocks:
            frame = av.AudioFrame.from_ndarray(np.asarray(samples * 32768, np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, round(begin * rate), Fraction(1, rate)
            container.mux(track.encode(frame))
        container.mux(track.encode())


@pytest.mark.parametrize("gap, silence", [(0.5, 8000), (0.05, 800), (0.004, 0), (59.0, 59 * 16000), (70.0, 70 * 16000)])
def test_gaps_inside_a_track_are_silence_of_any_length(tmp_path, gap, silence):
    """Blocks of 0.2 s at 8000 Hz, the gap before the third; the waveform has 16000 samples a second."""
    levels = np.array([0.25, -0.125, 0.5, 0.0625])
    begins = [1.0, 1.2, 1.4 + gap, 1.6 + gap]
    write_blocks(tmp_path / "gap.mka", [(begin, np.full(1600, level)) for begin, level in zip(begins, levels)])
    audio = load_audio(tmp_path / "gap.mka", 16000)
    assert audio.start == pytest.approx(1.0, abs=1e-9) and len(audio.waveform) == 4 * 3200 + silence
    first = 2 * 3200 + silence
    middles = [1600, 4800, first + 1600, first + 4800]
    np.testing.assert_allclose(audio.waveform[middles], levels, atol=2e-3)
    if silence:
        assert not audio.waveform[6400:first].any()
        assert np.abs(audio.waveform[[6390, first + 10]]).min() > 0.1


def write_mp3(path, rate, layout, frames=30):
    """A 440 Hz tone; 1152 samples a frame."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("mp3", rate=rate)
        track.layout = layout
        for k in range(frames):
            tone = 0.2 * np.sin(2 * np.pi * 440 * (np.arange(1152) + 1152 * k) / rate).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.tile(tone, (track.layout.nb_channels, 1)), format="fltp",
                                               layout=layout)
            frame.sample_rate, frame.pts = rate, 1152 * k
            container.mux(track.encode(frame))
        container.mux(track.encode())


def test_rate_and_layout_may_change_on_the_way(tmp_path):
    """Recordings joined end to end, as some broadcasters give them."""
    pieces = []
    for rate, layout in ((44100, "stereo"), (44100, "mono"), (22050, "mono")):
        write_mp3(tmp_path / "piece.mp3", rate, layout)
        data = (tmp_path / "piece.mp3").read_bytes()
        size = 10 + int.from_bytes(bytes(data[6:10]), "big") if data[:3] == b"ID3" and pieces else 0
        pieces.append(data[size:])
    (tmp_path / "joined.mp3").write_bytes(b"".join(pieces))
    waveform = load_audio(tmp_path / "joined.mp3", 16000).waveform
    with av.open(str(tmp_path / "joined.mp3")) as container:
        decoded = [(frame.layout.name, frame.sample_rate, frame.samples) for frame in container.decode(audio=0)]
    runs = [sum(count for *_, count in run) * 16000 / kind[1] for kind, run in groupby(decoded, lambda f: f[:2])]
    assert len(runs) == 3 and abs(len(waveform) - sum(runs)) <= 3  # none lost where the resampler is another
    whole = 30 * 1152 * (1 / 44100 + 1 / 44100 + 1 / 22050) * 16000
    assert whole <= len(waveform) < whole + 3000  # a few frames of headers and delay
    for place in (0.15, 0.4, 0.6, 0.85):  # of the sound: each piece is at its own pitch
        part = waveform[int(place * whole):][:4000]
        assert np.abs(np.fft.rfft(part)).argmax() == 110 and np.abs(part).max() == pytest.approx(0.2, abs=0.02)


def test_the_first_sound_track_counts(tmp_path):
    with av.open(str(tmp_path / "two.mka"), "w") as container:
        tracks = [container.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        for track, level in zip(tracks, (2000, 9000)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 800), level, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 16000, 0
            container.mux(track.encode(frame))
    np.testing.assert_allclose(load_audio(tmp_path / "two.mka", 16000).waveform, 2000 / 32768, atol=1e-6)


def test_the_loudest_sample_that_counts(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([900, -900, 1100, -1100] * 50, np.float32), 16000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", 16000).waveform[:4], [900, -900, 0, 0])


def test_a_track_without_a_sample(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    with pytest.raises(MediaError, match="a.wav: the sound track holds no sample that can be decoded"):
        load_audio(tmp_path / "a.wav", 16000)


def test_a_rate_that_no_sound_has_is_that_files_reason(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(4000, 0.5), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[24:28] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(MediaError, match=r"a.wav: the sound cannot be brought to 16000 Hz \(Cannot allocate memory\)"):
        load_audio(tmp_path / "a.wav", 16000)
