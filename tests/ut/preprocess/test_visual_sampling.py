# SPDX-License-Identifier: Apache-2.0
"""Which frames are sampled, which are examined, which are kept, and what a clip without a face gives."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.config import PreprocessConfig
from mindface_eri.constants import FRAME_STATES
from mindface_eri.preprocess import visual
from mindface_eri.preprocess.video import scan, write_video
from mindface_eri.preprocess.visual import Visual, extract_faces, repeat_nearest, sample

COUNT, WIDTH, HEIGHT = 20, 96, 64  # of the numbered clip


@pytest.mark.parametrize("first", [0, COUNT])
def test_sampled_frames_are_always_examined(extract, first, walk):
    """Frame 9 is no seventh frame, yet it is found, not interpolated; by the second detector as by the first."""
    got, looks = extract(walk.faces(range(first)), walk.faces(range(COUNT)), frames=3, mode="track", track_stride=7,
                         redetect_every=1)
    assert [FRAME_STATES[s] for s in got.states] == ["detected"] * 3
    assert set(looks[got.detector]) <= {0, 7, 9, 16, 19} and got.detector == ("dlib" if first else "mtcnn")


@pytest.fixture
def decodes(monkeypatch):
    """Numbers of frames that each decode gave, and `clock`, a function of the seconds that they say."""
    counts, read = [], visual.read_frames
    told = SimpleNamespace(counts=counts, clock=lambda seconds: seconds)

    def counted(path, info):
        counts.append(0)
        for seconds, picture in read(path, info):
            counts[-1] += 1
            yield told.clock(seconds), picture

    monkeypatch.setattr(visual, "read_frames", counted)
    return told


def test_frames_too_large_to_keep_cost_a_second_decode(extract, decodes, monkeypatch, walk):
    """The budget is for all sampled frames together, and an eighth of it where there are more than 64 of them."""
    faces, frame = walk.faces(range(COUNT)), WIDTH * HEIGHT * 3 // 2
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
def test_packets_that_announce_other_times_cost_nothing_but_time(extract, numbered, wrong, walk):
    """As in a damaged file: the frames to keep are not met, so they are fetched."""
    planned = scan(numbered)[1]
    planned = {"later": planned + 0.013, "none": planned[:0], "all alike": planned * 0}[wrong]
    expected, _ = extract(walk.faces(range(COUNT)), detector="dlib", frames=6)
    got, _ = extract(walk.faces(range(COUNT)), detector="dlib", frames=6, planned=planned)
    np.testing.assert_array_equal(got.frames, expected.frames)
    np.testing.assert_array_equal(got.boxes, expected.boxes)


@pytest.mark.parametrize("off, expected", [(9e-7, [20]), (-9e-7, [20]), (2e-6, [20, 20]), (-2e-6, [20, 20])])
def test_announced_times_are_met_within_a_microsecond(extract, decodes, numbered, off, expected, walk):
    planned = scan(numbered)[1] + off
    extract(walk.faces(range(COUNT)), detector="dlib", frames=5, planned=planned)
    assert decodes.counts == expected


def test_times_that_begin_late_and_come_unevenly(extract, decodes, walk):
    """15 steps of 0.08 s from second 3 on, then four of 0.5 s; the last frame lasts a usual step."""
    decodes.clock = lambda seconds: 3 + seconds + max(0.0, seconds - 1.2) * 0.42 / 0.08
    times = np.concatenate([3 + 0.08 * np.arange(16), 4.2 + 0.5 * np.arange(1, 5)])
    faces = walk.faces(range(COUNT))
    got, _ = extract(faces, detector="dlib", frames=5, smoothing=0, planned=times)
    assert (got.start, got.fps) == (pytest.approx(3), pytest.approx(12.5))
    assert got.duration == pytest.approx(1.2 + 2 + 0.08)
    picks = [0, 10, 16, 17, 19]  # nearest to 0, 0.8, 1.6, 2.4, 3.2 s after the first
    np.testing.assert_allclose(got.timestamps, times[picks] - 3, atol=1e-6)
    assert [walk.number_of(frame) for frame in got.frames] == picks and decodes.counts == [20]
    for k, marks in zip(picks, got.landmarks):
        np.testing.assert_allclose(marks, walk.marks(*faces[k]), atol=1e-3)


def test_a_single_frame_lasts_as_long_as_the_rate_says(extract, tmp_path, walk):
    write_video(tmp_path / "one.mp4", [np.full((HEIGHT, WIDTH, 3), walk.shade(5), np.uint8)], 8)
    got, _ = extract(walk.faces([5]), path=tmp_path / "one.mp4", detector="dlib", frames=3)
    assert (got.duration, got.fps) == (pytest.approx(1 / 8), pytest.approx(8))
    assert [walk.number_of(frame) for frame in got.frames] == [5, 5, 5] and not got.timestamps.any()
    info, planned = scan(tmp_path / "one.mp4")
    got = extract_faces(tmp_path / "one.mp4", replace(info, fps=0.0), planned, PreprocessConfig(frames=3), 3)
    assert (got.duration, got.fps) == (pytest.approx(0.04), pytest.approx(25))


def test_nothing_is_all_zeros():
    empty = Visual.empty(np.array([0.0, 0.5, 1.5]), 40)
    assert (empty.frames.shape, empty.frames.dtype) == ((3, 40, 40, 3), np.uint8)
    assert (empty.boxes.shape, empty.boxes.dtype) == ((3, 4), np.float32)
    assert (empty.landmarks.shape, empty.landmarks.dtype) == ((3, 68, 2), np.float32)
    assert (empty.states.shape, empty.states.dtype) == ((3,), np.uint8)
    for array in (empty.frames, empty.boxes, empty.landmarks, empty.states):
        assert not array.any()
    assert (empty.detector, empty.found_share, empty.others, empty.duration, empty.fps) == ("none", 0.0, 0, 0.0, 0.0)
    assert np.isnan(empty.start) and not empty.present and (empty.width, empty.height, empty.note) == (0, 0, "")
    np.testing.assert_array_equal(empty.timestamps, [0.0, 0.5, 1.5])
    held = replace(empty, states=np.array([0, FRAME_STATES.index("held"), 0], np.uint8))
    assert held.present


def test_instants_without_a_face_repeat_the_nearest_crop_in_time():
    crops = np.arange(1, 8, dtype=np.uint8)[:, None, None, None] * np.ones((7, 2, 2, 3), np.uint8)
    times = np.array([0.0, 1.0, 1.9, 3.0, 4.0, 9.0, 9.5])  # uneven: the third is nearer to the fourth in number alone
    repeat_nearest(crops, np.array([0, 3, 0, 0, 2, 0, 0], np.uint8), times, 7)
    assert crops[:, 0, 0, 0].tolist() == [2, 2, 2, 5, 5, 5, 5]
    assert (crops == crops[:, :1, :1, :1]).all()


@pytest.mark.parametrize("states, shown", [
    ([3, 3, 0, 3, 0], [1, 2, 1, 4, 1]),  # the third and the fifth belong to the coarse ones, which know the first alone
    ([0, 3, 0, 0, 0], [0, 2, 0, 2, 0]), ([0, 0, 3, 0, 0], [3, 3, 3, 3, 3]), ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0])])
def test_coarse_instants_repeat_each_other_as_when_they_are_alone(states, shown):
    states, times = np.array(states), np.arange(5)
    crops = (np.arange(1, 6) * (states > 0))[:, None]
    alone = crops[::2].copy()
    repeat_nearest(crops, states, times, 3)
    assert crops[:, 0].tolist() == shown
    repeat_nearest(alone, states[::2], times[::2], 3)
    np.testing.assert_array_equal(alone, crops[::2])


def test_sampling_takes_the_nearest_frame_and_of_two_the_earlier():
    np.testing.assert_array_equal(sample(np.array([2.0, 3.0, 6.0]), 5), [0, 1, 1, 2, 2])  # 2 3 4 5 6
    np.testing.assert_array_equal(sample(np.array([0.0, 1.0, 4.0]), 3), [0, 1, 2])  # 2 is nearer to 1
    np.testing.assert_array_equal(sample(np.array([0.0, 2.0]), 3), [0, 0, 1])
    np.testing.assert_array_equal(sample(np.array([0.0, 2.0, 3.0]), 1), [0])
