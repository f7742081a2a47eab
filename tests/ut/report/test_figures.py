# SPDX-License-Identifier: Apache-2.0
"""What the figures say; how they look was judged by eye."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from mindface_eri.errors import DataError
from mindface_eri.report.figures import (
    ablation_figure,
    confusion_figure,
    counts_figure,
    learning_curves,
    prediction_figure,
    quantise,
    scatter_figure,
)
from mindface_eri.report.style import save_figure

NAMES = ("Fear", "Joy")
LABELS = np.array([[0.0, 0.05], [1.0, 0.15], [0.3, 0.95], [0.6, np.nan]])
PREDICTIONS = np.array([[0.05, 0.05], [0.95, 0.12], [0.61, 0.9], [0.6, 0.4]])


def texts(figure):
    """All text that stands in a figure."""
    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_levels_are_a_tenth_wide():
    np.testing.assert_array_equal(quantise(np.array([0, 0.0999, 0.1, 0.3, 0.7, 0.999, 1.0, np.nan])),
                                  [0, 0, 1, 3, 7, 9, 9, -1])
    np.testing.assert_array_equal(quantise(np.arange(10) / 10), np.arange(10))


def test_confusion_rows_are_shares_of_known_labels():
    figure = confusion_figure(PREDICTIONS, LABELS, NAMES)
    fear, joy = (axis.images[0].get_array() for axis in figure.axes[:2])
    assert (fear[0, 0], fear[9, 9], fear[3, 6], fear[6, 6]) == (1, 1, 1, 1)
    assert np.isnan(np.ma.filled(fear, np.nan)[1]).all()  # no label of that level
    assert np.nansum(np.ma.filled(joy, np.nan)) == 3  # the fourth label is unknown
    assert "75% within one level" in texts(figure)


def test_counts_leave_unknown_labels_out_of_both():
    joy = counts_figure(PREDICTIONS, LABELS, NAMES).axes[1]
    heights = [bar.get_height() for bar in joy.patches]
    assert sum(heights[:10]) == sum(heights[10:]) == 3
    assert (heights[0], heights[1], heights[9]) == (1, 1, 1)


def test_scatter_names_each_correlation():
    shown = texts(scatter_figure(PREDICTIONS, LABELS, NAMES))
    known = ~np.isnan(LABELS[:, 1])
    rho = np.corrcoef(PREDICTIONS[known, 1], LABELS[known, 1])[0, 1]
    assert f"ρ = {rho:.3f}" in shown


def test_learning_curves_mark_the_best_epoch():
    history = [{"epoch": 1, "loss": 0.2, "val_pearson": 0.1, "lr": 1e-4},
               {"epoch": 2, "loss": 0.1, "val_pearson": 0.35, "lr": 1e-4},
               {"epoch": 3, "loss": 0.09, "val_pearson": float("nan"), "lr": 5e-5}]
    figure = learning_curves(history)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Loss", "Validation Pearson ρ", "Learning rate"]
    assert "0.3500, epoch 2" in texts(figure)
    with pytest.raises(DataError, match="one finished epoch"):
        learning_curves([])


def test_bars_show_values_intervals_and_reference():
    figure = ablation_figure({"audio": (0.3, 0.2, 0.4), "both": (0.5, None, None)}, reference={"both": 0.44})
    axis = figure.axes[0]
    assert sorted(bar.get_width() for bar in axis.patches) == [0.3, 0.5]
    assert [0.2, 0.4] in [list(line.get_xdata()) for line in axis.lines]
    assert {"0.3000", "0.5000", "published"} <= set(texts(figure))


@pytest.mark.parametrize("face, sound", [(True, True), (True, False), (False, True)])
def test_prediction_figure_says_what_is_absent(make_prediction, make_clip, face, sound):
    clip = make_clip(face=face, sound=sound, states=[3, 2, 1, 0])
    found = make_prediction(clip, emotions=NAMES, segments=[[0, 3]], values=[[0.25, 0.75]])
    shown = texts(prediction_figure(found, [0.1, np.nan], title="$x_1$ & <b>"))
    assert {"0.25", "0.75", "Fear", "Joy", "$x_1$ & <b>", "label", "temporal attention"} <= set(shown)
    assert ("no sound" in shown) == (not sound)
    assert shown.count("no face") == (1 if face else 4)
    assert ("interpolated" in shown) == ("held" in shown) == face


def test_prediction_figure_refuses_other_numbers_of_emotions(make_prediction):
    found = make_prediction(emotions=NAMES, segments=[[0, 3]], values=np.ones((1, 3)))
    with pytest.raises(DataError, match="for 2 emotions"):
        prediction_figure(found)


def test_shapes_are_checked():
    for function in (confusion_figure, counts_figure, scatter_figure):
        with pytest.raises(DataError, match="must both be"):
            function(PREDICTIONS, LABELS[:2], NAMES)


def test_files_are_whole_alike_and_leave_no_trace(tmp_path):
    settings = dict(matplotlib.rcParams)
    figure = ablation_figure({"a": (0.3, None, None)})
    first = save_figure(figure, tmp_path / "new" / "bars.png")
    assert [p.name for p in first] == ["bars.png", "bars.svg"]
    assert Image.open(first[0]).width > 600
    before = first[1].read_bytes()
    save_figure(ablation_figure({"a": (0.3, None, None)}), tmp_path / "new" / "bars")
    assert first[1].read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["bars.png", "bars.svg"]
    assert dict(matplotlib.rcParams) == settings
