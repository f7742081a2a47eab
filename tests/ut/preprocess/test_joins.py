# SPDX-License-Identifier: Apache-2.0
"""Recordings joined end to end, and clocks that wrap: sound and picture go on together as they were recorded."""

from fractions import Fraction

import av
import numpy as np
import pytest

from mindface_eri.preprocess.audio import load_audio
from mindface_eri.preprocess.joins import Stamps, find_joins
from mindface_eri.preprocess.video import read_frames, scan

WRAP = 2 ** 33 / 90000  # seconds after which the clock of a transport stream is at zero again


def recording(path, seconds, heard, begin=0.0, codec="mpeg2video", bursts=(0.5,)):
    """A transport or program stream: so many seconds of picture and of sound, loud for 0.1 s at the bursts."""
    packets, noise = [], np.random.default_rng(0)
    with av.open(str(path), "w", format="mpegts" if path.suffix == ".ts" else "mpeg") as container:
        film, sound = container.add_stream(codec, rate=25), container.add_stream("mp2", rate=48000)
        film.width, film.height, film.pix_fmt, film.codec_context.max_b_frames = 64, 48, "yuv420p", 2
        sound.layout = "mono"
        for k in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 + 2 * k, np.uint8))
            frame.pts, frame.time_base = round(begin * 25) + k, Fraction(1, 25)
            packets += film.encode(frame)
        wave = noise.normal(0, 1e-3, round(heard * 48000))
        for burst in bursts:
            wave[round(burst * 48000):][:4800] = noise.normal(0, 0.3, 4800)
        for first in range(0, len(wave) - 1151, 1152):
            part = (np.clip(wave[None, first:first + 1152], -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, first + round(begin * 48000), Fraction(1, 48000)
            packets += sound.encode(frame)
        for packet in sorted([*packets, *film.encode(), *sound.encode()], key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path.read_bytes()


def onsets(path):
    """Seconds on the container's clock at which it becomes loud."""
    found = load_audio(path, 16000)
    loud = np.flatnonzero(np.abs(found.waveform) > 0.1) / 16000 + found.start
    return loud[np.diff(loud, prepend=-np.inf) > 0.05]


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("parts", [[(3, 2.7), (2.4, 2.8), (3, 3)], [(1.5, 1.2), (1.3, 1.6), (1.5, 1.5)]])
def test_sound_stays_with_its_picture_through_every_join(tmp_path, suffix, parts):
    """Sound that ends before the picture, or after it; parts so short that nothing goes back by two seconds."""
    path = tmp_path / f"both{suffix}"
    path.write_bytes(b"".join(recording(tmp_path / f"one{suffix}", *part) for part in parts))
    info, times = scan(path)
    assert len(times) == sum(round(25 * seconds) for seconds, _ in parts) and (np.diff(times) > 0).all()
    np.testing.assert_allclose([seconds for seconds, _ in read_frames(path, info)], times, atol=1e-9)
    begins = times[np.cumsum([0, *(round(25 * seconds) for seconds, _ in parts[:-1])])]
    np.testing.assert_allclose(onsets(path) - begins, 0.5, atol=0.005)
    assert info.note == ("the time stamps begin anew twice, as in recordings joined end to end: picture and sound go "
                         "on together")
    second = max(parts[0])  # whichever ends later
    assert begins[1] - begins[0] == pytest.approx(second, abs=0.05)


@pytest.mark.parametrize("codec, lead", [("mpeg2video", 1.0), ("libx264", 1.0), ("libx264", 0.48)])
def test_a_clock_that_wraps_moves_nothing(tmp_path, codec, lead):
    """With pictures stored in another order than they are shown in, whose stamps wrap one before the other."""
    path = tmp_path / "long.ts"
    recording(path, 2, 2, begin=WRAP - lead, codec=codec, bursts=(0.5, 1.5))
    info, times = scan(path)
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-4)
    np.testing.assert_allclose([seconds for seconds, _ in read_frames(path, info)], times, atol=1e-9)
    np.testing.assert_allclose(onsets(path) - times[0], [0.5, 1.5], atol=0.005)
    assert info.note == "" and times[0] == pytest.approx(WRAP - lead, abs=0.2)


def stamps(*parts, step=0.04, places=None):
    """Of a stream whose parts begin and end at these seconds; its packets lie a byte apart, parts at whole 1000s."""
    seconds = [np.arange(round((end - begin) / step)) * step + begin for begin, end in parts]
    where = places or [np.arange(len(some)) + 1000 * k for k, some in enumerate(seconds)]
    return Stamps(np.concatenate(seconds), np.concatenate(seconds), np.concatenate(where))


def test_the_shift_of_a_join_lets_no_stream_overlap_its_own_end():
    film, sound = stamps((1.4, 5.4), (1.4, 3.4), (1.0, 4.0)), stamps((1.3, 4.9), (1.5, 3.8), (1.0, 4.0), step=0.02)
    joins = find_joins({0: film, 1: sound})
    assert [join.place for join in joins] == [1000, 2000]
    # The picture ends at 5.4 and begins at 1.4, the sound ends at 4.9 and begins at 1.5; then the sound ends last.
    assert [join.shift for join in joins] == pytest.approx([4.0, 3.8 + 4.0 - 1.0])
    assert find_joins({0: stamps((0, 1), (1, 2))}) == () == find_joins({})


def test_a_stream_that_begins_or_ends_within_goes_with_the_others():
    film = stamps((0, 4), (0, 4))
    late, early = stamps((0, 4), places=[np.arange(100) + 1000]), stamps((0, 3.9), places=[np.arange(98)])
    assert find_joins({0: film, 1: late, 2: early}) == find_joins({0: film}) == ((1000, pytest.approx(4.0)),)
    ended = stamps((0, 0.4), (1.4, 4.0))  # its stamps do not even go back
    other = stamps((0, 4), (1.3, 4.0))
    assert [join.place for join in find_joins({0: other, 1: ended})] == [1000]


def test_one_stream_alone_is_no_join():
    """A fault of the sound's clock moves no picture: its own clock deals with it."""
    film = stamps((0, 8), places=[np.arange(200) * 10])
    for back in (0.7, 4.0):
        sound = stamps((0, 4), (4 - back, 8 - back), step=0.04)
        assert find_joins({0: film, 1: sound}) == ()


def test_odd_stamps_are_no_join():
    film = stamps((0, 4), (0, 4))
    odd = film.decoded.copy()
    odd[[30, 31, 150]] = [500.0, np.nan, -80.0]
    assert [join.place for join in find_joins({0: Stamps(odd, odd, film.places)})] == [1000]
    assert find_joins({0: Stamps(odd, odd, film.places)})[0].shift == pytest.approx(4.0)
    nothing = np.full(10, np.nan)
    assert find_joins({0: Stamps(nothing, nothing, np.arange(10))}) == ()
