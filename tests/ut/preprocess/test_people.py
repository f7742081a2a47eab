# SPDX-License-Identifier: Apache-2.0
"""Tracks joined into people, and the choice of the one to follow, at their limits."""

import numpy as np
import pytest

from mindface_eri.preprocess import people
from mindface_eri.preprocess.people import choose_person, count_alike, count_others, join_people, taken_places
from mindface_eri.preprocess.person import Person


class Face:
    """A portrait whose numbers are known: people are told apart by the first."""

    def __init__(self, *numbers) -> None:
        self.numbers = np.zeros(128)
        self.numbers[:len(numbers)] = numbers
        self.asked = 0

    def __getattribute__(self, name):
        if name == "numbers" and "asked" in self.__dict__:
            self.asked += 1
        return super().__getattribute__(name)

    def cut(self):
        """Needs no picture."""


@pytest.fixture
def walk(script):
    """A track whose detector's boxes are squares, {frame: (x, y, side)}, and the portraits of which are given."""
    def make(frames, *faces):
        person = Person()
        for number, (x, y, side) in frames.items():
            person.add(number, script.marks * side / 2 + np.array([x, y], np.float32), script.square(x, y, side))
        person.portraits = dict(enumerate(faces))
        return person
    return make


@pytest.fixture
def still(walk):
    """A track of `count` frames from `begin` on with a face that rests; `who` is its portrait's first number."""
    return lambda begin, count, *face, who=0.0: walk(dict.fromkeys(range(begin, begin + count), face), Face(who))


NEAR, FAR = (100, 240, 80), (400, 240, 80)


@pytest.mark.parametrize("place, cuts, apart, joined", [
    (NEAR, (), 0.42, True), (NEAR, (), 0.61, True), (NEAR, (), 0.63, False), (NEAR, (), 0.9, False),
    (FAR, (), 0.42, True), (FAR, (), 0.54, True), (FAR, (), 0.56, False), (NEAR, (7,), 0.54, True),
    (NEAR, (7,), 0.56, False), (NEAR, (9,), 0.56, False), (NEAR, (5,), 0.56, False), (NEAR, (4,), 0.56, True),
    (NEAR, (10,), 0.56, True), (FAR, (7,), 0.1, True), (FAR, (7,), 0.8, False)])
def test_identity_joins_tracks_and_a_cut_or_a_far_place_asks_for_more(still, place, cuts, apart, joined):
    """The first track ends in frame 4, the second begins in frame 9."""
    chains = join_people([still(0, 5, *NEAR), still(9, 5, *place, who=apart)], cuts)
    assert [len(chain) for chain in chains] == ([2] if joined else [1, 1])


@pytest.mark.parametrize("x, side, joined", [
    (100 + 1.49 * 80, 80, True), (100 + 1.51 * 80, 80, False), (100 - 1.49 * 80, 80, True),
    (100 - 1.51 * 80, 80, False), (100, 80 * np.exp(1.49), True), (100, 80 * np.exp(1.51), False),
    (100, 80 * np.exp(-1.51), False)])
def test_how_far_is_about_where_it_was_lost(still, x, side, joined):
    chains = join_people([still(0, 5, *NEAR), still(9, 5, x, 240, side, who=0.6)], ())
    assert [len(chain) for chain in chains] == ([2] if joined else [1, 1])


def test_the_last_box_of_one_track_meets_the_first_of_the_next(walk):
    one = walk({0: (100, 100, 60), 5: (400, 300, 60)}, Face(0))
    goes_on, starts_over = {9: (420, 300, 60), 20: (100, 100, 60)}, {9: (100, 100, 60), 20: (420, 300, 60)}
    assert len(join_people([one, walk(goes_on, Face(0.6))], ())) == 1
    assert len(join_people([one, walk(starts_over, Face(0.6))], ())) == 2


@pytest.mark.parametrize("begin, joined", [(4, False), (5, True)])
def test_one_person_is_not_in_two_places_at_once(still, begin, joined):
    assert len(join_people([still(0, 5, *NEAR), still(begin, 5, *NEAR)], ())) == (1 if joined else 2)


def test_people_side_by_side_are_not_asked_who_they_are(still):
    tracks = [still(0, 9, *NEAR), still(3, 9, *FAR)]
    assert len(join_people(tracks, (5,))) == 2
    assert not any(face.asked for track in tracks for face in track.portraits.values())


