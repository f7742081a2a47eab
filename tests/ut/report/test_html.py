# SPDX-License-Identifier: Apache-2.0
"""Pieces of pages: pictures, points, times and instants, each exactly."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from mindface_eri.report import html
from mindface_eri.report.html import PAGES, clock, heat, jpeg, page, polyline, share, ticks


def decoded(address, kind):
    start = f"data:image/{kind};base64,"
    assert address.startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address[len(start):]))))


def test_crops_are_embedded_as_jpeg_in_their_colours():
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :, 0], picture[:, 12:, 2] = 220, 150
    shown = decoded(jpeg(picture), "jpeg")
    assert shown.shape == (16, 24, 3)
    assert np.abs(shown.astype(int) - picture)[[3, 3, 12, 12], [4, 20, 4, 20]].max() < 12
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82, optimize=True)
    assert jpeg(picture).endswith(base64.b64encode(buffer.getvalue()).decode())
    assert len(jpeg(picture, 20)) < len(jpeg(picture))


def test_heat_is_clear_at_an_even_share_and_densest_at_the_largest():
    weights = np.array([[0.1, 0.25, 0.2], [0.05, 0.1, 0.3]])  # an even share is 1/6
    shown = decoded(heat(weights, 0.4), "png")
    assert shown.shape == (2, 3, 4)
    assert (shown[..., :3] == (0, 140, 255)).all()
    np.testing.assert_array_equal(shown[..., 3], np.clip((weights - 1 / 6) / (0.4 - 1 / 6), 0, 1) * 190 // 1)
    nearly = decoded(heat(weights, 0.2), "png")[..., 3]  # at least twice an even share is the densest
    np.testing.assert_array_equal(nearly, np.clip((weights - 1 / 6) * 6, 0, 1) * 190 // 1)


def test_points_and_shares():
    assert polyline([0, 33.333, 1000], [1.005, 50, 2.3456]) == "0.0,1.00 33.3,50.00 1000.0,2.35"
    assert [share(value) for value in (-0.5, 0.123, np.float32(0.5), 2)] == ["0", "12", "50", "100"]
    assert share(0.12345, 1) == "12.3"


def test_templates_escape_join_their_lines_and_know_what_they_show():
    template = PAGES.from_string("<p>\n  {{ text }}\n  <b>{{ where | address }}</b>\n</p>\n")
    assert template.render(text="<a href='x'>\"&\n 1.5", where="a b#.html") == (
        "<p>&lt;a href=&#39;x&#39;&gt;&#34;&amp;\n 1.5<b>a%20b%23.html</b></p>")
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        template.render(where="")


@pytest.mark.parametrize("seconds, digits, text", [
    (-3, 0, "0:00"), (-3, 2, "0.00 s"), (9.4, 0, "0:09"), (59.4, 0, "0:59"), (59.94, 1, "59.9 s"), (60, 1, "1:00.0"),
    (65.25, 2, "1:05.25"), (119.96, 1, "2:00.0"), (3599.7, 0, "1:00:00"), (3725.25, 1, "1:02:05.2"), (36061, 0,
                                                                                                      "10:01:01")])
def test_times(seconds, digits, text):
    assert clock(seconds, digits=digits) == text
    assert clock(5.25) == "0:05"


@pytest.mark.parametrize("duration, step, count", [
    (0.5, 0.1, 6), (0.6, 0.1, 7), (1.0, 0.2, 6), (3.0, 0.5, 7), (5, 1, 6), (7, 2, 4), (30, 5, 7), (31, 10, 4),
    (90, 15, 7), (100, 30, 4), (200, 60, 4), (700, 120, 6), (1700, 300, 6), (3000, 600, 6), (5400, 900, 7),
    (10_000, 1800, 6), (40_000, 3600, 12)])
def test_instants_are_round(duration, step, count):
    np.testing.assert_allclose(ticks(duration), np.arange(count) * step, atol=1e-9)


def test_instants_may_be_more():
    np.testing.assert_allclose(ticks(10, 20), np.arange(0, 10.1, 0.5))


def test_a_document_has_its_style_script_and_data():
    def written(title, data):
        return page("index.html", title=title, script="index.js", data=data, entries=(), emotions=())

    text = written("a <b>", {"a": [1, "ü"]})
    assert "<title>a &lt;b&gt;</title>" in text and "<h1>a &lt;b&gt;</h1>" in text
    assert '<script type="application/json" id="data">{"a":[1,"\\u00fc"]}</script>' in text
    for name in ("index.js", "style.css"):  # as they are
        assert (Path(html.__file__).parent / "templates" / name).read_text(encoding="utf-8") in text
    assert "{{" not in text and "{%" not in text
    assert "\\u0026\\u003c\\u003e\\u0027" in written("t", "&<>'")
    with pytest.raises(ValueError, match="JSON"):
        written("t", float("nan"))
