# SPDX-License-Identifier: Apache-2.0
"""Which of several sound tracks is taken: as a player would, but not a silent one where another is heard."""

import av
import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.clip import extract_clip
from mindface_eri.preprocess.video import read_frames_and_sound

DEFAULT, COMMENT = 0x1, 0x8
SMALL = PreprocessConfig(frames=4, face=FaceConfig(detector="dlib"))


def write_tracks(path, *tracks, pictures=0):
    """Matroska; each track is (level, flags, language), a second of its level from 0.25 s on."""
    with av.open(str(path), "w", format="matroska") as container:
        film = container.add_stream("ffv1", rate=10) if pictures else None
        if film:
            film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        streams = []
        for _, flags, language in tracks:
            streams.append(container.add_stream("pcm_s16le", rate=16000, layout="mono"))
            streams[-1].disposition = int(av.stream.Disposition(flags).value)
            streams[-1].metadata["language"] = language
        for k in range(pictures):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90 + k, np.uint8))
            picture.pts = k
            container.mux(film.encode(picture.reformat(format="yuv420p")))
        for part in range(20):
            for stream, (level, *_) in zip(streams, tracks):
                sound = np.full((1, 1000), 0 if part < 4 else round(level * 32768), np.int16)
                frame = av.AudioFrame.from_ndarray(sound, "s16", "mono")
                frame.sample_rate, frame.pts = 16000, 1000 * part
                container.mux(stream.encode(frame))
        for stream in [*streams, *([film] if film else [])]:
            container.mux(stream.encode())


@pytest.mark.parametrize("tracks, level, note", [
    ([(0.5, 0, "eng")], 0.5, ""),
    ([(0.5, DEFAULT, "eng"), (0.25, 0, "deu")], 0.5, "sound track 1 of 2 (eng) is used"),
    ([(0.5, 0, "eng"), (0.25, DEFAULT, "deu")], 0.25, "sound track 2 of 2 (deu) is used"),
    ([(0.5, 0, "eng"), (0.25, 0, "deu")], 0.5, "sound track 1 of 2 (eng) is used"),
    ([(0, DEFAULT, "eng"), (0.25, 0, "deu")], 0.25, "sound track 2 of 2 (deu) is used, as 1 is silent"),
    ([(0.5, 0, "eng"), (0, DEFAULT, "deu")], 0.5, "sound track 1 of 2 (eng) is used, as 2 is silent"),
    ([(0, 0, "eng"), (0, 0, "deu"), (0.25, 0, "fra")], 0.25, "sound track 3 of 3 (fra) is used, as 1 and 2 are silent"),
    ([(0.5, COMMENT, "eng"), (0.25, 0, "eng")], 0.25, "sound track 2 of 2 (eng) is used"),
    ([(0, DEFAULT, "eng"), (0, 0, "eng")], 0.0, "sound track 1 of 2 (eng) is used")])
def test_the_track_that_is_taken(tmp_path, tracks, level, note):
    write_tracks(tmp_path / "a.mka", *tracks)
    audio = load_audio(tmp_path / "a.mka", 16000)
    assert audio.note == note and audio.samples == 20000
    np.testing.assert_allclose(audio.waveform[[100, 10000]], [0, level], atol=1e-4)


def test_the_note_and_the_overlay_know_of_the_choice(tmp_path):
    write_tracks(tmp_path / "a.mkv", (0, DEFAULT, "eng"), (0.25, 0, "deu"), pictures=12)
    clip = extract_clip(tmp_path / "a.mkv", SMALL)
    assert clip.quality.endswith("sound track 2 of 2 (deu) is used, as 1 is silent") and clip.present[1] == 1
    assert clip.mix.stream == 2
    heard = []
    for _ in read_frames_and_sound(tmp_path / "a.mkv", heard.append, sound=clip.mix.stream):
        pass
    assert np.abs(heard[-1].to_ndarray()).max() == 8192
    write_tracks(tmp_path / "a.mkv", (0, 0, "eng"), (0, 0, "deu"), pictures=12)
    with pytest.raises(MediaError, match="the sound is silent"):
        extract_clip(tmp_path / "a.mkv", SMALL)


def test_a_track_is_let_go_as_soon_as_it_cannot_be_taken_any_more(tmp_path, monkeypatch):
    from mindface_eri.preprocess import video

    write_tracks(tmp_path / "a.mka", *[(0.5, 0, "eng")] * 4)
    decoded, frames_of = [], video._frames_of
    monkeypatch.setattr(video, "_frames_of", lambda packet: decoded.append(packet.stream.index) or frames_of(packet))
    assert load_audio(tmp_path / "a.mka", 16000).note.startswith("sound track 1 of 4")
    counts = np.bincount(decoded)
    assert counts[0] >= 20 and (counts[1:] < counts[0]).all()
