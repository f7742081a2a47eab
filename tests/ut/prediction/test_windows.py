# SPDX-License-Identifier: Apache-2.0
"""The grid of sliding windows: lengths, coverage, and the merging of what overlaps."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindface_eri.errors import ConfigError, MediaError
from mindface_eri.prediction.windows import LONG, Grid, Windows, default_windows, plan_grid


def test_a_window_is_a_clip_of_its_length():
    grid = plan_grid(30.0, 32, 10.0, 5.0)
    assert grid.step * 31 == pytest.approx(10.0, rel=0.02)
    assert grid.stride * grid.step == pytest.approx(5.0, rel=0.05)
    assert grid.starts[0] == 0
    assert grid.starts[-1] + 32 == grid.samples


def test_overlaps_are_merged_by_their_mean():
    grid = plan_grid(4.0, 3, 2.0, 1.0)  # samples at 0..4 s; windows 0-2, 1-3, 2-4
    assert (grid.samples, grid.stride) == (5, 1)
    np.testing.assert_array_equal(grid.starts, [0, 1, 2])
    np.testing.assert_array_equal(grid.edges, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(grid.merge(np.array([[0.0], [0.6], [1.0]]))[:, 0], [0.0, 0.3, 0.8, 1.0])
    spread = grid.spread(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], float))
    np.testing.assert_allclose(spread, [1, 3, 5, 7, 9])


def test_windows_without_value_are_left_out():
    grid = plan_grid(4.0, 3, 2.0, 1.0)
    merged = grid.merge(np.array([[np.nan], [0.6], [1.0]]))[:, 0]
    assert np.isnan(merged[0])
    np.testing.assert_allclose(merged[1:], [0.6, 0.8, 1.0])


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 900), st.integers(1, 64), st.floats(0.5, 30), st.floats(0.02, 1.0))
def test_every_instant_is_covered(duration, frames, window, share):
    window = min(window, duration)
    try:
        grid = plan_grid(duration, frames, window, window * share)
    except MediaError:
        return
    covered = np.zeros(grid.samples, bool)
    for start in grid.starts:
        covered[start:start + frames] = True
    assert covered.all()
    assert grid.starts[-1] + frames == grid.samples
    assert grid.edges[0] == 0
    assert grid.edges[-1] == grid.samples - 1
    assert (np.diff(grid.edges) > 0).all()
    values = np.random.default_rng(0).uniform(size=(len(grid.starts), 2))
    merged = grid.merge(values)
    assert np.isfinite(merged).all()
    assert merged.min() >= values.min() - 1e-12
    assert merged.max() <= values.max() + 1e-12
    np.testing.assert_allclose(grid.merge(np.ones_like(values)), 1)


def test_impossible_windows_are_refused():
    for window, hop in ((0, 1), (2, 0), (2, 3), (-1, -1)):
        with pytest.raises(ConfigError, match="must be positive"):
            plan_grid(60.0, 32, window, hop)
    with pytest.raises(MediaError, match="choose a longer --window"):
        plan_grid(7200.0, 32, 2.0, 1.0)


@pytest.mark.parametrize("duration, hop, starts, edges", [
    (10.0, 1.6, [0, 2, 4, 6], [0, 2, 4, 6, 8, 10]),
    (10.0, 1.4, [0, 1, 2, 3, 4, 5, 6], list(range(11))),
    (10.0, 4.0, [0, 4, 6], [0, 4, 8, 10]),  # the last window ends with the video
    (9.0, 4.0, [0, 4, 5], [0, 4, 9]),  # a rest of less than half a hop is joined to the last segment
    (7.0, 3.0, [0, 3], [0, 3, 7]),
    (4.0, 4.0, [0], [0, 4]),
    (3.0, 1.5, [0], [0, 2, 4]),  # shorter than its window: as many samples, closer together
    (3.0, 4.0, [0], [0, 4]), (0.0, 1.0, [0], [0, 4])])
def test_where_windows_and_segments_begin_and_end(duration, hop, starts, edges):
    grid = plan_grid(duration, 5, 4.0, hop)  # a sample a second
    assert grid.frames == 5
    assert grid.step == pytest.approx(1.0 if duration >= 4 else duration / 4)
    assert grid.samples == max(5, round(duration) + 1)
    np.testing.assert_array_equal(grid.starts, starts)
    np.testing.assert_array_equal(grid.edges, edges)


def test_the_grid_is_stretched_so_that_it_ends_with_the_video():
    grid = plan_grid(10.3, 5, 4.0, 2.0)
    assert (grid.samples, grid.step, grid.stride) == (11, pytest.approx(1.03), 2)
    assert plan_grid(10.6, 5, 4.0, 2.0).samples == 12
    one = plan_grid(3.0, 1, 2.0, 2.0)  # windows of a single frame, each for its two seconds
    assert (one.samples, one.step, one.stride) == (3, 1.5, 1)
    assert plan_grid(4.0, 5, 4.0, 0.01).stride == 1
    single = plan_grid(0.0, 1, 2.0, 2.0)
    assert (single.starts.tolist(), single.edges.tolist()) == ([0], [0, 0])  # an instant is a segment
    np.testing.assert_array_equal(single.merge(np.array([[0.5, 0.25]])), [[0.5, 0.25]])


def test_windows_of_one_sample_speak_for_half_the_way_to_their_neighbours():
    grid = plan_grid(6.0, 1, 2.0, 2.0)
    assert (grid.starts.tolist(), grid.edges.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])
    merged = grid.merge(np.array([[1.0], [3.0], [np.nan], [np.nan]]))
    np.testing.assert_array_equal(merged, [[2.0], [3.0], [np.nan]])
    np.testing.assert_array_equal(grid.spread(np.array([[1.0], [3.0], [2.0], [5.0]])), [1, 3, 2, 5])


def test_a_segment_counts_the_windows_that_hold_its_middle():
    grid = plan_grid(6.0, 4, 3.0, 2.0)  # windows 0-3, 2-5 and 3-6; middles 1, 3 and 5
    np.testing.assert_array_equal(grid.starts, [0, 2, 3])
    merged = grid.merge(np.array([[1.0, 10.0], [2.0, 40.0], [6.0, 70.0]]))
    np.testing.assert_allclose(merged, [[1, 10], [3, 40], [4, 55]])
    gap = grid.merge(np.array([[1.0, np.nan], [2.0, 40.0], [6.0, 70.0]]))  # a window that lacks one value has none
    np.testing.assert_allclose(gap, [[np.nan, np.nan], [4, 55], [4, 55]])
    spread = grid.spread(np.arange(12.0).reshape(3, 4, 1) ** 2)  # each sample: the mean of the windows that hold it
    np.testing.assert_allclose(spread[:, 0], [0, 1, 20 / 2, (9 + 25 + 64) / 3, (36 + 81) / 2, (49 + 100) / 2, 121])


def test_the_defaults_are_twelve_seconds_and_half_a_window():
    assert default_windows() == (12.0, 6.0)
    assert default_windows(8.0) == (8.0, 4.0)
    assert default_windows(0.0, 3.0) == (12.0, 3.0)
    assert default_windows(5.0, 2.0) == (5.0, 2.0)
    assert LONG == 30.0


def test_the_longest_video_of_a_window():
    assert plan_grid(19_999.0, 32, 31.0, 31.0).samples == 20_000
    with pytest.raises(MediaError, match=r"20000 s in windows of 31 s take 20001 crops, at most 20000 fit \(such "
                                         r"windows reach 20000 s\): choose a longer --window, or cut the video"):
        plan_grid(20_000.0, 32, 31.0, 31.0)


def test_what_makes_a_timeline():
    assert [Windows().is_timeline(seconds) for seconds in (0.0, 30.0, 30.001)] == [False, False, True]
    assert Windows(window=2.0).is_timeline(1.0) and Windows(hop=2.0).is_timeline(1.0)
    assert not Windows(whole=True).is_timeline(1e6)


@pytest.mark.parametrize("asked, said", [
    ({"window": 3.0, "whole": True}, "whole asks for one row a video"), ({"hop": 3.0, "whole": True}, "whole asks for"),
    ({"window": 3.0, "hop": 4.0}, "window of 3 s and hop of 4 s"), ({"hop": 13.0}, "window of 12 s and hop of 13 s"),
    ({"window": -1.0}, "window of -1 s"), ({"window": float("nan")}, "window of nan s"),
    ({"hop": float("nan")}, "hop of nan s")])
def test_contradictions_are_refused_before_any_clip(asked, said):
    with pytest.raises(ConfigError, match=said):
        Windows(**asked)


def test_the_grid_of_what_was_asked_for():
    assert Windows().grid(10.0, 5) is None and Windows(whole=True).grid(1e6, 5) is None
    assert Windows(window=4.0, hop=2.0).grid(10.0, 5) == plan_grid(10.0, 5, 4.0, 2.0)
    assert Windows().grid(31.0, 5) == plan_grid(31.0, 5, 12.0, 6.0)
    assert Windows(hop=6.0).grid(10.0, 5) == plan_grid(10.0, 5, 10.0, 6.0)  # no longer than the clip
    assert Windows(window=4.0).grid(0.0, 5) == Grid(5, 5, 5, 0.0)
    assert Windows(window=4.0, moving=True).grid(10.0, 5) == plan_grid(10.0, 5, 4.0, 2.0)  # it moves already


@pytest.mark.parametrize("frames", [2, 5, 32, 33])
def test_what_moves_has_the_networks_own_instants_among_its_own(frames):
    grid = Windows(moving=True).grid(12.0, frames)
    assert grid.samples == 2 * frames - 1 and grid.coarse == 2 and grid.frames == frames
    own = np.arange(grid.samples)[::grid.coarse] * grid.step
    np.testing.assert_allclose(own, np.linspace(0, 12.0, frames))
    assert min(frames, 9) <= len(grid.starts) <= 16 and grid.starts[-1] + frames == grid.samples
    assert Windows(moving=True, whole=True).grid(100.0, frames).coarse == 2
    assert Windows(moving=True).grid(0.0, frames) is Windows(moving=True).grid(12.0, 1) is None


def test_as_many_windows_as_fit_are_merged_without_a_table_of_each_with_each():
    grid = plan_grid(9999.5, 2, 0.5, 0.5)  # 20,000 samples, in pairs
    assert (grid.samples, grid.stride) == (20_000, 1)
    tracemalloc.start()
    merged = grid.merge(np.arange(19_999.0)[:, None])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(merged[:, 0], np.arange(19_999.0))
    assert peak < 20e6  # bytes; each with each would take 400 MB
