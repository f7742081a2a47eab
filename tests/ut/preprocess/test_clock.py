# SPDX-License-Identifier: Apache-2.0
"""The picture's clock: stamps win, and an odd one moves nothing but itself."""

from fractions import Fraction

import numpy as np
import pytest

from mindface_eri.preprocess.clock import Clock

MS = Fraction(1, 1000)
COUNT = 200
PLAIN = [40 * k for k in range(COUNT)]  # 25 a second


def odd(changes, stamps=PLAIN):
    """`stamps` with some of them changed: {number: another stamp}."""
    stamps = list(stamps)
    for number, stamp in changes.items():
        stamps[number] = stamp
    return stamps


def read(clock, stamps):
    reading = clock.reading()
    return [reading.next(stamp) for stamp in stamps]


@pytest.mark.parametrize("stamps, seconds, fps", [
    ([0, 40, 120], [0, 0.04, 0.12], 1 / 0.06),
    ([500, 540], [0.5, 0.54], 25),  # it may begin anywhere
    ([-40, 0], [-0.04, 0], 25),
    ([0, None, 80, 120], [0, 0.04, 0.08, 0.12], 25),
    ([None, 100, 150, 200], [0.05, 0.1, 0.15, 0.2], 20),
    ([200, None, 400, None], [0.2, 0.3, 0.4, 0.5], 10),  # every other one is said
    ([0, 40, 40, 120], [0, 0.04, 0.08, 0.12], 25),  # twice the same
    ([0, 40, 40, 80], [0, 0.04, 0.06, 0.08], None),  # no room for a whole step: half-way
    ([0, 33, 67, 100, 133, 167, 200], [0, 0.033, 0.067, 0.1, 0.133, 0.167, 0.2], 30),  # rounded by the container
    ([0, 60, 60_060, 60_120], [0, 0.06, 60.06, 60.12], 1 / 0.06),  # gaps are kept, however long
    ([0, 60, 36e5, 36e5 + 60], [0, 0.06, 3600, 3600.06], 1 / 0.06),
    ([0, 5000, 10_000, 22_000], [0, 5, 10, 22], 0.2),  # slides, the last one after a longer while
    ([None, None, None], [0, 0.1, 0.2], 10), ([7], [0.007], 10), ([], [], 10)])
def test_times_by_hand(stamps, seconds, fps):
    clock = Clock(stamps, MS, 10)
    np.testing.assert_allclose(clock.times, seconds, atol=1e-9)
    np.testing.assert_allclose(read(clock, stamps), seconds, atol=1e-9)
    assert fps is None or clock.fps == pytest.approx(fps)


@pytest.mark.parametrize("header", [0, 10, 25, 60])
@pytest.mark.parametrize("changes", [
    {3: 80, 4: 80, 5: 80, 100: PLAIN[99]}, dict.fromkeys((3, 4, 5, 100)),
    {120: PLAIN[120] + 9600}, {50: 100_000}, {1: 2040}, {0: 4000}, {0: 30_000}, {0: 480}, {0: 4000, 1: 4040, 2: 4080},
    {90: 30}, {150: -50_000}, {60: 5500, 61: 5540, 62: 5580}, {COUNT - 1: PLAIN[-1] + 3000}, {70: 10 ** 12}])
def test_odd_stamps_move_nothing_and_the_rate_is_what_stamps_say(changes, header):
    stamps = odd(changes)
    clock = Clock(stamps, MS, header)
    np.testing.assert_allclose(clock.times, np.array(PLAIN) / 1000, atol=1e-6)
    np.testing.assert_allclose(read(clock, stamps), clock.times, atol=1e-9)
    assert clock.fps == pytest.approx(25)


def reordered(count, group):
    """Stamps in the order in which a codec stores pictures: each group's last one first."""
    numbers = [0]
    for first in range(1, count, group):
        last = min(first + group, count) - 1
        numbers += [last, *range(first, last)]
    return [40 * k for k in numbers]


@pytest.mark.parametrize("group", [2, 4, 9])
@pytest.mark.parametrize("number, move", [(0, 0), (100, 9600), (101, 9600), (1, 2000), (0, 4000), (150, -5000),
                                          (30, -400), (COUNT - 2, 3000)])
