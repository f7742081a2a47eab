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
"""Crops of a clip whose every frame says its number, with scripted faces: what is sampled, found, filled and cut."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.config import FaceConfig, PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess import visual
from mindface_eri.preprocess.detectors import Detection, MtcnnDetector
from mindface_eri.preprocess.geometry import aligned_box, face_boxes
from mindface_eri.preprocess.video import scan, write_video
from mindface_eri.preprocess.visual import extract_faces, sample

COUNT, WIDTH, HEIGHT = 20, 96, 64
# Brows to chin, seen by a camera that is tilted: 2 wide, eyes not level.
TILT = np.deg2rad(20)
TURN = np.array([[np.cos(TILT), np.sin(TILT)], [-np.sin(TILT), np.cos(TILT)]])


def level_marks():
    marks = np.random.default_rng(1).uniform([-1, -0.9], [1, 0.8], (68, 2))
    marks[36:42], marks[42:48] = [-0.4, -0.3], [0.4, -0.3]
    return marks


MARKS = (level_marks() @ TURN).astype(np.float32)


def shade(number):
    return 20 + 10 * number


def number_of(image):
    """Luma has 219 steps from 16 on, where RGB has 255."""
    level = float(np.median(image))
    return round(((level - 16) * 255 / 219 if image.ndim == 2 else level) / 10) - 2


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """20 flat frames, 12.5 a second, frame k of brightness 20 + 10 k."""
    path = tmp_path_factory.mktemp("numbered") / "clip.mp4"
    write_video(path, (np.full((HEIGHT, WIDTH, 3), shade(k), np.uint8) for k in range(COUNT)), 12.5)
    return path


@pytest.fixture
def extract(numbered, monkeypatch, replace_dlib):
    """extract_faces where dlib finds `faces`, {frame: (x, y, side)}, and MTCNN `others`."""
    def run(faces, others=None, frames=COUNT, path=numbered, number=number_of, planned=None, **face):
        looks = {"dlib": [], "mtcnn": []}

        def finder(name, table):
            def find(image):
                looks[name].append(number(image))
                at = table.get(looks[name][-1])
                scale = image.shape[1] / WIDTH
                if at is None:
                    return []
                x, y, side = at
                box = scale * np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
                return [Detection(box.astype(np.float32), True)]
            return find

        def landmarks(grey, box):
            table = {**(others or {}), **faces}
            x, y, side = table.get(number(grey), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]))
            return MARKS * side / 2 + np.array([x, y], np.float32)

        replace_dlib(finder("dlib", faces), landmarks)
        find = finder("mtcnn", others or {})
        monkeypatch.setattr(MtcnnDetector, "__init__", lambda self: None)
        monkeypatch.setattr(MtcnnDetector, "find", lambda self, image: find(image))
        config = PreprocessConfig(frames=frames, face=FaceConfig(**{"mode": "every-frame", "size": 32, **face}))
        info, announced = scan(path)
        return extract_faces(path, info, announced if planned is None else planned, config), looks
    return run


def walking(numbers):
    return {k: (30 + 2 * k, 28 + k, 24 + (k % 3)) for k in numbers}


def marks_at(x, y, side):
    return MARKS * side / 2 + np.array([x, y], np.float32)


@pytest.mark.parametrize("margin, align", [(0.2, False), (0.0, False), (0.4, True)])
def test_boxes_crops_and_landmarks_of_a_walk(extract, margin, align):
    faces = walking(range(COUNT))
    got, _ = extract(faces, detector="dlib", smoothing=0, margin=margin, align=align)
    box = (lambda marks: aligned_box(marks, margin)[0]) if align else (lambda marks: face_boxes(marks, margin))
    for k in range(COUNT):
        np.testing.assert_allclose(got.landmarks[k], marks_at(*faces[k]), atol=1e-3)
        np.testing.assert_allclose(got.boxes[k], box(marks_at(*faces[k])), atol=1e-3)
        assert np.median(got.frames[k]) == pytest.approx(shade(k), abs=2)
    assert [FRAME_STATES[s] for s in got.states] == ["detected"] * COUNT and got.present
    assert (got.detector, got.found_share, got.others, got.note) == ("dlib", 1.0, 0, "")
    assert (got.width, got.height, got.frames.shape) == (WIDTH, HEIGHT, (COUNT, 32, 32, 3))
    assert (got.start, got.fps, got.duration) == (pytest.approx(0), pytest.approx(12.5), pytest.approx(1.6))
    np.testing.assert_allclose(got.timestamps, np.arange(COUNT) / 12.5, atol=1e-6)


def test_gaps_are_filled_and_smoothed_with_the_settings_given(extract):
    """Frames 4 to 6 lie within the gap window, 11 to 15 do not, and 16 on are held for two."""
    faces = walking([0, 1, 2, 3, 7, 8, 9, 10, 16, 17])
    got, _ = extract(faces, detector="dlib", smoothing=0, gap_window=3, hold_window=2, margin=0.1)
    states = "DDDDIIIDDDDHHNHHDDHH"
    assert [FRAME_STATES[s][0].upper() for s in got.states] == list(states)
    assert got.found_share == pytest.approx(10 / 20)
    here = {k: marks_at(*face) for k, face in faces.items()}
    expected = {**here, 5: (here[3] + here[7]) / 2, 4: (3 * here[3] + here[7]) / 4, 11: here[10], 12: here[10],
                14: here[16], 15: here[16], 18: here[17], 19: here[17]}
    for k, marks in expected.items():
        np.testing.assert_allclose(got.landmarks[k], marks, atol=1e-3)
        np.testing.assert_allclose(got.boxes[k], face_boxes(marks, 0.1), atol=1e-3)
        assert np.median(got.frames[k]) == pytest.approx(shade(k), abs=2)
    for array in (got.landmarks, got.boxes, got.frames):
        assert not array[13].any()
    calm, _ = extract(faces, detector="dlib", smoothing=1.0, gap_window=3, hold_window=2, margin=0.1)
    weights = np.exp(-0.5 * np.arange(4.0) ** 2)
    first = sum(w * here[k] for k, w in enumerate(weights)) / weights.sum()
    np.testing.assert_allclose(calm.landmarks[0], first, atol=1e-3)
    np.testing.assert_allclose(calm.boxes[0], face_boxes(first, 0.1), atol=1e-3)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Three grey frames with a bright dot at each eye of a face at (50, 30), its sides 40."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spots = sum(np.exp(-((x + 0.5 - ex) ** 2 + (y + 0.5 - ey) ** 2) / 8)
                for ex, ey in (marks_at(50, 30, 40)[36], marks_at(50, 30, 40)[42]))
    frame = np.repeat((40 + 200 * spots)[..., None], 3, axis=2).astype(np.uint8)
    path = tmp_path_factory.mktemp("eyes") / "clip.mp4"
    write_video(path, [frame] * 3, 10)
    return path


@pytest.mark.parametrize("align", [False, True])
def test_alignment_levels_the_eyes_of_the_crops(extract, eyes, align):
    got, _ = extract({0: (50, 30, 40)}, path=eyes, number=lambda image: 0, detector="dlib", frames=3, align=align,
                     margin=0.1, size=64)
    found = []
    for half in (got.frames[1][:, :32, 1], got.frames[1][:, 32:, 1]):
        weights = np.clip(half.astype(float) - 90, 0, None)
        down, right = (np.indices(half.shape) * weights).sum(axis=(1, 2)) / weights.sum()
        found.append((right, down))
    (left_x, left_y), (right_x, right_y) = found
    side = got.boxes[1][2] - got.boxes[1][0]
    apart = 0.8 * 20 * 64 / side  # of eyes 0.8 half sides apart, in pixels of the crop
    drop = right_y - left_y
    assert drop == pytest.approx(0 if align else apart * np.sin(TILT), abs=0.7)
    assert right_x + 32 - left_x == pytest.approx(apart if align else apart * np.cos(TILT), abs=1)


@pytest.mark.parametrize("align", [False, True])
def test_a_crop_is_whole_to_its_corners(extract, align):
    got, _ = extract(dict.fromkeys(range(COUNT), (48, 32, 24)), detector="dlib", align=align, margin=0.05, size=40)
    for k, frame in enumerate(got.frames):
        assert np.abs(frame.astype(int) - shade(k)).max() <= 3


@pytest.mark.parametrize("found, min_share, present", [
    (5, 0.25, True), (5, 0.26, False), (1, 0.0, True), (1, 0.05, True)])
def test_the_least_share_of_frames(extract, found, min_share, present):
    got, _ = extract(walking(range(3, 3 + found)), detector="dlib", min_share=min_share)
    assert got.present is present and got.found_share == pytest.approx(found / COUNT)
    assert got.note == ("" if present else "a face in 5 of 20 frames, need 26%")
    assert got.detector == ("dlib" if present else "none")
    if not present:
        assert not got.frames.any() and not got.boxes.any() and not got.landmarks.any() and got.frames.shape[0] == COUNT
        assert (got.width, got.height, got.duration) == (WIDTH, HEIGHT, pytest.approx(1.6))


@pytest.mark.parametrize("min_share", [0.0, 0.5])
def test_no_face_at_all(extract, min_share):
    got, looks = extract({}, min_share=min_share, mode="track", track_stride=6)
    assert (got.note, got.found_share, got.present) == ("no face in any of 20 frames", 0.0, False)
    assert looks["dlib"] and looks["mtcnn"]
    rare, _ = extract({}, min_share=min_share, mode="track", track_stride=6, frames=2)
    assert rare.note == "no face in any of 5 frames"  # 0, 6, 12, 18 and the last, which is sampled


def test_both_detectors_examine_by_the_clips_frame_rate(extract):
    """Every second frame of 12.5 a second, and the sampled last one."""
    got, looks = extract({}, walking(range(1, 18, 2)), mode="track", redetect_every=1, frames=2)
    assert got.note == "no face in any of 11 frames"
    for asked in looks.values():
        assert set(asked) <= {*range(0, 20, 2), 19}


@pytest.mark.parametrize("first, second, detector, share", [
    (3, 8, "mtcnn", 0.4), (3, 3, "dlib", 0.15), (3, 2, "dlib", 0.15), (4, 20, "dlib", 0.2), (0, 4, "mtcnn", 0.2)])
def test_auto_takes_the_second_detector_where_it_finds_more(extract, first, second, detector, share):
    """The first is enough from min_share on, and stays where the second is no better."""
    one, other = walking(range(first)), walking(range(COUNT - second, COUNT))
    got, looks = extract(one, other, min_share=0.2)
    assert bool(looks["mtcnn"]) is (first < 4)
    if share >= 0.2:
        assert (got.detector, got.note) == (detector, "")
        numbers = sorted(one if detector == "dlib" else other)
        assert [k for k, s in enumerate(got.states) if FRAME_STATES[s] == "detected"] == numbers
    else:
        assert (got.detector, got.note) == ("none", f"a face in {first} of 20 frames, need 20%")
    assert got.found_share == pytest.approx(share)


def test_a_detector_that_is_named_is_the_only_one(extract):
    got, looks = extract(walking(range(1)), walking(range(20)), detector="dlib", min_share=0.2)
    assert not looks["mtcnn"] and not got.present
    got, looks = extract(walking(range(20)), walking(range(5, 20)), detector="mtcnn", min_share=0.2)
    assert not looks["dlib"] and got.detector == "mtcnn" and got.found_share == 0.75


def test_only_some_frames_are_sampled_and_repeated_ones_are_cut_alike(extract, numbered):
    faces = walking(range(COUNT))
    few, _ = extract(faces, detector="dlib", smoothing=0, frames=4)  # 0, 6.33, 12.67, 19
    assert [number_of(frame) for frame in few.frames] == [0, 6, 13, 19]
    np.testing.assert_allclose(few.timestamps, np.array([0, 6, 13, 19]) / 12.5, atol=1e-6)
    np.testing.assert_allclose(few.landmarks[2], marks_at(*faces[13]), atol=1e-3)
    many, _ = extract(faces, detector="dlib", smoothing=0, frames=50)
    picks = sample(np.arange(COUNT) / 12.5, 50)
    assert [number_of(frame) for frame in many.frames] == picks.tolist() and len(set(picks)) == COUNT


@pytest.mark.parametrize("first", [0, COUNT])
def test_sampled_frames_are_always_examined(extract, first):
    """Frame 9 is no seventh frame, yet it is found, not interpolated; by the second detector as by the first."""
    got, looks = extract(walking(range(first)), walking(range(COUNT)), frames=3, mode="track", track_stride=7,
                         redetect_every=1)
    assert [FRAME_STATES[s] for s in got.states] == ["detected"] * 3
    assert set(looks[got.detector]) <= {0, 7, 9, 16, 19} and got.detector == ("dlib" if first else "mtcnn")


@pytest.fixture
def decodes(monkeypatch):
    """Numbers of frames that each decode gave, and `clock`, a function of the seconds that they say."""
    counts, read = [], visual.read_frames
    told = SimpleNamespace(counts=counts, clock=lambda seconds: seconds)

    def counted(path):
        counts.append(0)
        for seconds, picture in read(path):
            counts[-1] += 1
            yield told.clock(seconds), picture

    monkeypatch.setattr(visual, "read_frames", counted)
    return told


def test_frames_too_large_to_keep_cost_a_second_decode(extract, decodes, monkeypatch):
    """The budget is for all sampled frames together, and an eighth of it where there are more than 64 of them."""
    faces, frame = walking(range(COUNT)), WIDTH * HEIGHT * 3 // 2
    crops = []
    for frames, budget, expected in (
            (4, 4 * frame, [20]), (4, 4 * frame - 1, [20, 20]), (1, frame - 1, [20, 1]), (64, 20 * frame, [20]),
            (65, 20 * 8 * frame, [20]), (65, 20 * 8 * frame - 8, [20, 20])):
        monkeypatch.setattr(visual, "_BUDGET", budget)
        decodes.counts.clear()
        got, _ = extract(faces, detector="dlib", frames=frames)
        assert decodes.counts == expected
        crops.append(got.frames)
    np.testing.assert_array_equal(crops[0], crops[1])
    np.testing.assert_array_equal(crops[4], crops[5])


@pytest.mark.parametrize("wrong", ["later", "none", "all alike"])
def test_packets_that_announce_other_times_cost_nothing_but_time(extract, numbered, wrong):
    """As in a damaged file: the frames to keep are not met, so they are fetched."""
    planned = scan(numbered)[1]
    planned = {"later": planned + 0.013, "none": planned[:0], "all alike": planned * 0}[wrong]
    expected, _ = extract(walking(range(COUNT)), detector="dlib", frames=6)
    got, _ = extract(walking(range(COUNT)), detector="dlib", frames=6, planned=planned)
    np.testing.assert_array_equal(got.frames, expected.frames)
    np.testing.assert_array_equal(got.boxes, expected.boxes)


@pytest.mark.parametrize("off, expected", [(9e-7, [20]), (-9e-7, [20]), (2e-6, [20, 20]), (-2e-6, [20, 20])])
def test_announced_times_are_met_within_a_microsecond(extract, decodes, numbered, off, expected):
    planned = scan(numbered)[1] + off
    extract(walking(range(COUNT)), detector="dlib", frames=5, planned=planned)
    assert decodes.counts == expected


def test_times_that_begin_late_and_come_unevenly(extract, decodes):
    """15 steps of 0.08 s from second 3 on, then four of 0.5 s; the last frame lasts a usual step."""
    decodes.clock = lambda seconds: 3 + seconds + max(0.0, seconds - 1.2) * 0.42 / 0.08
    times = np.concatenate([3 + 0.08 * np.arange(16), 4.2 + 0.5 * np.arange(1, 5)])
    faces = walking(range(COUNT))
    got, _ = extract(faces, detector="dlib", frames=5, smoothing=0, planned=times)
    assert (got.start, got.fps) == (pytest.approx(3), pytest.approx(12.5))
    assert got.duration == pytest.approx(1.2 + 2 + 0.08)
    picks = [0, 10, 16, 17, 19]  # nearest to 0, 0.8, 1.6, 2.4, 3.2 s after the first
    np.testing.assert_allclose(got.timestamps, times[picks] - 3, atol=1e-6)
    assert [number_of(frame) for frame in got.frames] == picks and decodes.counts == [20]
    for k, marks in zip(picks, got.landmarks):
        np.testing.assert_allclose(marks, marks_at(*faces[k]), atol=1e-3)


def test_a_single_frame_lasts_as_long_as_the_rate_says(extract, tmp_path):
    write_video(tmp_path / "one.mp4", [np.full((HEIGHT, WIDTH, 3), shade(5), np.uint8)], 8)
    got, _ = extract(walking([5]), path=tmp_path / "one.mp4", detector="dlib", frames=3)
    assert (got.duration, got.fps) == (pytest.approx(1 / 8), pytest.approx(8))
    assert [number_of(frame) for frame in got.frames] == [5, 5, 5] and not got.timestamps.any()
    info, planned = scan(tmp_path / "one.mp4")
    got = extract_faces(tmp_path / "one.mp4", replace(info, fps=0.0), planned, PreprocessConfig(frames=3))
    assert (got.duration, got.fps) == (pytest.approx(0.04), pytest.approx(25))
