# SPDX-License-Identifier: Apache-2.0
"""The sound collected piece by piece, and read in the pass that reads the picture's time stamps."""

import numpy as np
import pytest

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.audio import heard_audio, listener_for, load_audio
from mindface_eri.preprocess.sound_track import SoundTrack
from mindface_eri.preprocess.video import decoded, frame_times, open_media, scan, sound_stream

RATE = 16000


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_streams):
    folder = tmp_path_factory.mktemp("tracks")
    sound = np.round(np.random.default_rng(0).normal(0, 0.1, 24000) * 32768) / 32768
    pictures, stamps = [np.full((48, 64, 3), 40 + k, np.uint8) for k in range(12)], [0.2 + k / 8 for k in range(12)]
    write_streams(folder / "both.mkv", pictures, stamps, sound, 0.25)
    write_streams(folder / "picture.mkv", pictures, stamps)
    write_streams(folder / "sound.mka", sound=sound, start=0.25)
    write_streams(folder / "fast.mka", sound=sound, rate=44100)
    return folder, sound


def frames_of(path):
    with open_media(path) as container:
        yield from decoded(container, sound_stream(container))


def taken(track):
    return np.concatenate([np.zeros(0, np.float32), *track.take()])


@pytest.mark.parametrize("name", ["sound.mka", "fast.mka"])
@pytest.mark.parametrize("every", [1, 3, 1000])
def test_taken_in_pieces_it_is_the_same_sound(files, name, every):
    path, pieces = files[0] / name, []
    track = SoundTrack(RATE)
    assert track.start is None and track.take() == []
    for k, frame in enumerate(frames_of(path)):
        track.add(frame)
        if k % every == 0:
            pieces += track.take()
            assert track.take() == [], "what is taken is gone"
    track.drain()
    pieces += track.take()
    track.drain()
    assert track.take() == []
    whole, wanted = np.concatenate(pieces), load_audio(path, RATE)
    assert whole.dtype == np.float32 and track.start == wanted.start
    np.testing.assert_array_equal(whole, wanted.waveform)
    assert wanted.samples == len(whole) and wanted.seconds == len(whole) / RATE


def test_a_file_without_a_sample_says_so():
    with pytest.raises(MediaError, match="x.mp4: there is no sound track"):
        listener_for(RATE, 1e-4).chosen("x.mp4")


@pytest.mark.parametrize("name, video, audio", [("both.mkv", True, True), ("picture.mkv", True, False),
                                                ("sound.mka", False, True)])
def test_one_pass_gives_stamps_and_sound(files, name, video, audio):
    folder, sound = files
    listener = listener_for(RATE, 1e-4)
    info, times = scan(folder / name, listener)
    assert (info.has_video, info.has_audio) == (video, audio)
    plain, alone = scan(folder / name)
    assert plain == info
    np.testing.assert_array_equal(times, alone)
    np.testing.assert_allclose(times, 0.2 + np.arange(12) / 8 if video else [], atol=1e-6)
    if audio:
        heard = heard_audio(folder / name, listener, RATE)
        np.testing.assert_allclose(heard.waveform, sound, atol=1e-6)
        assert heard.start == pytest.approx(0.25)
        np.testing.assert_array_equal(heard.waveform, load_audio(folder / name, RATE).waveform)
    else:
        assert listener.deaf


def test_sound_that_cannot_be_decoded_leaves_the_stamps(tmp_path, write_streams):
    """A header that names another codec: no packet gives a frame, and all pictures are announced as before."""
    pictures, stamps = [np.full((48, 64, 3), 40 + k, np.uint8) for k in range(12)], [k / 8 for k in range(12)]
    write_streams(tmp_path / "clip.mkv", pictures, stamps, np.random.default_rng(0).normal(0, 0.1, 24000))
    listener, path = listener_for(RATE, 1e-4), tmp_path / "clip.mkv"
    data = path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_VORBIS\0\0\0\0\0")  # not what the packets hold
    path.write_bytes(data)
    info, times = scan(path, listener)
    assert info.has_video
    with pytest.raises(MediaError, match="clip.mkv: the sound track holds no sample that can be decoded"):
        heard_audio(path, listener, RATE)
    np.testing.assert_allclose(times, stamps, atol=1e-3)
    np.testing.assert_array_equal(times, frame_times(path))
