# SPDX-License-Identifier: Apache-2.0
"""One face through a clip: which frames are examined, and what is kept of whom."""

import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.errors import ConfigError
from mindface_eri.preprocess.faces import FaceTrack, Follower, follow_face, stride
from mindface_eri.preprocess.person import Person


@pytest.fixture
def follow(script, replace_dlib):
    """Follows the faces of scenes at 25 frames a second; gives the track and the frames that were examined."""
    def run(scenes, sampled=(), size=(640, 480), fps=25, smallest=80, **face):
        detector, asked = script.Detector(smallest), set()

        def landmarks(scene, box):
            asked.add(scene.number)
            return script.landmarks(scene, box)

        replace_dlib(detector.find, landmarks, script.Portrait)
        pictures = [(k, k / 25, script.Scene(faces, k, size=size)) for k, faces in enumerate(scenes)]
        track = follow_face(pictures, FaceConfig(**face), "dlib", fps,
                            lambda seconds: any(abs(seconds - number / 25) < 1e-6 for number in sampled))
        return track, sorted(asked | {number for number, _ in detector.looks})
    return run


def steady(count):
    return [[(300 + k, 200, 160)] for k in range(count)]


@pytest.mark.parametrize("face, sampled, examined", [
    ({}, (), [0, 3, 6, 9, 12]), ({}, (4, 11), [0, 3, 4, 7, 10, 11]), ({"track_stride": 5}, (), [0, 5, 10]),
    ({"track_stride": 20}, (13,), [0, 13]), ({"mode": "every-frame", "track_stride": 5}, (), list(range(14))),
    ({"fps": 40}, (), [0, 4, 8, 12]), ({"fps": 0}, (2,), list(range(14)))])
def test_frames_to_examine(follow, script, face, sampled, examined):
    track, asked = follow(steady(14), sampled, **face)
    assert asked == examined
    np.testing.assert_array_equal(np.flatnonzero(track.found), examined)
    assert not track.missed.any() and track.found.shape == track.missed.shape == (14,)
    assert (track.detector, track.others, track.share) == ("dlib", 0, 1.0)
    for number in examined:
        np.testing.assert_allclose(track.landmarks[number], script.marks * 80 + [300 + number, 200], atol=1e-3)
    assert track.landmarks.shape == (14, 68, 2) and track.landmarks.dtype == np.float32
    assert not track.landmarks[~track.found].any()


def test_nobody_is_missed_in_every_frame_examined(follow):
    track, _ = follow([[]] * 10, (4,))
    np.testing.assert_array_equal(np.flatnonzero(track.missed), [0, 3, 4, 7])
    assert not track.found.any() and not track.landmarks.any()
    assert (track.detector, track.others, track.share, len(track.found)) == ("dlib", 0, 0.0, 10)


def test_a_clip_without_frames_has_no_share(follow):
    track, _ = follow([])
    assert track.share == 0.0 and len(track.found) == 0


def test_frames_without_the_chosen_person_are_missed(follow):
    """Six frames of somebody, eight of nobody, four of the first again; a second person is beside for some frames."""
    first, second = (200, 240, 160), (480, 240, 130)
    scenes = [[first]] * 4 + [[second, first]] * 2 + [[second]] * 3 + [[]] * 5 + [[first]] * 4
    track, _ = follow(scenes, mode="every-frame", gap_window=2)
    np.testing.assert_array_equal(np.flatnonzero(track.found), [0, 1, 2, 3, 4, 5, 14, 15, 16, 17])
    np.testing.assert_array_equal(track.missed, ~track.found)
    assert track.others == 1 and track.share == pytest.approx(10 / 18)


@pytest.mark.parametrize("whom, x", [("largest", 120), ("center", 330), ("longest", 520)])
@pytest.mark.parametrize("size", [(640, 480), (1280, 960)])
def test_whom_to_follow_goes_by_the_frames_size(follow, script, whom, x, size):
    scale = size[0] / 640
    large, middle, long = ([v * scale for v in face] for face in ((120, 100, 180), (330, 230, 110), (520, 380, 120)))
    scenes = [[middle, long, large]] * 6 + [[long]] * 4
    track, _ = follow(scenes, size=size, smallest=20, follow=whom, mode="every-frame")
    middle_of = track.landmarks[2].mean(axis=0)[0] / scale
    side = {120: 180, 330: 110, 520: 120}[x]
    assert middle_of == pytest.approx(x + script.marks.mean(axis=0)[0] * side / 2, abs=0.1)
    assert track.others == 2


