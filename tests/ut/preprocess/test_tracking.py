# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
import numpy as np
import pytest

from mindface_eri.config import FaceConfig
from mindface_eri.preprocess.detectors import Detection
from mindface_eri.preprocess.faces import FaceTrack, stride
from mindface_eri.preprocess.people import choose_person, count_others, join_people
from mindface_eri.preprocess.tracking import Person, Tracker, distance

SHAPE = np.random.default_rng(0).uniform(-1, 1, (68, 2)).astype(np.float32)


class Scene:
    """A picture that only knows where faces really are: {name: (x, y, side)}."""

    width, height, solid_grey = 640, 480, None

    def __init__(self, faces):
        self.faces = faces
        self.solid_grey = self

    def reduced_grey(self, scale):
        return Reduced(self, scale)


class Reduced:
    def __init__(self, scene, scale):
        self.scene, self.shape = scene, (round(480 * scale), round(640 * scale))


class Detector:
    """Finds every face of at least 80 pixels in the reduced picture, as dlib does; counts its calls."""

    colour, max_height = False, 4320

    def __init__(self):
        self.calls = []

    def find(self, image):
        scale = image.shape[1] / 640
        self.calls.append(scale)
        return [Detection(scale * np.array([x - s / 2, y - s / 2, x + s / 2, y + s / 2], np.float32), True)
                for x, y, s in image.scene.faces if s * scale >= 80]


def predict(scene, box):
    """Landmarks of the face nearest to the box, if near; else of whatever is in the box."""
    x, y, s = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]
    near = [f for f in scene.faces if np.hypot(f[0] - x, f[1] - y) < 0.4 * s]
    x, y, s = near[0] if near else (x, y, s)
    return SHAPE * s / 2 + np.array([x, y], np.float32)


def run(scenes, **face):
    detector = Detector()
    tracker = Tracker(detector, predict, FaceConfig(**face))
    tracker.run(enumerate(map(Scene, scenes)))
    return tracker, detector


def test_steady_face_costs_two_looks_a_block_at_most():
    tracker, detector = run([[(300 + k, 200, 200)] for k in range(90)])
    assert len(tracker.people) == 1 and sorted(tracker.people[0].landmarks) == list(range(90))
    assert len(detector.calls) <= 5
    np.testing.assert_allclose(tracker.people[0].landmarks[50], SHAPE * 100 + [350, 200], atol=1e-3)


def test_every_frame_looks_at_every_full_frame():
    _, detector = run([[(300, 200, 200)]] * 20, mode="every-frame")
    assert detector.calls == [1.0] * 20


def test_a_vanished_face_is_lost_on_the_very_frame():
    tracker, _ = run([[(300, 200, 200)]] * 41 + [[]] * 40)
    assert sorted(tracker.people[0].landmarks) == list(range(41))


def test_a_face_that_appears_inside_a_block_is_found_on_the_very_frame():
    tracker, _ = run([[]] * 50 + [[(300, 200, 200)]] * 40)
    assert sorted(tracker.people[0].landmarks) == list(range(50, 90))


def test_a_jump_is_no_longer_the_same_track():
    tracker, _ = run([[(150, 200, 170)]] * 45 + [[(450, 200, 170)]] * 45)
    spans = [(min(p.landmarks), max(p.landmarks)) for p in tracker.people]
    assert spans == [(0, 44), (45, 89)]


def test_small_faces_are_found_at_full_size_and_then_at_the_size_that_they_need():
    tracker, detector = run([[(300, 200, 90)]] * 60)
    assert sorted(tracker.people[0].landmarks) == list(range(60))
    assert detector.calls[:2] == [0.5, 1.0] and set(detector.calls[2:]) == {1.0}


def test_without_faces_full_frames_are_searched_now_and_then_only():
    _, detector = run([[]] * 120)
    assert 3 <= detector.calls.count(1.0) <= 5


def test_two_people_stay_apart_and_are_counted():
    tracker, _ = run([[(160 + k, 240, 170), (520 - k, 240, 180)] for k in range(80)])
    chains = join_people(tracker.people)
    assert len(chains) == 2
    largest = choose_person(chains, "largest", (640, 480))
    first = chains[largest][0].landmarks[10]
    np.testing.assert_allclose(first.mean(axis=0), SHAPE.mean(axis=0) * 90 + [510, 240], atol=1)
    assert count_others(chains, largest, len(tracker.examined)) == 1


def person(frames, x, side):
    one = Person()
    for number in frames:
        box = np.array([x - side / 2, 240 - side / 2, x + side / 2, 240 + side / 2], np.float32)
        one.add(number, SHAPE * side / 2 + np.array([x, 240], np.float32), box)
    return one


def test_tracks_join_where_the_face_comes_back_but_not_across_the_room():
    back = join_people([person(range(10), 100, 80), person(range(30, 40), 120, 85)])
    assert [len(chain) for chain in back] == [2]
    other = join_people([person(range(10), 100, 80), person(range(30, 40), 500, 80)])
    assert [len(chain) for chain in other] == [1, 1]
    both = join_people([person(range(20), 100, 80), person(range(10, 40), 110, 80)])
    assert [len(chain) for chain in both] == [1, 1]


@pytest.mark.parametrize("follow, expected", [("largest", 1), ("center", 2), ("longest", 0)])
def test_whom_to_follow(follow, expected):
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
    track = FaceTrack(np.zeros((10, 68, 2), np.float32), found, missed, "dlib", 0)
    assert track.share == pytest.approx(0.4)  # frames 0 to 3 are nearest to a found one; a tie goes to the later


@pytest.mark.parametrize("fps, expected", [(5, 1), (10, 1), (24, 3), (25, 3), (30, 3), (60, 6)])
def test_ten_frames_a_second_are_examined(fps, expected):
    assert stride(FaceConfig(), fps) == expected
    assert stride(FaceConfig(mode="every-frame"), fps) == 1
    assert stride(FaceConfig(track_stride=2), fps) == 2