def test_pictures_that_a_codec_stores_in_another_order(group, number, move):
    right = reordered(COUNT, group)
    stamps = odd({number: right[number] + move}, right)
    clock = Clock(stamps, MS, 10, [40 * k - 80 for k in range(COUNT)])
    np.testing.assert_allclose(clock.times, np.array(PLAIN) / 1000, atol=0.0401 if move else 1e-9)
    assert np.abs(np.diff(clock.times) - 0.04).sum() < 0.0801
    np.testing.assert_allclose(read(clock, [stamps[k] for k in np.argsort(right)]), clock.times, atol=1e-9)


@pytest.mark.parametrize("stamps", [
    [k if n < 90 else k - 90 * 40 + 3 for n, k in enumerate(PLAIN)],  # from zero
    [k if n < 90 else k - 3000 for n, k in enumerate(PLAIN)],
    [k if n < 90 else k + 95_443_717 for n, k in enumerate(PLAIN)],  # further than anybody pauses
    odd({88: 90_000}, [k if n < 90 else k - 3000 for n, k in enumerate(PLAIN)]),
    [k + 50_000 if n < 40 else k if n < 120 else k - 4000 for n, k in enumerate(PLAIN)]])
@pytest.mark.parametrize("stored", [False, True])
def test_stamps_that_begin_anew_go_on_from_the_last_one(stamps, stored):
    clock = Clock(stamps, MS, 10, [stamp - 80 for stamp in stamps] if stored else None)
    np.testing.assert_allclose(clock.times - clock.times[0], np.array(PLAIN) / 1000, atol=1e-6)
    np.testing.assert_allclose(read(clock, stamps), clock.times, atol=1e-9)


def test_a_short_way_back_is_an_overlap_that_moves_nothing_after_it():
    stamps = [k if n < 90 else k - 300 for n, k in enumerate(PLAIN)]
    clock = Clock(stamps, MS, 10)
    assert (np.diff(clock.times) > 0).all()
    np.testing.assert_allclose(clock.times[100:], np.array(stamps[100:]) / 1000, atol=1e-9)
    np.testing.assert_allclose(clock.times[:80], np.array(stamps[:80]) / 1000, atol=1e-9)


def test_pictures_that_were_not_foreseen_take_nobodys_place():
    stamps = odd({5: None, 6: 9999})
    clock = Clock(stamps, MS, 10)
    # Packet 3 cannot be decoded, picture 8 comes late, and one has a stamp that no packet had.
    given = [0, 40, 80, 160, None, 9999, 320, 280, 360, 77_777, 400]
    np.testing.assert_allclose(read(clock, given), [0, .04, .08, .16, .2, .24, .32, .34, .36, .4, .42], atol=1e-9)
    reading = Clock([0, 40], MS, 10).reading()
    assert [reading.next(None) for _ in range(4)] == pytest.approx([0, 0.04, 0.08, 0.12])


def test_pictures_are_counted_where_their_stamps_are_those_of_decoding():
    stored = reordered(60, 3)
    clock = Clock(PLAIN[:60], MS, 10, PLAIN[:60], counted=True)  # in the file's order, whatever is shown when
    given = [PLAIN[k] for k in np.argsort(stored)]
    np.testing.assert_allclose(read(clock, given), np.array(PLAIN[:60]) / 1000, atol=1e-9)
    found = read(clock, given[:10] + given[40:])  # thirty cannot be decoded: not far from where they belong
    np.testing.assert_allclose(found[10:], np.array(PLAIN[40:60]) / 1000, atol=0.161)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_any_few_odd_stamps_move_no_picture_by_more_than_a_step(seed):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        where = rng.choice(COUNT, rng.integers(1, 6), replace=False)
        odds = [lambda k: None, lambda k: PLAIN[max(k - 1, 0)], lambda k: PLAIN[k] + int(rng.integers(500, 100_000)),
                lambda k: PLAIN[k] - int(rng.integers(500, 100_000))]
        clock = Clock(odd({int(k): odds[rng.integers(4)](k) for k in where}), MS, 10)
        np.testing.assert_allclose(clock.times, np.array(PLAIN) / 1000, atol=0.0401)


def test_without_a_unit():
    assert Clock([5, 7, 9], None, 0).times.tolist() == pytest.approx([0, 0.04, 0.08])


def test_it_is_known_how_often_the_stamps_begin_anew():
    part = [40 * k for k in range(100)]
    assert Clock(part, Fraction(1, 1000)).joins == 0
    assert Clock([*part, 9000, *(4000 + stamp for stamp in part)], Fraction(1, 1000)).joins == 0  # one is odd
    assert Clock(3 * part, Fraction(1, 1000)).joins == 2
