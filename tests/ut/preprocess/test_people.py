# SPDX-License-Identifier: Apache-2.0
"""Tracks joined into people, and the choice of the one to follow, at their limits."""

import numpy as np
import pytest

from mindface_eri.preprocess.people import choose_person, count_others, join_people
from mindface_eri.preprocess.tracking import Person


@pytest.fixture
def walk(script):
    """A track whose detector's boxes are squares: {frame: (x, y, side)}."""
    def make(frames):
        person = Person()
        for number, (x, y, side) in frames.items():
            person.add(number, script.marks * side / 2 + np.array([x, y], np.float32), script.square(x, y, side))
        return person
    return make


@pytest.fixture
def still(walk):
    """A track of `count` frames from `begin` on with a face that rests."""
    return lambda begin, count, *face: walk(dict.fromkeys(range(begin, begin + count), face))


@pytest.mark.parametrize("x, side, joined", [
    (100 + 1.49 * 80, 80, True), (100 + 1.51 * 80, 80, False), (100 - 1.49 * 80, 80, True),
    (100 - 1.51 * 80, 80, False), (100, 80 * np.exp(1.49), True),
    (100, 80 * np.exp(1.51), False), (100, 80 * np.exp(-1.51), False)])
def test_how_far_a_face_may_move_or_grow_while_it_is_lost(still, x, side, joined):
    chains = join_people([still(0, 5, 100, 240, 80), still(9, 5, x, 240, side)])
    assert [len(chain) for chain in chains] == ([2] if joined else [1, 1])


@pytest.mark.parametrize("x, joined", [(196, True), (np.nextafter(np.float32(196), np.float32(200)), False)])
def test_one_and_a_half_sides_are_near_enough(x, joined):
    """Landmarks and boxes of powers of two, so that the distance is 1.5 exactly."""
    people = []
    for number, at in ((0, 100), (3, x)):
        people.append(Person())
        people[-1].add(number, np.array([[at - 32, 100], [at + 32, 100]] * 34, np.float32),
                       np.array([at - 32, 68, at + 32, 132], np.float32))
    assert len(join_people(people)) == (1 if joined else 2)


def test_the_last_box_of_one_track_meets_the_first_of_the_next(walk):
    one = walk({0: (100, 100, 60), 5: (400, 300, 60)})
    goes_on, starts_over = {9: (420, 300, 60), 20: (100, 100, 60)}, {9: (100, 100, 60), 20: (420, 300, 60)}
    assert len(join_people([one, walk(goes_on)])) == 1
    assert len(join_people([one, walk(starts_over)])) == 2


@pytest.mark.parametrize("begin, joined", [(4, False), (5, True)])
def test_one_person_is_not_in_two_places_at_once(still, begin, joined):
    assert len(join_people([still(0, 5, 100, 100, 60), still(begin, 5, 100, 100, 60)])) == (1 if joined else 2)


def test_of_several_people_the_nearest_goes_on_whatever_the_order(still):
    far, near = still(1, 4, 100, 100, 80), still(0, 4, 190, 100, 80)  # 0.875 and 0.25 sides from the third
    third, fourth = still(8, 3, 170, 100, 80), still(15, 2, 90, 100, 80)
    for order in ([far, near, third, fourth], [fourth, third, near, far]):
        assert join_people(order) == [[near, third], [far, fourth]]


def test_a_person_may_wander_from_track_to_track(still):
    """Each begins a side from where the last one ended, the third two sides from where the first did."""
    long, tracks = still(0, 30, 500, 300, 80), [still(k, 4, x, 100, 80) for k, x in ((2, 100), (8, 180), (14, 260))]
    assert join_people([*tracks, long]) == [[long], tracks]  # in the order of their begins


def test_nobody_gives_no_chains():
    assert join_people([]) == []


@pytest.mark.parametrize("brief, expected", [(4, 1), (3, 2)])
@pytest.mark.parametrize("follow", ["largest", "center"])
def test_a_fifth_of_the_longest_is_long_enough(still, brief, expected, follow):
    chains = [[still(0, 2, 320, 240, 200)], [still(0, brief, 310, 250, 90)],
              [still(0, 12, 100, 100, 60), still(14, 8, 100, 100, 60)]]
    assert choose_person(chains, follow, (640, 480)) == expected


@pytest.mark.parametrize("follow", ["largest", "center"])
def test_all_tracks_of_a_person_count(still, follow):
    """One that was small and at the side at first, and large and in the middle for longer."""
    chains = [[still(0, 4, 240, 240, 90)], [still(0, 3, 200, 240, 60), still(6, 9, 310, 240, 100)]]
    assert choose_person(chains, follow, (640, 480)) == 1
    chains = [[still(0, 4, 240, 240, 90)], [still(0, 3, 320, 240, 100), still(6, 9, 100, 240, 60)]]
    assert choose_person(chains, follow, (640, 480)) == 0


def test_longest_counts_the_frames_of_all_tracks(still):
    chains = [[still(0, 7, 100, 100, 90)], [still(0, 4, 300, 200, 60), still(8, 5, 300, 200, 60)],
              [still(0, 8, 500, 200, 60)]]
    assert choose_person(chains, "longest", (640, 480)) == 1


def test_largest_goes_by_the_median_side_over_all_tracks(walk, still):
    spiky = [walk({0: (100, 100, 50), 1: (100, 100, 50), 2: (100, 100, 300)}), still(5, 1, 100, 100, 60)]  # 55
    steady = [still(0, 4, 400, 100, 70)]
    lower = [walk({0: (250, 300, 90), 1: (250, 300, 65), 2: (250, 300, 64), 3: (250, 300, 20)})]  # 64.5
    assert choose_person([spiky, steady, lower], "largest", (640, 480)) == 1
    assert choose_person([lower, spiky], "largest", (640, 480)) == 0


def test_center_goes_by_the_mean_distance_over_all_frames(walk, still):
    """In a frame of 600 x 200 its middle is (300, 100)."""
    passing = [walk({0: (300, 100, 50), 1: (300, 100, 50), 2: (540, 100, 50), 3: (540, 100, 50)})]  # 0 to 240, 120
    beside = [still(0, 4, 400, 130, 50)]  # 104.4
    below = [still(0, 4, 290, 210, 80)]  # 110.5, whatever the size
    assert choose_person([passing, beside, below], "center", (600, 200)) == 1
    assert choose_person([passing, beside, below], "center", (600, 300)) == 2  # 101.98 and 60.8 then
    assert choose_person([passing, below], "center", (600, 200)) == 1


@pytest.mark.parametrize("frames, examined, counted", [
    (3, 10, 1), (2, 10, 0), (3, 60, 1), (3, 61, 0), (5, 100, 1), (4, 100, 0), (10, 200, 1), (10, 201, 0)])
def test_three_frames_and_a_twentieth_make_another_person(still, frames, examined, counted):
    chosen = [still(0, 2, 100, 100, 60)]
    other = [still(0, frames - 1, 400, 100, 60), still(20, 1, 400, 100, 60)]
    assert count_others([other, chosen], 1, examined) == counted
    assert count_others([chosen, other, other], 0, examined) == 2 * counted
    assert count_others([chosen], 0, examined) == 0
