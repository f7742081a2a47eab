# SPDX-License-Identifier: Apache-2.0
"""Folds and seeds as points: each where its score is."""

import numpy as np
import pytest

from mindface_eri.errors import DataError
from mindface_eri.report.study_figure import folds_figure


def test_each_training_is_a_point_and_the_pooled_score_a_line():
    grid = np.array([[0.1, 0.2], [0.4, np.nan], [-0.3, 0.6]])
    figure = folds_figure(grid, ["4 clips", "5 clips", "6 clips"], 0.25, low=0.1, high=0.4, title="Study")
    axis = figure.axes[0]
    points = [line for line in axis.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal([line.get_ydata() for line in points], grid.T)
    assert [line.get_label() for line in points] == ["seed 0", "seed 1"]
    assert all(abs(x - round(x)) < 0.4 for line in points for x in line.get_xdata())
    assert np.mean([line.get_xdata() for line in points], axis=0) == pytest.approx([0, 1, 2])
    assert [list(line.get_ydata()) for line in axis.lines if line.get_marker() != "o"] == [[0.25] * 2, [0.0] * 2]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["fold 1\n4 clips", "fold 2\n5 clips",
                                                                     "fold 3\n6 clips"]
    band = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.1, 0.4))
    assert figure.get_suptitle() == "Study" and len(figure.legends) == 1


def test_one_seed_needs_no_legend_and_no_interval_no_band():
    figure = folds_figure(np.array([[0.1], [0.2]]), ["a", "b"], 0.15)
    assert not figure.legends and not figure.axes[0].patches and figure.get_suptitle() == ""


@pytest.mark.parametrize("grid, counts", [(np.zeros((0, 2)), []), (np.zeros(3), ["a"] * 3), (np.zeros((2, 1)), ["a"])])
def test_what_does_not_fit_is_refused(grid, counts):
    with pytest.raises(DataError, match="need .folds, seeds. and a name a fold"):
        folds_figure(grid, counts, 0.0)
