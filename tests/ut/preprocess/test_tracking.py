# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.faces import FaceTrack, stride
from mindface_eri.preprocess.people import choose_person, count_others, join_people
from mindface_eri.preprocess.person import Person, distance


def test_steady_face_costs_two_looks_a_block_at_most(track, script):
    tracker, looks = track([[(300 + k, 200, 200)] for k in range(90)])
    assert len(tracker.people) == 1 and sorted(tracker.people[0].landmarks) == list(range(90))
    assert len(looks) <= 5
    np.testing.assert_allclose(tracker.people[0].landmarks[50], script.marks * 100 + [350, 200], atol=1e-3)


def test_every_frame_looks_at_every_full_frame(track):
    _, looks = track([[(300, 200, 200)]] * 20, mode="every-frame")
    assert looks == [(k, 1.0) for k in range(20)]


def test_a_vanished_face_is_lost_on_the_very_frame(track):
    tracker, _ = track([[(300, 200, 200)]] * 41 + [[]] * 40)
    assert sorted(tracker.people[0].landmarks) == list(range(41))


def test_a_face_that_appears_inside_a_block_is_found_on_the_very_frame(track):
    tracker, _ = track([[]] * 50 + [[(300, 200, 200)]] * 40)
    assert sorted(tracker.people[0].landmarks) == list(range(50, 90))


def test_a_jump_is_no_longer_the_same_track(track):
    tracker, _ = track([[(150, 200, 170)]] * 45 + [[(450, 200, 170)]] * 45)
    spans = [(min(p.landmarks), max(p.landmarks)) for p in tracker.people]
    assert spans == [(0, 44), (45, 89)]


def test_small_faces_are_found_at_full_size_and_then_at_the_size_that_they_need(track):
    tracker, looks = track([[(300, 200, 90)]] * 60)
    assert sorted(tracker.people[0].landmarks) == list(range(60))
    assert [scale for _, scale in looks[:2]] == [0.5, 1.0] and {scale for _, scale in looks[2:]} == {1.0}


def test_without_faces_full_frames_are_searched_now_and_then_only(track):
    _, looks = track([[]] * 120)
    assert 3 <= [scale for _, scale in looks].count(1.0) <= 5


def test_two_people_stay_apart_and_are_counted(track, script):
    tracker, _ = track([[(160 + k, 240, 170), (520 - k, 240, 180)] for k in range(80)])
    chains = join_people(tracker.people, tracker.cuts)
    assert len(chains) == 2
    largest = choose_person(chains, "largest", (640, 480))
    first = chains[largest][0].landmarks[10]
    np.testing.assert_allclose(first.mean(axis=0), script.marks.mean(axis=0) * 90 + [510, 240], atol=1)
    assert count_others(chains, largest, len(tracker.examined)) == 1


@pytest.fixture
def person(script):
    """A track of these frames with a face of this side that rests at x."""
    def make(frames, x, side):
        one = Person()
        for number in frames:
            one.add(number, script.marks * side / 2 + np.array([x, 240], np.float32), script.square(x, 240, side))
        return one
    return make


@pytest.mark.parametrize("follow, expected", [("largest", 1), ("center", 2), ("longest", 0)])
def test_whom_to_follow(person, follow, expected):
    chains = [[person(range(100), 60, 60)], [person(range(40), 560, 140)], [person(range(50), 330, 80)],
              [person(range(3), 320, 300)]]  # the last is seen too briefly to be the one
    assert choose_person(chains, follow, (640, 480)) == expected
    assert count_others(chains, expected, 100) == 2


def test_distance_by_hand():
    box = np.array([0, 0, 10, 10], np.float32)
    assert distance(box, box) == 0
    assert distance(box, box + np.array([3, 4, 3, 4])) == pytest.approx(0.5)
    assert distance(box, np.array([-5, -5, 15, 15])) == pytest.approx(np.log(2))


def test_share_weighs_frames_not_looks():
    found, missed = np.zeros(10, bool), np.zeros(10, bool)
    found[[0, 1, 2]], missed[[6, 9]] = True, True
    track = FaceTrack(np.zeros((10, 68, 2), np.float32), found, missed, "dlib", 0, found)
    assert track.share == pytest.approx(0.4)  # frames 0 to 3 are nearest to a found one; a tie goes to the later


@pytest.mark.parametrize("fps, expected", [(5, 1), (10, 1), (24, 3), (25, 3), (30, 3), (60, 6)])
def test_ten_frames_a_second_are_examined(fps, expected):
    assert stride(FaceConfig(), fps) == expected
    assert stride(FaceConfig(mode="every-frame"), fps) == 1
    assert stride(FaceConfig(track_stride=2), fps) == 2
