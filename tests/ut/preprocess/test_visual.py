# SPDX-License-Identifier: Apache-2.0
"""Crops of a clip whose every frame says its number, with scripted faces: what is found, filled and cut."""

import numpy as np
import pytest

from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess.geometry import aligned_box, face_boxes
from mindface_eri.preprocess.video import write_video
from mindface_eri.preprocess.visual import sample

COUNT, WIDTH, HEIGHT = 20, 96, 64  # of the numbered clip


@pytest.mark.parametrize("margin, align", [(0.2, False), (0.0, False), (0.4, True)])
def test_boxes_crops_and_landmarks_of_a_walk(extract, margin, align, walk):
    faces = walk.faces(range(COUNT))
    got, _ = extract(faces, detector="dlib", smoothing=0, margin=margin, align=align)
    box = (lambda marks: aligned_box(marks, margin)[0]) if align else (lambda marks: face_boxes(marks, margin))
    for k in range(COUNT):
        np.testing.assert_allclose(got.landmarks[k], walk.marks(*faces[k]), atol=1e-3)
        np.testing.assert_allclose(got.boxes[k], box(walk.marks(*faces[k])), atol=1e-3)
        assert np.median(got.frames[k]) == pytest.approx(walk.shade(k), abs=2)
    assert [FRAME_STATES[s] for s in got.states] == ["detected"] * COUNT and got.present
    assert (got.detector, got.found_share, got.others, got.note) == ("dlib", 1.0, 0, "")
    assert (got.width, got.height, got.frames.shape) == (WIDTH, HEIGHT, (COUNT, 32, 32, 3))
    assert (got.start, got.fps, got.duration) == (pytest.approx(0), pytest.approx(12.5), pytest.approx(1.6))
    np.testing.assert_allclose(got.timestamps, np.arange(COUNT) / 12.5, atol=1e-6)


