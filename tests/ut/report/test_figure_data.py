# SPDX-License-Identifier: Apache-2.0
"""What stands in the figures of a run, read back from their axes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from mindface_eri.errors import DataError
from mindface_eri.report.figures import (
    ablation_figure,
    confusion_figure,
    counts_figure,
    learning_curves,
    quantise,
    scatter_figure,
)
from mindface_eri.report.style import COLOURS, INK, MUTED

FIVE = ("A", "B", "C", "D", "E")
RANDOM = np.random.default_rng(4)
PREDICTIONS, LABELS = RANDOM.random((30, 5)), RANDOM.random((30, 5))
LABELS[3, 1] = np.nan


def words(artist):
    """All texts within an artist, blanks left out."""
    return [text.get_text() for text in artist.findobj(Text) if text.get_text()]


def line(axis, number):
    drawn = axis.lines[number]
    return np.asarray(drawn.get_xdata()).tolist(), np.asarray(drawn.get_ydata()).tolist()


def test_levels_of_another_width():
    np.testing.assert_array_equal(quantise([0.0, 0.24, 0.25, 0.7499, 0.75, 1.0, -0.1, 1.3], 4),
                                  [0, 0, 1, 2, 3, 3, 0, 3])
    assert quantise([0.5]).dtype == np.int64


def test_curves_go_over_the_epochs_that_have_a_value():
    history = [{"epoch": 2, "loss": 0.5, "val_loss": 0.7, "val_pearson": 0.1, "lr": 3e-4},
               {"epoch": 3, "loss": 0.4, "val_loss": None, "val_pearson": 0.3, "lr": 3e-4},
               {"epoch": 5, "loss": 0.2, "val_loss": 0.6, "val_pearson": 0.2, "lr": 1e-4},
               {"epoch": 9, "loss": 0.1, "val_pearson": float("nan"), "lr": 1e-4}]
    figure = learning_curves(history, title="run")
    loss, pearson, rate = figure.axes
    assert line(loss, 0) == ([2, 3, 5, 9], [0.5, 0.4, 0.2, 0.1])
    assert line(loss, 1) == ([2, 5], [0.7, 0.6])
    assert [(drawn.get_label(), drawn.get_linestyle(), drawn.get_color()) for drawn in loss.lines] == [
        ("training", "-", COLOURS[0]), ("validation", "--", COLOURS[1])]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert line(pearson, 0)[0] == [2, 3, 5, 9] and line(pearson, 1) == ([3], [0.3])  # the best, though not the last
    assert (pearson.lines[1].get_marker(), pearson.lines[1].get_color()) == ("o", COLOURS[1])
    note, = pearson.texts
    assert (note.get_text(), note.xy, note.get_ha(), note.xyann) == ("0.3000, epoch 3", (3, 0.3), "left", (4, 5))
    assert line(rate, 0) == ([2, 3, 5, 9], [3e-4, 3e-4, 1e-4, 1e-4])
    assert [axis.lines[0].get_drawstyle() for axis in figure.axes] == ["default", "default", "steps-post"]
    assert rate.get_ylim()[0] == 0 and rate.yaxis.get_major_formatter()(3e-4, 0) == "3.0e-04"
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 3
    assert figure.get_suptitle() == "run" and pearson.get_legend() is None
    assert [drawn.get_marker() for drawn in (loss.lines[0], rate.lines[0])] == ["", ""]


def test_curves_of_what_there_is():
    figure = learning_curves([{"epoch": 1, "val_pearson": 0.1}, {"epoch": 4, "val_pearson": 0.4}])
    axis, = figure.axes
    assert axis.get_title(loc="left") == "Validation Pearson ρ" and figure.get_suptitle() == ""
    assert (axis.texts[0].get_ha(), axis.texts[0].xyann) == ("right", (-4, 5))  # a late best is named to its left
    one = learning_curves([{"epoch": 1, "loss": 0.5}])
    assert one.axes[0].lines[0].get_marker() == "o" and one.axes[0].get_legend() is None
    unknown = learning_curves([{"epoch": 1, "val_pearson": float("nan")}, {"epoch": 2, "val_pearson": None}])
    assert not list(unknown.axes[0].texts)
    assert [axis.get_title(loc="left") for axis in learning_curves([{"epoch": 1}]).axes] == [""]


def test_a_confusions_rows_are_levels_of_the_label():
    figure = confusion_figure(PREDICTIONS, LABELS, FIVE, levels=4, title="run, val")
    panels = figure.axes[:5]
    largest = 0.2
    for e, axis in enumerate(panels):
        known = ~np.isnan(LABELS[:, e])
        truth, guess = (np.minimum((z[known, e] * 4).astype(int), 3) for z in (LABELS, PREDICTIONS))
        table = np.array([[np.sum((truth == i) & (guess == j)) for j in range(4)] for i in range(4)])
        image = axis.images[0]
        np.testing.assert_allclose(np.ma.filled(image.get_array(), np.nan), table / table.sum(1, keepdims=True))
        largest = max(largest, (table / table.sum(1, keepdims=True)).max())
        near = np.mean(abs(truth - guess) <= 1)
        assert [text.get_text() for text in axis.texts] == [f"{near:.0%} within one level", *map(str, table.sum(1))]
        assert [text.get_position()[1] for text in axis.texts[1:]] == [0, 1, 2, 3]
        assert line(axis, 0) == ([-0.5, 3.5], [-0.5, 3.5])
        assert axis.get_title(loc="left") == f"{FIVE[e]}\n" and image.origin == "lower"
        assert (list(axis.get_xticks()), list(axis.get_yticks())) == ([0, 3], [0, 3])
    assert [axis.get_ylabel() for axis in panels] == ["label level", "", "", "", "label level"]
    assert [axis.get_xlabel() for axis in panels] == ["", *["predicted level"] * 4]
    np.testing.assert_allclose([axis.images[0].get_clim() for axis in panels], [(0, largest)] * 5)  # one scale for all
    assert figure.axes[5].get_ylabel() == "share of the row" and figure.get_suptitle() == "run, val"
    faint = confusion_figure(np.linspace(0.01, 0.99, 10)[:, None], np.full((10, 1), 0.5), ("A",))
    assert faint.axes[0].images[0].get_clim() == (0, 0.2)  # shades are never stretched beyond a fifth
    assert faint.axes[0].images[0].cmap.name == "Blues"


def test_counts_stand_beside_one_another():
    figure = counts_figure(PREDICTIONS, LABELS, FIVE, levels=5, title="t")
    for e, axis in enumerate(figure.axes):
        known = ~np.isnan(LABELS[:, e])
        bars = axis.patches
        for first, values, shift, face, edge in ((0, LABELS, -0.21, COLOURS[0], COLOURS[0]),
                                                 (5, PREDICTIONS, 0.21, "#ffffff", COLOURS[1])):
            group = bars[first:first + 5]
            assert [bar.get_height() for bar in group] == np.histogram(values[known, e], np.arange(6) / 5)[0].tolist()
            np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in group], np.arange(5) + shift)
            assert {(to_hex(bar.get_facecolor()), to_hex(bar.get_edgecolor())) for bar in group} == {
                (face.lower(), edge.lower())}
            assert {round(bar.get_width(), 6) for bar in group} == {0.42}
        assert [text.get_text() for text in axis.get_xticklabels()] == ["0.0", "0.6"]
        assert axis.get_title(loc="left") == FIVE[e]
    assert [axis.get_ylabel() for axis in figure.axes] == ["clips", "", "", "", "clips"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", *["intensity, from"] * 4]
    legend, = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["labels", "predictions"]
    assert figure.get_suptitle() == "t"


def test_scatter_puts_labels_to_the_right_and_predictions_up():
    figure = scatter_figure(PREDICTIONS, LABELS, FIVE)
    rhos = []
    for e, axis in enumerate(figure.axes):
        known = ~np.isnan(LABELS[:, e])
        x, y = LABELS[known, e], PREDICTIONS[known, e]
        assert line(axis, 0) == ([0, 1], [0, 1]) and axis.lines[0].get_linestyle() == ":"
        assert line(axis, 1) == (x.tolist(), y.tolist())
        slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
        np.testing.assert_allclose(line(axis, 2)[1], [y.mean() - slope * x.mean(), y.mean() + slope * (1 - x.mean())])
        rhos.append(np.corrcoef(x, y)[0, 1])
        assert [text.get_text() for text in axis.texts] == [f"ρ = {rhos[-1]:.3f}"]
        assert axis.lines[1].get_alpha() == 0.7 and not axis.lines[1].get_rasterized()
        assert (axis.get_xlim(), axis.get_ylim(), axis.get_aspect()) == ((-0.03, 1.03), (-0.03, 1.03), 1)
    assert [axis.get_ylabel() for axis in figure.axes] == ["prediction", "", "", "", "prediction"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", *["label"] * 4]
    assert figure.get_suptitle() == f"mean ρ = {np.mean(rhos):.4f} over 30 clips"
    for count in (2000, 2001):  # more are stored as a picture
        many = scatter_figure(np.resize(PREDICTIONS, (count, 1)), np.resize(LABELS[:2], (count, 1)), ("A",), title="t")
        assert many.axes[0].lines[1].get_rasterized() == (count > 2000) and many.get_suptitle() == "t"
        assert many.axes[0].lines[1].get_alpha() == 0.08
    assert scatter_figure(PREDICTIONS[:1], LABELS[:1], FIVE).axes[0].lines[1].get_alpha() == 0.7
    three = np.tile(PREDICTIONS[:, :1], (10, 1)), np.tile(LABELS[:, :1], (10, 1))
    assert scatter_figure(*three, ("A",)).axes[0].lines[1].get_alpha() == 0.5
    constant = scatter_figure(PREDICTIONS[:, :1], np.full((30, 1), 0.5), ("A",))
    assert len(constant.axes[0].lines) == 2  # there is no line to fit


def test_bars_lie_from_top_to_bottom_with_their_intervals():
    figure = ablation_figure({"audio": (0.3, 0.2, 0.45), "video": (-0.1, None, 0.6), "both": (0.5, 0.4, 0.55)},
                             reference={"both": 0.44, "audio": 0.7}, reference_name="paper", label="x", title="t")
    axis, = figure.axes
    assert [(bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in axis.patches] == [
        (0.3, pytest.approx(2)), (-0.1, pytest.approx(1)), (0.5, pytest.approx(0))]
    drawn = [(list(item.get_xdata()), list(item.get_ydata()), item.get_color(), item.get_marker())
             for item in axis.lines]
    assert drawn == [([0.2, 0.45], [2, 2], INK, "|"), ([0.7], [2], COLOURS[1], "D"), ([0.4, 0.55], [0, 0], INK, "|"),
                     ([0.44], [0], COLOURS[1], "D"), ([0, 0], [0, 1], MUTED, "None"), ([], [], COLOURS[1], "D")]
    assert axis.lines[1].get_markeredgecolor() == "white"
    assert [(note.get_text(), note.xy) for note in axis.texts] == [
        ("0.3000", (0.7, 2)), ("-0.1000", (0.7, 1)), ("0.5000", (0.7, 0))]  # beyond all that is drawn
    assert [text.get_text() for text in axis.get_yticklabels()] == ["audio", "video", "both"]
    assert list(axis.get_yticks()) == [2, 1, 0]
    assert (axis.get_xlabel(), figure.get_suptitle()) == ("x", "t")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["paper"]
    assert figure.get_size_inches().tolist() == pytest.approx([5.6, 0.75 + 3 * 0.34 + 0.3 + 0.3])


def test_bars_without_reference_or_title():
    figure = ablation_figure({"a": (-0.2, None, None)})
    axis, = figure.axes
    assert (axis.get_xlabel(), figure.get_suptitle(), figure.legends) == ("mean Pearson ρ", "", [])
    assert figure.get_size_inches().tolist() == pytest.approx([5.6, 1.09])
    assert axis.texts[0].xy == (0.0, 0)  # numbers stand no further left than zero
    assert "published" in words(ablation_figure({"a": (0.1, None, None)}, reference={"a": 0.2}))
    with pytest.raises(DataError, match="bars: nothing to draw"):
        ablation_figure({})


@pytest.mark.parametrize("predictions, labels", [
    (PREDICTIONS[:, :4], LABELS[:, :4]), (PREDICTIONS, LABELS[:, :4]), (PREDICTIONS[:2], LABELS),
    (PREDICTIONS[:0], LABELS[:0]), (PREDICTIONS[:, 0], LABELS[:, 0])])
def test_figures_refuse_what_does_not_fit(predictions, labels):
    for function in (confusion_figure, counts_figure, scatter_figure):
        with pytest.raises(DataError, match=rf"figure: predictions \({predictions.shape[0]},.*\) and labels .* must "
                                            r"both be \(clips, 5\), with at least one clip"):
            function(predictions, labels, FIVE)


def place(text):
    """Where a text stands, and which of its sides stands there."""
    return (*text.get_position(), text.get_ha(), text.get_va())


def grids(axis):
    return [any(line.get_visible() for line in lines) for lines in (axis.get_xgridlines(), axis.get_ygridlines())]


def test_where_the_texts_and_ticks_of_figures_stand():
    figure = confusion_figure(PREDICTIONS, LABELS, FIVE)
    assert figure.get_size_inches().tolist() == pytest.approx([4 * 2.6, 2 * 2.75])
    axis = figure.axes[0]
    assert place(axis.texts[0]) == (0, 1.02, "left", "baseline") and place(axis.texts[3]) == (9.7, 2, "left", "center")
    assert axis.texts[0].get_transform() == axis.transAxes
    assert list(axis.get_xticks()) == list(axis.get_yticks()) == [0, 3, 6, 9]
    assert not any(spine.get_visible() for spine in axis.spines.values())
    figure = counts_figure(PREDICTIONS, LABELS, FIVE)
    assert figure.get_size_inches().tolist() == pytest.approx([4 * 2.3, 2 * 1.9])
    assert list(figure.axes[0].get_xticks()) == [0, 3, 6, 9] and grids(figure.axes[0]) == [False, True]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0.0", "0.3", "0.6", "0.9"]
    assert figure.axes[0].get_shared_y_axes().joined(figure.axes[0], figure.axes[4])
    figure = scatter_figure(PREDICTIONS, LABELS, FIVE)
    assert figure.get_size_inches().tolist() == pytest.approx([4 * 2.2, 2 * 2.3])
    axis = figure.axes[1]
    assert list(axis.get_xticks()) == list(axis.get_yticks()) == [0, 0.5, 1]
    assert place(axis.texts[0]) == (0.04, 0.96, "left", "top") and axis.texts[0].get_transform() == axis.transAxes
    assert axis.xaxis.get_major_ticks()[0].label1.get_visible()  # though the axes below it share its scale
    assert (axis.lines[1].get_linestyle(), axis.lines[1].get_marker()) == ("None", "o")
    assert [line.get_linewidth() for line in (axis.lines[0], axis.lines[2])] == [0.8, 1.4]
    assert (axis.lines[1].get_markersize(), axis.lines[1].get_markeredgewidth(), axis.lines[2].get_color()) == (
        3, 0, COLOURS[1])
    figure = learning_curves([{"epoch": k, "loss": 1 / k, "val_pearson": 0.1 * k, "lr": 1e-4} for k in (1, 2, 3)])
    assert figure.get_size_inches().tolist() == pytest.approx([3 * 2.9, 2.4])
    assert [grids(axis) for axis in figure.axes] == [[False, True]] * 3
    assert figure.axes[1].get_ylim() == pytest.approx((0.07, 0.33))  # room for the note
    assert figure.axes[1].texts[0].anncoords == "offset points"
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())
    axis = ablation_figure({"a": (0.3, 0.2, 0.4)}).axes[0]
    assert grids(axis) == [True, False] and not axis.spines["left"].get_visible()
    assert [(line.get_linewidth(), line.get_markersize()) for line in axis.lines] == [(1.3, 6), (0.8, 6)]
    assert len(axis.lines[0].get_path_effects()) == 1  # a white edge, seen on bars in grey
    note, = axis.texts
    assert (note.xyann, note.anncoords, note.get_va(), note.xy) == ((8, 0), "offset points", "center", (0.4, 0))
