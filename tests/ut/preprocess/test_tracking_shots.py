# SPDX-License-Identifier: Apache-2.0
"""Tracks in films that are cut, and where another face, or none, stands where a face was: detector, fits and identity
are scripted, what is to be seen is painted."""

import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.faces import follow_face
from mindface_eri.preprocess.geometry import DETECTED, INTERPOLATED, NONE, fill_gaps
from mindface_eri.preprocess.tracking import Tracker

PLACE = (320, 240, 160)  # of the face in every scene
SIZE = (640, 480)


def blotches(seed, height, width):
    return np.random.default_rng(seed).integers(30, 220, (height // 16, width // 16)).repeat(16, 0).repeat(16, 1)


ROOMS = {name: blotches(ord(name), 480, 640) for name in "xyz"}
FACES = {name: blotches(ord(name), 208, 208) for name in "ABC"}


class Portrait:
    """Reads from the painted picture whose face it is."""

    def __init__(self, picture, landmarks):
        self.who, self.numbers, self.open = picture.who, np.zeros(128), True
        self.numbers["ABC".index(self.who) if self.who in FACES else 99] = 1.0

    def cut(self):
        """Lets the picture go."""
        self.open = False


@pytest.fixture
def film(script):
    """(frame number, seconds, picture) of a film in words: "xA" is face A in room x, "x-" the empty room, "x*" the room
    and A's face unseen by the detector; a number repeats the word. A list may hold such words and triples, (word, word,
    weight), for blends."""
    def make(*words):
        scenes = []
        for word in words:
            one, other, weight = word if isinstance(word, tuple) else (word, word, 0.0)
            seen = one[1] not in "-*"
            scene = script.Scene([PLACE] if seen else [], len(scenes), [PLACE], SIZE)
            scene.solid_grey[:] = np.round((1 - weight) * paint(one) + weight * paint(other)).astype(np.uint8)
            scene.who = (other if weight > 0.5 else one)[1]
            scenes.append((len(scenes), len(scenes) / 25, scene))
        return scenes
    return make


def paint(word):
    picture = ROOMS[word[0]].astype(float)
    if word[1] != "-":
        picture[136:344, 216:424] = FACES["A" if word[1] == "*" else word[1]]
    return picture


@pytest.fixture
def follow(film, script, replace_dlib):
    """The track of the person who is followed, its states, and what was looked at."""
    def run(*words, sampled=(), **face):
        detector = script.Detector()
        replace_dlib(detector.find, script.landmarks, Portrait)
        config = FaceConfig(**face)
        track = follow_face(film(*words), config, "dlib", 25, lambda seconds: round(seconds * 25) in sampled)
        barriers = (*track.cuts, *track.taken)
        _, states = fill_gaps(track.landmarks, track.found, track.missed, config.gap_window, barriers)
        return track, "".join({DETECTED: "D", INTERPOLATED: "I", NONE: "."}[s] for s in states), detector.looks
    return run


EVERY = [{"mode": "every-frame"}, {"track_stride": 1, "redetect_every": 12}]


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize("rooms", ["xxxx", "xyxz", "xyzx"])
def test_the_person_shown_longest_is_followed_across_cuts_and_the_others_are_counted(follow, mode, rooms):
    words = [rooms[0] + "A"] * 14 + [rooms[1] + "B"] * 10 + [rooms[2] + "A"] * 7 + [rooms[3] + "C"] * 16
    track, states, _ = follow(*words, **mode)
    assert states == "D" * 14 + "." * 10 + "D" * 7 + "." * 16
    assert track.others == 2 and track.share == pytest.approx(21 / 47)
    assert follow(*words, follow="first", **mode)[1] == states
    assert follow(*(words * 1 + ["yB"] * 30), **mode)[1] == "." * 14 + "D" * 10 + "." * 23 + "D" * 30


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize("away", [3, 9, 20])
def test_a_cut_away_and_back_is_not_filled_however_short(follow, mode, away):
    track, states, _ = follow(*["xA"] * 20, *["y-"] * away, *["xA"] * 11, **mode)
    assert states == "D" * 20 + "." * away + "D" * 11 and track.others == 0
    assert track.cuts == (20, 20 + away)


@pytest.mark.parametrize("mode", EVERY)
def test_somebody_else_for_a_moment_in_the_same_room_is_not_filled(follow, mode):
    """No cut is seen there: only that another face has the place."""
    track, states, _ = follow(*["xA"] * 20, *["xB"] * 5, *["xA"] * 11, **mode)
    assert states == "D" * 20 + "." * 5 + "D" * 11 and set(range(20, 25)) <= set(track.taken)


@pytest.mark.parametrize("window, filled", [(12, True), (4, False)])
def test_a_face_that_is_unseen_for_a_moment_is_filled_within_the_window(follow, window, filled):
    track, states, _ = follow(*["xA"] * 20, *["x*"] * 5, *["xA"] * 11, mode="every-frame", gap_window=window)
    assert states == "D" * 20 + ("I" if filled else ".") * 5 + "D" * 11 and track.others == 0


def test_a_face_that_leaves_within_a_block_is_lost_at_once(follow):
    """Whatever is fitted to the place: it looks another there. The detector is asked in that block alone."""
    words = [*["xA"] * 40, *["x-"] * 8, *["xA"] * 52]
    track, states, looks = follow(*words, track_stride=1, redetect_every=30, gap_window=6)
    assert states == "D" * 40 + "." * 8 + "D" * 52
    asked = [number for number, _ in looks]
    assert len([number for number in asked if number < 31]) <= 3 and set(range(40, 48)) <= set(asked)


def test_a_calm_face_is_not_asked_for_who_it_is(film, script):
    tracker = Tracker(script.Detector(), script.landmarks, FaceConfig(), Portrait)
    tracker.run((number, picture) for number, _, picture in film(*["xA"] * 70))
    (person,) = tracker.people
    assert tracker.cuts == [] and all(portrait.open for portrait in person.portraits.values())
    assert sorted(person.portraits) == [0, 30, 61] and len(person.landmarks) == 70


def test_portraits_of_several_let_their_pictures_go(film, script):
    tracker = Tracker(script.Detector(), script.landmarks, FaceConfig(), Portrait)
    tracker.run((number, picture) for number, _, picture in film(*["xA"] * 40, *["yB"] * 40))
    assert len(tracker.people) == 2 and tracker.cuts == [40]
    assert not any(portrait.open for person in tracker.people for portrait in person.portraits.values())


@pytest.mark.parametrize("mode", [{"mode": "every-frame"}, {"track_stride": 1}])
def test_a_dissolve_from_one_person_to_another_belongs_to_neither(follow, mode):
    blend = [("xA", "yB", k / 24) for k in range(1, 24)]
    track, states, _ = follow(*["xA"] * 65, *blend, *["yB"] * 40, redetect_every=30, **mode)
    assert track.others == 1 and not track.found[70:].any() and states[:60] == "D" * 60


def test_a_dissolve_to_the_same_person_goes_on(follow):
    """The scene changes and the face moves on: one person, every frame."""
    blend = [("xA", "yA", k / 24) for k in range(1, 24)]
    track, states, _ = follow(*["xA"] * 65, *blend, *["yA"] * 40, track_stride=1, redetect_every=30)
    assert track.others == 0 and states == "D" * 128


def test_frames_that_were_not_looked_at_are_not_filled_across_a_cut(follow):
    track, states, _ = follow(*["xA"] * 20, *["yA"] * 20, track_stride=6)
    assert track.cuts == (24,)  # the first that was looked at of the second shot
    assert states == "DIIIII" * 3 + "D....." + "DIIIII" * 2 + "D..."


def test_seen_and_followed_are_told_apart(follow):
    track, _, looks = follow(*["xA"] * 60, track_stride=1, redetect_every=20)
    asked = sorted({number for number, _ in looks})
    assert np.flatnonzero(track.seen).tolist() == asked == [0, 20, 41, 59]
    assert track.share == 1.0 and track.followed_share == pytest.approx(56 / 60)
    every, _, _ = follow(*["xA"] * 60, mode="every-frame")
    assert every.seen.all() and every.followed_share == 0.0
