# SPDX-License-Identifier: Apache-2.0
"""Each frame of sound lies where its stamp says: lost and overlapping packets, gaps, jitter and damaged stamps."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindface_eri.preprocess.sound_clock import SoundClock
from mindface_eri.preprocess.sound_track import SoundTrack

RATE, LENGTH = 8000, 160  # 20 ms
EVEN = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]


def heard(stamps, levels, rate=RATE, length=LENGTH):
    """(second of the first sample, all samples) of frames that are constant, each with its stamp (None: without)."""
    track, pieces = SoundTrack(RATE), []
    for stamp, level in zip(stamps, levels):
        frame = av.AudioFrame.from_ndarray(np.full((1, length), level, np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, 1_000_000)
        frame.pts = None if stamp is None else round(stamp * 1e6)
        track.add(frame)
        pieces += track.take()
    track.drain()
    return track.start, np.concatenate(pieces + track.take())


def placed(stamps, seconds=0.02):
    """(start, begins) as the clock alone says."""
    clock = SoundClock()
    begins = [found.begin for stamp in stamps for found in clock.add(None, stamp, seconds)]
    begins += [found.begin for found in clock.flush()]
    return clock.start, np.array(begins)


def longest(mask):
    """Seconds of the longest run that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return max(np.diff(edges)[::2], default=0) / RATE


# Between packets: some are lost (of 20 ms), or the stamps jump back.
events = st.one_of(st.just(0.0), st.integers(1, 150).map(lambda lost: lost * 0.02), st.integers(-200, -1).map(
    lambda back: back / 1000), st.floats(-0.004, 0.004))


@settings(max_examples=30, deadline=None)
@given(st.lists(events, min_size=30, max_size=60), st.integers(10, 25), st.integers(3, 15))
def test_any_pattern_of_lost_and_overlapping_packets_keeps_a_burst_within_20_ms(steps, first, count):
    begins = [1.0 + 0.02 * k for k in range(10)]
    for step in [*steps, *[0.0] * 5]:
        begins.append(begins[-1] + 0.02 + (step if begins[-1] + step > 1.0 else 0.0))
    begins = np.array(begins)
    bursts = np.isin(np.arange(len(begins)), np.arange(first, first + count))
    start, found = heard(begins, 0.5 * bursts)
    wanted = np.zeros(round((begins.max() - 1.0) * RATE) + 2 * LENGTH, bool)
    for begin, burst in zip(begins, bursts):  # what comes later replaces what it overlaps
        wanted[round((begin - 1.0) * RATE):][:LENGTH] = burst
    loud = np.zeros_like(wanted)
    loud[:len(found)] = found[:len(loud)] > 0.25
    assert start == pytest.approx(1.0, abs=0.015)
    near = np.convolve(wanted, np.ones(2 * LENGTH + 1), "same") > 0.5
    assert longest(loud & ~near) < 0.0155  # what rounding leaves of a packet that others replace
    inside = np.convolve(wanted, np.ones(2 * LENGTH + 1), "same") > 2 * LENGTH + 0.5
    assert longest(inside & ~loud) < 0.0155


