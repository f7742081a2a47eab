# SPDX-License-Identifier: Apache-2.0
"""The picture of one prediction, read back from its axes: faces, sound, attention, bars."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex

from mindface_eri.errors import DataError
from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.report.clip_figure import prediction_figure
from mindface_eri.report.style import COLOURS, MUTED

NAMES = ("Fear", "Joy", "Awe")
VALUES = np.array([0.25, 0.754, 0.5])


@pytest.fixture()
def clip(make_clip):
    """Whose clock does not begin at zero."""
    found = make_clip(4, states=[3, 2, 1, 0])
    return dataclasses.replace(found, timestamps=np.array([1.0, 1.25, 2.0, 4.0], np.float32))


@pytest.fixture()
def draw(make_prediction):
    """The figure of a clip of which the network said `VALUES`."""
    def figure(clip, truth=None, *, temporal=None, **more):
        found = make_prediction(clip, emotions=NAMES, segments=[[0, 3]], values=VALUES[None], attention=False)
        return prediction_figure(dataclasses.replace(found, temporal=temporal), truth, **more)

    return figure


def parts(figure):
    """(axes of the faces, of the sound, of the attention or None, of the bars)."""
    left, right = figure.subfigs
    twins = [axis for axis in left.axes if axis.yaxis.get_ticks_position() != "left" and axis.get_title(loc="right")]
    faces = [axis for axis in left.axes if axis.get_title(loc="center")]
    sound = next(axis for axis in left.axes if axis.get_xlabel() == "seconds")
    return faces, sound, twins[0] if twins else None, right.axes[0]


def test_faces_stand_in_their_order_with_their_times_and_states(clip, draw):
    faces, *_ = parts(draw(clip))
    assert [axis.get_title(loc="center") for axis in faces] == ["0.0 s", "0.2 s", "1.0 s", "3.0 s"]
    for axis, frame in zip(faces[:3], clip.frames):
        np.testing.assert_array_equal(axis.images[0].get_array(), frame)
    assert not faces[3].images and faces[3].texts[0].get_text() == "no face"
    assert [to_hex(axis.spines["top"].get_edgecolor()) for axis in faces] == [
        "#009e73", "#e69f00", "#aa4499", "#8c8c8c"]
    assert all(spine.get_visible() and spine.get_linewidth() == 1.6 for axis in faces for spine in axis.spines.values())
    assert [axis.get_xlabel() for axis in faces] == ["", "interpolated", "held", ""]


@pytest.mark.parametrize("count, faces, expected", [
    (20, 4, [0, 6, 13, 19]), (3, 8, [0, 1, 2]), (50, None, [0, 7, 14, 21, 28, 35, 42, 49])])
def test_faces_are_spread_over_the_clip(make_clip, draw, count, faces, expected):
    clip = make_clip(count, seconds=count - 1.0)
    shown, *_ = parts(draw(clip, **({} if faces is None else {"faces": faces})))
    assert [axis.get_title(loc="center") for axis in shown] == [f"{t:.1f} s" for t in expected]
    for axis, t in zip(shown, expected):
        np.testing.assert_array_equal(axis.images[0].get_array(), clip.frames[t])


def test_the_sound_spans_the_clip(clip, draw):
    low, high = np.array([-0.1, -0.4, 0.05], np.float32), np.array([0.2, 0.1, 0.3], np.float32)
    _, sound, twin, _ = parts(draw(dataclasses.replace(clip, envelope=Envelope(low, high, 3.0))))
    assert twin is None
    area = sound.collections[0].get_paths()[0].vertices
    for x, below, above in zip((0.5, 1.5, 2.5), low / 0.4, high / 0.4):  # the middle of each span, over the loudest
        for y in (below, above):
            assert np.abs(area - [x, y]).sum(1).min() < 1e-6
    assert set(area[:, 0]) == {0.5, 1.5, 2.5} and (area[:, 1].min(), area[:, 1].max()) == (-1, pytest.approx(0.75))
    assert (sound.get_xlim(), sound.get_ylim(), sound.get_xlabel()) == ((0, 3), (-1.1, 1.1), "seconds")
    assert to_hex(sound.collections[0].get_facecolor()[0]) == COLOURS[5].lower()
    assert not sound.texts and not sound.lines


def test_sound_beyond_the_pictures_is_cut(clip, draw):
    _, sound, _, _ = parts(draw(dataclasses.replace(clip, envelope=Envelope(-np.ones(6), np.ones(6), 6.0))))
    assert sound.get_xlim() == (0, 3)
    assert set(sound.collections[0].get_paths()[0].vertices[:, 0]) == {0.5, 1.5, 2.5, 3.5, 4.5, 5.5}


def test_a_clip_of_records_has_sound_and_no_envelope(clip, draw):
    _, sound, _, _ = parts(draw(dataclasses.replace(clip, envelope=Envelope.silent())))
    assert sound.get_ylim() == (-1.1, 1.1) and not sound.texts


def test_attention_lies_over_the_sound(clip, draw):
    weights = np.array([0.1, 0.5, 0.25, 0.15])
    _, _, twin, _ = parts(draw(clip, temporal=weights))
    assert (list(twin.lines[0].get_xdata()), list(twin.lines[0].get_ydata())) == ([0, 0.25, 1, 3], weights.tolist())
    assert twin.get_ylim() == (0, pytest.approx(0.54)) and twin.lines[0].get_color() == COLOURS[1]
    assert twin.get_title(loc="right") == "temporal attention"


def test_a_silent_clip_says_so(make_clip, draw):
    _, sound, _, _ = parts(draw(make_clip(sound=False)))
    assert [text.get_text() for text in sound.texts] == ["no sound"]
    assert list(sound.lines[0].get_ydata()) == [0, 0] and sound.lines[0].get_color() == MUTED
    assert sound.get_ylim() == (-1.1, 1.1) and not sound.collections


def test_bars_and_labels_from_top_to_bottom(clip, draw):
    *_, bars = parts(draw(clip, np.array([0.1, np.nan, 0.9])))
    found = [(bar.get_width(), bar.get_y() + bar.get_height() / 2, to_hex(bar.get_facecolor()))
             for bar in bars.patches]
    assert found == [(1.0, pytest.approx(2), "#efefef"), (1.0, pytest.approx(1), "#efefef"),
                     (1.0, pytest.approx(0), "#efefef"), (0.25, pytest.approx(2), COLOURS[0].lower()),
                     (0.754, pytest.approx(1), COLOURS[0].lower()), (0.5, pytest.approx(0), COLOURS[0].lower())]
    assert [(text.get_text(), text.get_position()) for text in bars.texts] == [
        ("0.25", (1.07, 2)), ("0.75", (1.07, 1)), ("0.50", (1.07, 0))]
    assert [text.get_text() for text in bars.get_yticklabels()] == list(NAMES) and list(bars.get_yticks()) == [2, 1, 0]
    diamonds, = bars.lines
    np.testing.assert_array_equal(diamonds.get_xdata(), [0.1, np.nan, 0.9])
    assert list(diamonds.get_ydata()) == [2, 1, 0]
    assert (diamonds.get_marker(), diamonds.get_linestyle(), diamonds.get_color(), diamonds.get_markeredgecolor()) == (
        "D", "None", COLOURS[1], "white")
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["label"]
    assert (bars.get_xlim(), bars.get_title(loc="left")) == ((0, 1), "intensity")
    assert bars.get_ylim() == (pytest.approx(-2.7), pytest.approx(4.7))  # as high as seven bars


def test_without_labels_or_a_title(clip, draw, make_prediction):
    figure = draw(clip)
    assert figure.get_suptitle() == "" and not parts(figure)[3].lines
    assert draw(clip, title="x").get_suptitle() == "x"
    with pytest.raises(DataError, match=r"prediction figure: intensities \(1, 3\) for 3 emotions"):
        prediction_figure(make_prediction(clip, emotions=NAMES, segments=[[0, 3]], values=VALUES[None, None]))


def test_where_the_parts_stand(clip, draw):
    figure = draw(clip, temporal=np.ones(4), truth=VALUES, title="x")
    assert figure.get_size_inches().tolist() == [9.2, 3.5]
    left, right = figure.subfigs
    assert left.bbox.width / right.bbox.width == pytest.approx(2.1, rel=0.05)
    faces, sound, twin, bars = parts(figure)
    assert [axis.get_subplotspec().colspan.start for axis in faces] == [0, 1, 2, 3]
    assert (sound.get_subplotspec().rowspan.start, len(sound.get_subplotspec().colspan)) == (1, 4)
    assert list(sound.get_yticks()) == list(twin.get_yticks()) == list(faces[0].get_xticks()) == []
    assert not twin.spines["top"].get_visible() and not sound.spines["left"].get_visible()
    assert list(bars.get_xticks()) == [0, 0.5, 1] and not bars.spines["bottom"].get_visible()
    assert not bars.lines[0].get_clip_on()  # a label of 1 is shown whole
    assert [text.get_va() for text in bars.texts] == ["center"] * 3
    title = figure._suptitle
    assert (title.get_position()[0], title.get_ha()) == (0.01, "left")
    blank = faces[3].texts[0]
    assert (*blank.get_position(), blank.get_ha(), blank.get_va()) == (0.5, 0.5, "center", "center")
    assert to_hex(faces[3].get_facecolor()) == "#f0f0f0" and faces[3].get_box_aspect() == 1