def test_of_several_people_the_most_alike_goes_on_whatever_the_order_and_the_place(still):
    """After a cut each is where the other was."""
    one, other = still(0, 4, *NEAR, who=1), still(1, 4, *FAR, who=1.5)
    third, fourth = still(8, 3, *FAR, who=1.1), still(9, 3, *NEAR, who=1.4)
    for order in ([one, other, third, fourth], [fourth, third, other, one]):
        assert join_people(order, (8,)) == [[one, third], [other, fourth]]


def test_a_person_is_known_again_by_any_earlier_track(still):
    """Seen from the front, then turned more and more, then from the front again: A, B, A, C of a film."""
    front, turned, back = still(0, 4, *NEAR, who=0), still(9, 4, *NEAR, who=0.5), still(40, 4, *FAR, who=-0.1)
    between, last = still(20, 9, *NEAR, who=3), still(60, 9, *NEAR, who=6)
    chains = join_people([front, turned, between, back, last], (20, 40, 60))
    assert chains == [[front, turned, back], [between], [last]]


def test_more_faces_are_looked_at_only_where_the_first_do_not_decide(walk):
    frames = {0: NEAR, 1: NEAR}, {5: FAR, 6: FAR}
    for first, more, joined, asked in ((0.44, 9, True, False), (0.66, 0, False, False), (0.6, 0.4, True, True),
                                       (0.5, 0.7, False, True)):
        one, other = walk(frames[0], Face(0)), walk(frames[1], Face(first), Face(more), Face(more))
        assert len(join_people([one, other], ())) == (1 if joined else 2)
        assert bool(other.portraits[1].asked) is asked


def test_a_face_nobody_has_seen_belongs_to_nobody(walk):
    assert len(join_people([walk({0: NEAR}, Face(0)), walk({3: NEAR})], ())) == 2


@pytest.mark.parametrize("who, frames", [(0.3, [0, 1, 2, 3, 4, 5, 6, 7, 8]), (2.0, [0, 1, 2])])
def test_frames_in_which_one_face_became_another_are_neithers(still, who, frames):
    """Frame 2 was surely the first one's, from 9 on it may be another's."""
    first, then = still(0, 9, *NEAR), still(9, 6, *NEAR, who=who)
    then.before = first, 2
    chains = join_people([then, first], ())
    assert sorted(first.landmarks) == frames and first.last == frames[-1] and len(then.landmarks) == 6
    assert len(chains) == (1 if who < 1 else 2)


def test_nobody_gives_no_chains():
    assert join_people([], ()) == []


def test_a_place_is_taken_where_somebody_else_is_while_the_person_is_not(still, walk):
    own = [walk({**dict.fromkeys(range(5), NEAR), **dict.fromkeys(range(12, 15), FAR)})]
    there, elsewhere, beside = still(6, 2, 110, 235, 85), still(8, 2, 250, 60, 85), still(2, 4, *FAR)
    assert taken_places([[there, elsewhere], own, [beside]], 1) == [5, 6, 7]  # 5: where the person will be
    assert taken_places([own], 0) == []


def test_first_is_who_is_seen_first_of_those_seen_long_enough(still):
    chains = [[still(3, 10, *NEAR)], [still(0, 1, *FAR)], [still(2, 3, *FAR), still(9, 1, *FAR)]]
    assert choose_person(chains, "first", (640, 480)) == 2


@pytest.mark.parametrize("face, expected", [(0.0, 0), (2.2, 1), (3.9, 2), (1.0, -1)])
def test_a_photograph_chooses_the_nearest_face_that_is_near_enough(still, monkeypatch, face, expected):
    monkeypatch.setattr(people, "photographed", lambda path: Face(face).numbers if path == "her.jpg" else None)
    chains = [[still(0, 9, *NEAR)], [still(0, 2, *FAR, who=5), still(4, 1, *FAR, who=2)], [still(0, 30, *FAR, who=4)]]
    assert choose_person(chains, "her.jpg", (640, 480)) == expected
    assert count_others(chains, expected, 20) == {0: 2, 1: 2, 2: 2, -1: 3}[expected]
    assert count_alike(chains, "her.jpg", 20) == int(expected >= 0) and count_alike(chains, "first", 20) == 0


def test_a_photograph_that_fits_two_people_says_so(still, monkeypatch):
    monkeypatch.setattr(people, "photographed", lambda path: Face(2.5).numbers)
    chains = [[still(0, 9, *NEAR, who=2)], [still(0, 3, *FAR, who=3)], [still(0, 9, *FAR, who=0)]]
    assert choose_person(chains, "her.jpg", (640, 480)) == 0 and count_alike(chains, "her.jpg", 60) == 2
    assert count_alike(chains, "her.jpg", 61) == 1, "who passes by is nobody"


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