@pytest.mark.parametrize("every, rate, length", [(33, 48000, 960), (5, 48000, 960), (7, 44100, 1024), (2, 8000, 80)])
def test_lost_packets_do_not_add_up(every, rate, length):
    kept = np.array([k for k in range(3 * rate // length) if (k + 1) % every])
    marks = [kept[len(kept) // 3], kept[-3]]
    start, found = heard(kept * length / rate, np.isin(kept, marks) * 0.5, rate, length)
    onsets = np.flatnonzero(np.diff((found > 0.25).astype(int)) == 1) / RATE
    assert start == 0 and np.allclose(onsets, np.array(marks) * length / rate, atol=0.0155)


@pytest.mark.parametrize("unit", [0.001, 0.01])
def test_rounded_stamps_leave_the_sound_whole(unit):
    """As Matroska and FLV round, also coarser: no sample more or less, and none of silence."""
    exact = 0.5 + np.arange(200) * 1024 / 44100
    start, found = heard(np.floor(exact / unit) * unit, np.full(200, 0.5), 44100, 1024)
    assert len(found) == pytest.approx(200 * 1024 * RATE / 44100, abs=2) and found[20:-20].min() > 0.45


def test_a_recorder_whose_clock_is_slow_is_followed():
    """Stamps 0.3% wider than the samples: 180 ms in a minute."""
    begins = np.arange(3000) * 0.02 * 1.003
    _, found = placed(begins)
    assert np.abs(found - begins).max() <= 0.0151
    assert np.count_nonzero(np.abs(np.diff(found) - 0.02) > 1e-9) < 20


@pytest.mark.parametrize("stamps, wanted", [
    ([0.0, 0.02, 9000.0, 0.06, 0.08, 0.1, 0.12], [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12]),  # far ahead, back in line
    ([0.0, 0.02, 5000.0, 6000.0, 0.08, 0.1, 0.12], [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12]),
    ([9.0, 9.02, 1.0, 9.06, 9.08, 9.1, 9.12], [9, 9.02, 9.04, 9.06, 9.08, 9.1, 9.12]),
    ([4.0, 0.02, 0.04, 0.06, 0.08, 0.1], [0, 0.02, 0.04, 0.06, 0.08, 0.1]),  # the first one late
    ([-1e6, 0.02, 0.04, 0.06, 0.08, 0.1], [0, 0.02, 0.04, 0.06, 0.08, 0.1]),
    ([0.0, 0.02, 3600.0, 3600.02, 3600.04], [0, 0.02, 3600, 3600.02, 3600.04]),  # an hour's pause
    ([0.0, 0.02, 70.0, 70.02, 3.0, 70.06, 70.08], [0, 0.02, 70, 70.02, 70.04, 70.06, 70.08]),
    ([0.0, 0.02, 1.7e9, 1.7e9 + 0.02, 1.7e9 + 0.04], [0, 0.02, 0.04, 0.06, 0.08]),  # a clock that was set
    ([99.0, 99.02, 99.04, 99.06, 99.08, 0.0, 0.02, 0.04, 0.06], 99 + np.arange(9) * 0.02),  # joined recordings
    ([0.0, 0.02, 0.04, 0.06, 900.0], [0, 0.02, 0.04, 0.06, 0.08]),  # nothing says that the last one is right
    ([None, None, 5.04, 5.06], [5, 5.02, 5.04, 5.06]), ([None] * 3, [0, 0.02, 0.04]),
    ([2.0, 2.0, 2.0, 2.0], [2, 2.02, 2.04, 2.06]),  # stamps that stand still say nothing
    ([0, 0, 0.04, 0.04, 0.08, 0.08], 0.02 * np.arange(6)),  # stamped in pairs
    ([*EVEN, 0.12, 0.12, 0.14, 0.14, 0.16], [*EVEN, 0.12, 0.12, 0.14, 0.14, 0.16]),  # two recordings at once
    ([*EVEN, 0.12, 0.125, 0.14, 0.145, 0.16], [*EVEN, 0.12, 0.125, 0.14, 0.145, 0.16]),
    ([*EVEN, 0.12, 0.13, 0.14, 0.15, 0.16], [*EVEN, 0.12, 0.14, 0.14, 0.15, 0.16]),
    ([2.0, None, 2.5, None], [2, 2.02, 2.5, 2.52]), ([7.0], [7])])
def test_stamps_that_count_and_damaged_ones(stamps, wanted):
    start, found = placed(stamps)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert start == pytest.approx(wanted[0], abs=1e-6)


def test_long_silence_takes_no_memory():
    track = SoundTrack(RATE)
    frames = [av.AudioFrame.from_ndarray(np.full((1, LENGTH), 0.5, np.float32), "flt", "mono") for _ in range(12)]
    for k, frame in enumerate(frames):
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, 50), k + (50 * 80_000 if k > 5 else 0)
        track.add(frame)
    track.drain()
    pieces = track.take()
    assert sum(map(len, pieces)) == 80_000 * RATE + 12 * LENGTH
    assert sum(piece.nbytes if piece.strides[0] else 4 for piece in pieces) < 1_000_000
    np.testing.assert_array_equal(np.concatenate(pieces[:-2])[:6 * LENGTH], 0.5) if len(pieces) > 3 else None
    np.testing.assert_array_equal(pieces[-1][-6 * LENGTH:], 0.5)
    assert not pieces[-1][:-6 * LENGTH].any()


def test_a_gap_after_the_clock_began_anew_is_kept():
    even = np.arange(50) / 50
    _, begins = placed([*(50 + even), *even, *(1.5 + even)])
    np.testing.assert_allclose(begins, np.concatenate([50 + even, 51 + even, 52.5 + even]), atol=1e-6)