def test_gaps_are_filled_and_smoothed_with_the_settings_given(extract, walk):
    """Frames 4 to 6 lie within the gap window, 11 to 15 do not, and after 17 there is nothing."""
    faces = walk.faces([0, 1, 2, 3, 7, 8, 9, 10, 16, 17])
    got, _ = extract(faces, detector="dlib", smoothing=0, gap_window=3, margin=0.1)
    states = "DDDDIIIDDDDNNNNNDDNN"
    assert [FRAME_STATES[s][0].upper() for s in got.states] == list(states)
    assert got.found_share == pytest.approx(10 / 20) and got.followed_share == 0
    here = {k: walk.marks(*face) for k, face in faces.items()}
    for k, marks in {**here, 5: (here[3] + here[7]) / 2, 4: (3 * here[3] + here[7]) / 4}.items():
        np.testing.assert_allclose(got.landmarks[k], marks, atol=1e-3)
        np.testing.assert_allclose(got.boxes[k], face_boxes(marks, 0.1), atol=1e-3)
        assert np.median(got.frames[k]) == pytest.approx(walk.shade(k), abs=2)
    for k, shown in {11: 10, 12: 10, 13: 10, 14: 16, 15: 16, 18: 17, 19: 17}.items():
        np.testing.assert_array_equal(got.frames[k], got.frames[shown])
        assert not got.landmarks[k].any() and not got.boxes[k].any()
    calm, _ = extract(faces, detector="dlib", smoothing=1.0, gap_window=3, margin=0.1)
    weights = np.exp(-0.5 * np.arange(4.0) ** 2)
    first = sum(w * here[k] for k, w in enumerate(weights)) / weights.sum()
    np.testing.assert_allclose(calm.landmarks[0], first, atol=1e-3)
    np.testing.assert_allclose(calm.boxes[0], face_boxes(first, 0.1), atol=1e-3)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory, walk):
    """Three grey frames with a bright dot at each eye of a face at (50, 30), its sides 40."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spots = sum(np.exp(-((x + 0.5 - ex) ** 2 + (y + 0.5 - ey) ** 2) / 8)
                for ex, ey in (walk.marks(50, 30, 40)[36], walk.marks(50, 30, 40)[42]))
    frame = np.repeat((40 + 200 * spots)[..., None], 3, axis=2).astype(np.uint8)
    path = tmp_path_factory.mktemp("eyes") / "clip.mp4"
    write_video(path, [frame] * 3, 10)
    return path


@pytest.mark.parametrize("align", [False, True])
def test_alignment_levels_the_eyes_of_the_crops(extract, eyes, align, walk):
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
    assert drop == pytest.approx(0 if align else apart * np.sin(walk.tilt), abs=0.7)
    assert right_x + 32 - left_x == pytest.approx(apart if align else apart * np.cos(walk.tilt), abs=1)


@pytest.mark.parametrize("align", [False, True])
def test_a_crop_is_whole_to_its_corners(extract, align, walk):
    got, _ = extract(dict.fromkeys(range(COUNT), (48, 32, 24)), detector="dlib", align=align, margin=0.05, size=40)
    for k, frame in enumerate(got.frames):
        assert np.abs(frame.astype(int) - walk.shade(k)).max() <= 3


@pytest.mark.parametrize("found, min_share, present", [
    (5, 0.25, True), (5, 0.26, False), (1, 0.0, True), (1, 0.05, True)])
def test_the_least_share_of_frames(extract, found, min_share, present, walk):
    got, _ = extract(walk.faces(range(3, 3 + found)), detector="dlib", min_share=min_share)
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


def test_both_detectors_examine_by_the_clips_frame_rate(extract, walk):
    """Every second frame of 12.5 a second, and the sampled last one."""
    got, looks = extract({}, walk.faces(range(1, 18, 2)), mode="track", redetect_every=1, frames=2)
    assert got.note == "no face in any of 11 frames"
    for asked in looks.values():
        assert set(asked) <= {*range(0, 20, 2), 19}


@pytest.mark.parametrize("first, second, detector, share", [
    (3, 8, "mtcnn", 0.4), (3, 3, "dlib", 0.15), (3, 2, "dlib", 0.15), (4, 20, "dlib", 0.2), (0, 4, "mtcnn", 0.2)])
def test_auto_takes_the_second_detector_where_it_finds_more(extract, first, second, detector, share, walk):
    """The first is enough from min_share on, and stays where the second is no better."""
    one, other = walk.faces(range(first)), walk.faces(range(COUNT - second, COUNT))
    got, looks = extract(one, other, min_share=0.2)
    assert bool(looks["mtcnn"]) is (first < 4)
    if share >= 0.2:
        words = "MTCNN's faces are taken, as dlib found one in 3 of 20 frames, under 20%" if first == 3 else ""
        assert (got.detector, got.note) == (detector, words), "where dlib finds none MTCNN is the paper's way"
        numbers = sorted(one if detector == "dlib" else other)
        assert [k for k, s in enumerate(got.states) if FRAME_STATES[s] == "detected"] == numbers
    else:
        assert (got.detector, got.note) == ("none", f"a face in {first} of 20 frames, need 20%")
    assert got.found_share == pytest.approx(share)


def test_a_detector_that_is_named_is_the_only_one(extract, walk):
    got, looks = extract(walk.faces(range(1)), walk.faces(range(20)), detector="dlib", min_share=0.2)
    assert not looks["mtcnn"] and not got.present
    got, looks = extract(walk.faces(range(20)), walk.faces(range(5, 20)), detector="mtcnn", min_share=0.2)
    assert not looks["dlib"] and got.detector == "mtcnn" and got.found_share == 0.75


def test_only_some_frames_are_sampled_and_repeated_ones_are_cut_alike(extract, numbered, walk):
    faces = walk.faces(range(COUNT))
    few, _ = extract(faces, detector="dlib", smoothing=0, frames=4)  # 0, 6.33, 12.67, 19
    assert [walk.number_of(frame) for frame in few.frames] == [0, 6, 13, 19]
    np.testing.assert_allclose(few.timestamps, np.array([0, 6, 13, 19]) / 12.5, atol=1e-6)
    np.testing.assert_allclose(few.landmarks[2], walk.marks(*faces[13]), atol=1e-3)
    many, _ = extract(faces, detector="dlib", smoothing=0, frames=50)
    picks = sample(np.arange(COUNT) / 12.5, 50)
    assert [walk.number_of(frame) for frame in many.frames] == picks.tolist() and len(set(picks)) == COUNT
