# SPDX-License-Identifier: Apache-2.0
"""Following faces with a detector that is unsure, blind or wrong now and then: which frames it is asked for at which
scale, and whose landmarks are whose."""

import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.person import Person, distance
from mindface_eri.preprocess.tracking import Tracker

STEADY = (300, 200, 200)


def numbers(looks):
    return [number for number, _ in looks]


def spans(tracker):
    return [sorted(person.landmarks) for person in tracker.people]


def test_a_box_moves_and_grows_with_its_landmarks_from_where_the_detector_saw_it():
    marks = np.array([[-3, -6]] * 17 + [[1, 2]] * 51, np.float32)  # mean (0, 0), root of the mean square sqrt(15)
    person = Person()
    person.add(4, marks + [50, 70], np.array([40, 50, 80, 96], np.float32))  # centre (60, 73), side 40
    np.testing.assert_allclose(person.box(), [40, 53, 80, 93], rtol=1e-5)
    person.add(5, 2 * marks + [100, 90])
    assert person.last == 5
    np.testing.assert_allclose(person.box(), [120 - 40, 96 - 40, 120 + 40, 96 + 40], rtol=1e-5)
    np.testing.assert_allclose(person.box(marks), [-10, -17, 30, 23], rtol=1e-5)
    person.add(6, marks, np.array([-8, -9, 12, 11], np.float32))
    np.testing.assert_allclose(person.box(marks * 3), [6 - 30, 3 - 30, 6 + 30, 3 + 30], rtol=1e-5)


def test_landmarks_in_one_point_still_give_a_box():
    person = Person()
    person.add(0, np.full((68, 2), 7, np.float32), np.array([0, 2, 10, 12], np.float32))
    np.testing.assert_allclose(person.box(), [0, 2, 10, 12], atol=1e-4)
    unseen = Person()
    unseen.add(0, np.array([[-3, 1]] * 34 + [[3, 1]] * 34, np.float32))  # no box: as wide as the spread either side
    np.testing.assert_allclose(unseen.box(), [-3, -2, 3, 4], atol=1e-6)


def test_distance_of_boxes_of_two_sizes():
    one, other = np.array([0, 0, 10, 10]), np.array([-4, -2, 26, 28])  # centres (5, 5) and (11, 13), sides 10 and 30
    assert distance(one, other) == pytest.approx(10 / 20 + np.log(3))
    assert distance(other, one) == pytest.approx(10 / 20 + np.log(3))
    assert np.isfinite(distance(one, np.zeros(4)))


@pytest.mark.parametrize("every, expected", [(4, [0, 4, 9, 10]), (2, [0, 2, 5, 8, 10]), (1, [0, 1, 3, 5, 7, 9, 10])])
def test_a_steady_face_is_looked_for_at_the_blocks_ends(track, every, expected):
    tracker, looks = track([[STEADY]] * 11, redetect_every=every)
    assert looks == [(number, 0.5) for number in expected]
    assert spans(tracker) == [list(range(11))] and tracker.examined == list(range(11))


def test_a_single_frame_is_looked_at_once(track):
    tracker, looks = track([[STEADY]])
    assert looks == [(0, 0.5)] and spans(tracker) == [[0]]


def test_blocks_go_by_frame_numbers_not_by_frames_examined(script):
    detector = script.Detector()
    tracker = Tracker(detector, script.landmarks, FaceConfig(redetect_every=6), script.Portrait)
    tracker.run((k, script.Scene([STEADY], k)) for k in range(0, 25, 3))
    assert numbers(detector.looks) == [0, 6, 15, 24] and spans(tracker) == [list(range(0, 25, 3))]


def test_fast_growing_face_is_followed_fit_by_fit(track, script):
    """Over a block it moves further than any single step may, so each fit starts from the one before."""
    faces = [(120 + 35 * k, 150 + 20 * k, 100 + 8 * k) for k in range(10)]
    asked = []

    def landmarks(scene, box):
        asked.append((scene.number, box))
        return script.landmarks(scene, box)

    tracker, looks = track([[face] for face in faces], landmarks=landmarks, redetect_every=9, detect_height=480)
    assert looks == [(0, 1.0), (9, 1.0)]
    for number, (x, y, side) in enumerate(faces):
        np.testing.assert_allclose(tracker.people[0].landmarks[number], script.marks * side / 2 + [x, y], atol=1e-3)
    boxes = [box for number, box in asked if number == 5]
    np.testing.assert_allclose(boxes, [script.square(*faces[4])], atol=1e-2)