def test_the_middle_of_the_frame_is_half_its_width_and_half_its_height(follow, script):
    """(320, 240): 30 pixels from the first face and 60 from the second; (320, 320) would be 85 and 20 from them."""
    track, _ = follow([[(320, 300, 60), (350, 240, 60)]] * 4, smallest=20, follow="center", mode="every-frame")
    np.testing.assert_allclose(track.landmarks[2], script.marks * 30 + [350, 240], atol=1e-3)


def test_others_are_counted_in_a_twentieth_of_the_frames_examined(follow):
    for passing, others in ((6, 1), (5, 0)):
        scenes = [[(200, 240, 160)] + [(480, 240, 130)] * (k < passing) for k in range(120)]
        assert follow(scenes, mode="every-frame", follow="longest")[0].others == others


def test_frames_not_examined_do_not_count_against_others(follow):
    """Three of 30 frames examined are enough, though a twentieth of all 90 frames would be more."""
    scenes = [[(200, 240, 160)] + [(480, 240, 130)] * (k < 9) for k in range(90)]
    track, asked = follow(scenes, track_stride=3, redetect_every=3, smallest=60)
    assert asked == list(range(0, 90, 3)) and track.others == 1


def test_an_unknown_detector_is_refused():
    with pytest.raises(ConfigError, match="detector 'dlibb' is unknown; did you mean 'dlib'"):
        follow_face([], FaceConfig(), "dlibb", 25, bool)


@pytest.mark.parametrize("states, share", [
    ("f..m", 0.5), ("f...m", 2 / 5), ("m..f", 0.5), ("m...f", 3 / 5), ("..m....f", 3 / 8), ("..f.....", 1.0),
    ("....", 0.0), ("mmmf", 0.25), ("ffm.....m.f", 4 / 11)])
def test_frames_not_looked_at_count_as_the_nearest(states, share):
    found, missed = (np.array([s == letter for s in states]) for letter in "fm")
    track = FaceTrack(np.zeros((len(states), 68, 2), np.float32), found, missed, "dlib", 0, found)
    assert track.share == pytest.approx(share)


def test_the_stride_of_the_paper_and_ours():
    assert stride(FaceConfig(mode="every-frame", track_stride=7), 60) == 1
    assert stride(FaceConfig(track_stride=7), 60) == 7
    assert [stride(FaceConfig(), fps) for fps in (0.5, 10.01, 20, 20.1, 119.88)] == [1, 2, 2, 3, 12]


def test_a_film_that_goes_on_is_numbered_from_what_is_kept(script, replace_dlib):
    replace_dlib(script.Detector().find, script.landmarks, script.Portrait)
    follower, scenes = Follower(FaceConfig(), "dlib"), steady(21)
    for first in (0, 7, 14):
        follower.run((k, script.Scene(scenes[k], k)) for k in range(first, first + 7))
    follower._tracker.cuts.extend([4, 15])
    follower.forget(10)
    track = follower.track(10, 21, (640, 480))
    assert track.cuts == (5,) and track.found.all() and np.flatnonzero(track.seen).tolist() == [3, 10]
    assert np.allclose(track.landmarks.mean(axis=1)[:, 0] - script.marks.mean(axis=0)[0] * 80, 310 + np.arange(11))


def test_a_track_that_forgets(script):
    person = Person()
    for number in (1, 5, 9):
        person.add(number, script.marks + number, np.array([0, 0, 2, 2], np.float32))
    person.keep(5, "a portrait", 1)
    other = person.split(5, "another")
    other.forget(4)
    person.forget(4)
    assert list(person.landmarks) == [5] == list(person.seen) and other.before == (person, 5)
    assert person.portraits == {5: "a portrait"}  # it says whose face it is
    other.forget(6)  # from which frame on it was the other's nobody knows, and all that may be has gone
    assert other.before is None and person.landmarks == {} and list(other.landmarks) == [9]
