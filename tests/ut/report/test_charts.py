# SPDX-License-Identifier: Apache-2.0
"""Charts of a page, point by point: x goes from 0 to 1000 over the span, y downwards from 1 to 0."""

import dataclasses

import numpy as np
import pytest
from markupsafe import Markup

from mindface_eri.preprocess.envelope import Envelope
from mindface_eri.report.charts import over_time, ribbon, wave
from mindface_eri.report.html import PAGES


def macro(name, *arguments):
    """What a macro of the charts' template gives."""
    return str(getattr(PAGES.get_template("charts.html").module, name)(*arguments))


@pytest.mark.parametrize("steps, slider", [
    (0, ""), (1, ""), (3, ' role="slider" tabindex="0" aria-label="Instant" aria-valuemin="0" aria-valuemax="2" '
                          'aria-valuenow="0"')])
def test_a_row_with_instants_is_a_slider(steps, slider):
    assert macro("row", Markup("<b>n</b>"), Markup("<i/>"), "tall", steps) == (
        f'<div class="name"><b>n</b></div><div class="time"{slider}><svg class="tall" viewBox="0 0 1000 100" '
        'preserveAspectRatio="none" aria-hidden="true"><i/></svg><div class="cursor" hidden></div></div>')
    assert macro("row", "<b>", "<i>", "x").count("&lt;") == 2


def test_a_timeline_is_drawn_in_steps_with_gaps(make_prediction):
    values = [[0.25, 0.5], [1.0, np.nan], [0.0, 0.75]]
    prediction = make_prediction(segments=[[0, 1], [1, 3], [3, 4]], values=values, emotions=("A & B", "Joy"),
                                 window=2.0)
    (name, first), (other, second) = over_time(prediction, 5.0)
    assert (name, other) == ("A & B", "Joy") and {type(first), type(second)} == {Markup}
    half = '<line class="half" x1="0" y1="52" x2="1000" y2="52"/>'
    line = "0.0,76.00 200.0,76.00 200.0,4.00 600.0,4.00 600.0,100.00 800.0,100.00"
    assert first == (f'{half}<polygon class="area" points="0.0,100.00 {line} 800.0,100.00"/>'
                            f'<polyline class="line" points="{line}"/>')
    left, right = "0.0,52.00 200.0,52.00", "600.0,28.00 800.0,28.00"
    assert second == (
        f'{half}<polygon class="area" points="0.0,100.00 {left} 200.0,100.00"/><polyline class="line" points="{left}"/>'
        f'<polygon class="area" points="600.0,100.00 {right} 800.0,100.00"/><polyline class="line" points="{right}"/>')


def test_the_ribbon_changes_half_way_between_samples(make_clip):
    clip = dataclasses.replace(make_clip(states=[3, 3, 1, 0]), timestamps=np.array([0, 1, 3, 4], np.float32))
    assert ribbon(clip, 5.0) == ('<rect class="detected" x="0.0" y="0" width="400.0" height="100"/>'
                                 '<rect class="held" x="400.0" y="0" width="300.0" height="100"/>'
                                 '<rect class="none" x="700.0" y="0" width="300.0" height="100"/>')


ZERO = '<line class="zero" x1="0" y1="50" x2="1000" y2="50"/>'


def test_the_wave_is_cut_where_the_pictures_end(make_prediction, make_clip):
    low, high = np.array([-0.25, -0.5, 0.25, 0.0], np.float32), np.array([0.25, 0.0, 0.5, 1.0], np.float32)
    clip = dataclasses.replace(make_clip(), timestamps=np.array([0, 1, 2, 3], np.float32), duration=4.0)

    def drawn(span, *envelope):
        return wave(make_prediction(dataclasses.replace(clip, envelope=Envelope(*envelope)), attention=False), span)

    points = ("166.7,38.25 500.0,50.00 833.3,26.50 "  # the greatest of each second there, then the least, back
              "833.3,38.25 500.0,73.50 166.7,61.75")
    assert drawn(3.0, low, high, 4.0) == f'{ZERO}<polygon class="wave" points="{points}"/>'
    assert drawn(3.0, low / 8, high / 8, 4.0) == drawn(3.0, low, high, 4.0)  # scaled to the loudest, seen or not
    assert drawn(6.0, low, high, 3.0) == (
        f'{ZERO}<polygon class="wave" points="62.5,38.25 187.5,50.00 312.5,26.50 437.5,3.00 '
        '437.5,50.00 312.5,38.25 187.5,73.50 62.5,61.75"/>')
    assert drawn(3.0, 0 * low, 0 * high, 4.0).count(",50.00") == 6  # no sound at all is a line
    assert drawn(3.0, low[:0], high[:0], 0.0) == ZERO


def test_attention_lies_over_the_wave_at_its_samples_instants(make_prediction, make_clip):
    clip = dataclasses.replace(make_clip(sound=False), timestamps=np.array([0, 1, 2, 4], np.float32))
    prediction = dataclasses.replace(make_prediction(clip), temporal=np.array([0.1, 0.4, 0.2, 0.3]))
    assert wave(prediction, 5.0) == (
        f'{ZERO}<polyline class="attn" points="0.0,74.50 200.0,4.00 400.0,51.00 800.0,27.50"/>')
    nothing = dataclasses.replace(prediction, temporal=np.zeros(4))
    assert wave(nothing, 5.0).count(",98.00") == 4
    many = dataclasses.replace(make_clip(3001, sound=False, seconds=30.0))
    prediction = dataclasses.replace(make_prediction(many), temporal=np.arange(3001.0))
    points = wave(prediction, 30.0).split('points="')[1].split('"')[0].split()
    assert (len(points), points[0], points[-1]) == (1500, "0.0,98.00", "1000.0,4.00")


def test_the_axis_has_round_instants_below_the_charts():
    assert macro("axis", 4.0) == ('<div class="axis" aria-hidden="true"><span style="left:0.00%">0.0 s</span>'
                              '<span style="left:25.00%">1.0 s</span><span style="left:50.00%">2.0 s</span>'
                              '<span style="left:75.00%">3.0 s</span>'
                              '<span class=last style="left:100.00%">4.0 s</span></div>')
    assert macro("axis", 10.5) == ('<div class="axis" aria-hidden="true">' + "".join(
        f'<span{" class=last" if t > 9.7 else ""} style="left:{t / 0.105:.2f}%">{t} s</span>' for t in range(0, 11, 2))
        + "</div>")
    assert macro("axis", 5.0).count("0 s<") == 1 and ">5 s<" in macro("axis", 5.0)
    minutes = macro("axis", 130.0)
    assert [part.split("<")[0] for part in minutes.split('%">')[1:]] == ["0:00", "0:30", "1:00", "1:30", "2:00"]
    assert [part.split("<")[0] for part in macro("axis", 60.0).split('%">')[1:]][-1] == "1:00"