def plain(scene, box):
    """Landmarks whose middle is the face's and whose spread is half its side, without any rounding."""
    x, y, side = scene.true[0][:3]
    return np.array([[x - side / 2, y], [x + side / 2, y]] * 34, np.float32)


@pytest.mark.parametrize("x, y, side, plausible", [
    (30, 40, 100, True), (-30, -40, 100, True), (30.25, 40, 100, False), (30, -40.25, 100, False), (50, 0, 100, True),
    (0, 0, 139, True), (0, 0, 140, False), (0, 0, 71, True), (0, 0, 70, False), (0, 0, 150, False), (0, 0, 60, False)])
def test_an_implausible_fit_makes_the_detector_look_at_the_whole_block(track, script, x, y, side, plausible):
    """A spread of 50 allows a step of 50 pixels, and less than 1.4 times more or 0.7 times less spread."""
    then = (300 + x, 220 + y, side)
    tracker, looks = track([[(300, 220, 100)]] * 6 + [[then]] * 4, script.Detector(50), redetect_every=4,
                           detect_height=480, landmarks=plain)
    assert numbers(looks) == [0, 4, 9] + ([] if plausible else [5, 6, 7, 8])
    assert spans(tracker)[0][:6] == list(range(6))


@pytest.mark.parametrize("x, y, inside", [
    (0, 200, True), (-0.25, 200, False), (639.75, 200, True), (640, 200, False), (200, 0, True), (200, -0.25, False),
    (200, 479.75, True), (200, 480, False), (500, 470, True), (500, 500, False)])
def test_landmarks_whose_middle_leaves_the_picture_are_implausible(track, x, y, inside):
    tracker, looks = track([[(x, y, 200)]] * 5, redetect_every=4, landmarks=plain)
    assert numbers(looks) == [0, 4] + ([] if inside else [1, 2, 3])
    assert spans(tracker) == [list(range(5))]


def test_one_implausible_fit_of_two_is_enough(track):
    both, jumped = [(160, 240, 180), (480, 240, 170)], [(160, 240, 180), (480, 350, 170)]
    for order in (1, -1):
        tracker, looks = track([both[::order]] * 7 + [jumped[::order]] * 3, redetect_every=4)
        assert numbers(looks) == [0, 4, 9, 5, 6, 7, 8] and spans(tracker) == [list(range(10))] * 2


@pytest.mark.parametrize("apart, sure, looked, people", [
    (0.39, True, [0, 4, 9], [10]), (0.39, False, [0, 4, 9], [10]), (0.41, True, [0, 4, 1, 2, 3, 9], [10]),
    (0.79, True, [0, 4, 1, 2, 3, 9], [10]), (0.79, False, [0, 4, 1, 2, 3, 9], [10])])
def test_how_far_the_detector_may_be_from_the_fit(track, apart, sure, looked, people):
    off = (300 + apart * 200, 200, 200, sure)
    tracker, looks = track([[STEADY]] * 4 + [([off], [STEADY])] + [([off], [STEADY])] * 5, redetect_every=4)
    assert numbers(looks) == looked
    assert [len(person.landmarks) for person in tracker.people] == people


@pytest.mark.parametrize("off, looked, people", [(64, [0, 4], 1), (128, [0, 4, 1, 2, 3], 1), (129, [0, 4, 1, 2, 3], 2)])
def test_exactly_two_fifths_and_four_fifths_of_a_side(track, off, looked, people):
    """Sides of 160, and landmarks without rounding, so that the distances are 0.4 and 0.8 exactly."""
    face = (200, 200, 160)
    tracker, looks = track([[face]] * 4 + [([(200 + off, 200, 160)], [face])], landmarks=plain, redetect_every=4)
    assert numbers(looks) == looked and len(tracker.people) == people


@pytest.mark.parametrize("sure, expected", [(True, [list(range(4)), [4]]), (False, [list(range(4))])])
def test_a_face_further_off_is_another_if_it_is_sure(track, sure, expected):
    tracker, looks = track([[STEADY]] * 4 + [[(300 + 0.81 * 200, 200, 200, sure)]], redetect_every=4)
    assert numbers(looks) == [0, 4, 1, 2, 3] and spans(tracker) == expected


