# SPDX-License-Identifier: Apache-2.0
"""Figures of one style, saved in each form that is asked for."""

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mindface_eri.constants import FRAME_STATES
from mindface_eri.report.style import COLOURS, STATE_COLOURS, new_figure, save_figure, small_multiples, styled


@pytest.mark.parametrize("count, columns, size, bottom", [
    (5, 4, (8, 6), [1, 2, 3, 4]), (4, 4, (8, 3), [0, 1, 2, 3]), (2, 4, (4, 3), [0, 1]), (7, 3, (6, 9), [4, 5, 6]),
    (6, 3, (6, 6), [3, 4, 5])])
def test_panels_stand_in_rows(count, columns, size, bottom):
    figure, axes, lowest = small_multiples(count, panel=(2.0, 3.0), columns=columns, sharex=True)
    assert figure.get_size_inches().tolist() == list(size)
    assert len(axes) == len(figure.axes) == count
    assert lowest == [axes[i] for i in bottom]
    assert axes[0].get_shared_x_axes().joined(axes[0], axes[-1])
    places = [(axis.get_subplotspec().rowspan.start, axis.get_subplotspec().colspan.start) for axis in axes]
    assert places == [divmod(i, min(columns, count)) for i in range(count)]


def test_a_figure_fits_its_contents():
    figure = new_figure(3.0, 2.0)
    assert figure.get_size_inches().tolist() == [3, 2]
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"


def test_the_style_holds_within_and_only_there():
    @styled
    def drawn(*arguments, **options):
        return matplotlib.rcParams["font.size"], matplotlib.rcParams["lines.linewidth"], arguments, options

    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.grid": True}):
        assert drawn(1, a=2) == (8.5, 1.6, (1,), {"a": 2})
        assert matplotlib.rcParams["font.size"] == 20
    assert drawn.__name__ == "drawn"


def test_axes_are_open_above_and_behind_their_data():
    settings = styled(lambda: dict(matplotlib.rcParams))()
    shown = [side for side in ("left", "bottom", "top", "right") if settings[f"axes.spines.{side}"]]
    assert shown == ["left", "bottom"]
    assert settings["axes.axisbelow"] and settings["axes.titlelocation"] == "left"
    assert not settings["legend.frameon"] and not settings["text.parse_math"]
    assert (settings["svg.fonttype"], settings["svg.hashsalt"]) == ("path", "mindface_eri")


def test_states_have_a_colour_each():
    assert tuple(STATE_COLOURS) == FRAME_STATES
    assert STATE_COLOURS == {"none": "#8C8C8C", "held": "#AA4499", "interpolated": "#E69F00", "detected": "#009E73"}
    assert COLOURS == ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")


@pytest.mark.parametrize("name, formats, files", [
    ("a.b", ("png",), ["a.b.png"]), ("a.pdf", ("svg", "pdf"), ["a.svg", "a.pdf"]), ("a.svg", None, ["a.png", "a.svg"]),
    ("x.PNG", ("png",), ["x.PNG.png"])])
def test_a_figure_is_saved_in_each_form(tmp_path, name, formats, files):
    figure = Figure(figsize=(2, 1))
    figure.text(0.02, 0.5, "a text from end to end", fontsize=11)
    written = save_figure(figure, tmp_path / "new" / name, *([formats] if formats else []))
    assert written == [tmp_path / "new" / file for file in files]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(files)
    for path in written:
        head = path.read_bytes()[:200]
        assert head.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[path.suffix[1:]])
        assert b"dc:date" not in path.read_bytes() and b"CreationDate" not in path.read_bytes()


def test_pictures_have_two_hundred_points_an_inch(tmp_path):
    figure = Figure(figsize=(2, 1), facecolor="red")
    figure.text(0.5, 0.5, "x")
    path, = save_figure(figure, tmp_path / "a", ("png",))
    with Image.open(path) as picture:
        assert round(picture.info["dpi"][0]) == 200
        assert picture.width < 400  # what is blank around the contents is cut off