def test_the_detectors_box_anchors_the_next_fit(track, script):
    seen, asked = (350, 180, 220), []

    def landmarks(scene, box):
        asked.append((scene.number, box))
        return script.landmarks(scene, box)

    track([[STEADY]] * 4 + [([seen], [STEADY])] + [[STEADY]] * 2, redetect_every=4, landmarks=landmarks)
    (box,) = [box for number, box in asked if number == 5]
    np.testing.assert_allclose(box, script.square(*seen), atol=1e-2)


def test_unsure_faces_keep_a_face_alive_and_begin_none(track):
    ghost = (520, 380, 160, False)
    tracker, looks = track([[ghost]] * 4 + [[STEADY, ghost]] * 3 + [[(*STEADY, False), ghost]] * 4 + [[ghost]] * 4,
                           redetect_every=2, gap_window=1)
    assert spans(tracker) == [list(range(4, 11))]
    assert set(numbers(looks)) >= {3, 4, 5, 8, 11}


def test_every_frame_takes_sure_faces_only(track):
    tracker, looks = track([[(*STEADY, k % 3 != 1), (100, 100, 90, False)] for k in range(7)], mode="every-frame")
    assert spans(tracker) == [[0, 2, 3, 5, 6]] and numbers(looks) == list(range(7))


@pytest.mark.parametrize("sure, looked", [(True, [0, 4, 9, 5, 6, 7, 8]), (False, [0, 4, 9])])
def test_a_second_face_makes_the_detector_look_at_the_whole_block_if_it_is_sure(track, sure, looked):
    second = (520, 300, 170, sure)
    tracker, looks = track([[STEADY]] * 7 + [[second, STEADY]] * 3, redetect_every=4)
    assert numbers(looks) == looked
    assert spans(tracker) == [list(range(10))] + ([[7, 8, 9]] if sure else [])


@pytest.mark.parametrize("lost", [0, 1])
def test_one_of_two_lost_makes_the_detector_look_at_the_whole_block(track, lost):
    both = [(160, 240, 180), (480, 240, 170)]
    tracker, looks = track([both] * 7 + [both[1 - lost:2 - lost]] * 3, redetect_every=4)
    assert numbers(looks) == [0, 4, 9, 5, 6, 7, 8]
    assert [len(frames) for frames in spans(tracker)] == ([7, 10] if lost == 0 else [10, 7])


@pytest.mark.parametrize("window, same", [(5, True), (4, False)])
def test_a_face_comes_back_as_the_same_track_within_the_gap_window(track, window, same):
    tracker, _ = track([[STEADY]] * 3 + [[]] * 4 + [[STEADY]] * 2, mode="every-frame", gap_window=window)
    assert spans(tracker) == ([[0, 1, 2, 7, 8]] if same else [[0, 1, 2], [7, 8]])


@pytest.mark.parametrize("window, same", [(6, True), (5, False)])
def test_the_gap_window_goes_by_the_blocks_begin(track, window, same):
    scenes = [[STEADY]] * 5 + [[]] * 7 + [[STEADY]] * 3  # the second block without it begins at 10, 6 after the last
    tracker, looks = track(scenes, redetect_every=4, gap_window=window)
    assert spans(tracker) == ([[*range(5), 12, 13, 14]] if same else [list(range(5)), [12, 13, 14]])
    assert 11 in numbers(looks) and 12 in numbers(looks)


def test_no_gap_window_still_joins_neighbouring_frames(track):
    tracker, _ = track([[STEADY]] * 3 + [[]] + [[STEADY]] * 2, mode="every-frame", gap_window=0)
    assert spans(tracker) == [[0, 1, 2], [4, 5]]


@pytest.mark.parametrize("turned", [1, -1])
def test_nearest_pairs_come_first_when_faces_cross(track, script, turned):
    """Of two that come near one another the nearest pair is taken, then what is left."""
    then = [(290, 240, 200), (330, 240, 200)]  # the first is 0.45 and 0.05 sides from the two, the second 0.65 and 0.15
    tracker, _ = track([[(200, 240, 200), (300, 240, 200)], then[::turned]], mode="every-frame")
    assert len(tracker.people) == 2
    middles = [person.landmarks[1].mean(axis=0)[0] - script.marks.mean(axis=0)[0] * 100 for person in tracker.people]
    np.testing.assert_allclose(middles, [330, 290], atol=1e-2)
