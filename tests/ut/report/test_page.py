# SPDX-License-Identifier: Apache-2.0
"""Pages: nothing leaves the file, text stays text, and what is absent is said."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mindface_eri.report.html import clock, heat, page, ticks
from mindface_eri.report.index import Entry, entry_of, file_names, render_index
from mindface_eri.report.page import render_page, write_page

EVIL = "</script><img src=x onerror=alert(1)> \"'&{{script}} $&"


class Outline(HTMLParser):
    """Tags, attributes and text of a document; script and style apart."""

    VOID = {"meta", "link", "img", "input", "br", "rect", "line", "polygon", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


def check(text):
    """Well nested, no address that is not data, no inline handler, and a policy that knows its script."""
    outline = Outline(text)
    assert outline.open == []
    for _, attributes in outline.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith("data:") or re.fullmatch(r"[\w.%-]+\.html", value)
    policy = next(a["content"] for t, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(outline.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "url(" not in text
    return outline


@pytest.mark.parametrize("face, sound, attention", [(True, True, True), (True, False, False), (False, True, True)])
def test_the_page_says_what_is_there(make_prediction, make_clip, face, sound, attention):
    clip = make_clip(face=face, sound=sound, states=[3, 2, 1, 0], note="" if face else "no face in any of 9 frames")
    outline = check(render_page(make_prediction(clip, attention=attention), {"weights": "best.ckpt"}))
    assert ("no sound" in outline.text) == (not sound)
    assert ("No picture was used: no face in any of 9 frames" in outline.text) == (not face)
    assert ("carries no attention" in outline.text) == (face and not attention)
    assert "best.ckpt" in outline.text
    images = [a["src"] for t, a in outline.tags if t == "img"]
    assert len(images) == (6 if attention else 3) * face
    data = json.loads(outline.scripts[0])
    assert [round(v, 2) for v in data["whole"]] == [0.1, 0.23, 0.37, 0.5, 0.63, 0.77, 0.9]
    assert [s["state"] for s in data["samples"]] == (["detected", "interpolated", "held", "none"] if face else [])


def test_the_page_begins_with_a_face_worth_seeing(make_prediction, make_clip):
    def first(states, temporal=None, **more):
        prediction = make_prediction(make_clip(states=states), attention=temporal is not None, **more)
        if temporal is not None:
            prediction = dataclasses.replace(prediction, temporal=np.array(temporal))
        return json.loads(check(render_page(prediction)).scripts[0])["first"]

    assert first([3, 3, 3, 0], [0.1, 0.2, 0.1, 0.6]) == 1  # the most attended frame shows no face
    assert first([0, 3, 3, 2]) == 1
    assert first([3, 0, 0, 0]) == 0


def test_attention_that_is_nearly_even_is_said(make_prediction):
    text = Outline(render_page(make_prediction())).text
    assert "even share2.0 times as much; here at most 1.0" in text
    assert "attention up to 25%" in text


def test_a_timeline_has_a_chart_an_emotion_and_gaps(make_prediction, make_clip):
    values = np.full((3, 7), 0.5)
    values[1] = np.nan
    prediction = make_prediction(make_clip(6), segments=[[0, 1], [1, 2], [2, 3]], values=values, window=2.0, hop=1.0)
    outline = check(render_page(prediction))
    assert "Windows of 2 s begin every 1 s" in outline.text
    sliders = [a for t, a in outline.tags if a.get("role") == "slider"]
    assert [a["aria-valuemax"] for a in sliders] == ["2"]
    lines = [a["points"] for t, a in outline.tags if t == "polyline" and a.get("class") == "line"]
    assert len(lines) == 14  # seven emotions, each in two stretches
    data = json.loads(outline.scripts[0])
    assert data["segments"][1]["values"] == [None] * 7
    assert len(data["samples"]) == 3


def test_text_of_others_stays_text(make_prediction):
    text = render_page(make_prediction(name=EVIL, emotions=(EVIL, "b")), {EVIL: EVIL}, note=EVIL)
    outline = check(text)
    assert outline.text.count("onerror=alert(1)") == 6  # title, heading, bar, note, and both of the facts
    assert not [t for t, a in outline.tags if "onerror" in a]
    entries = [Entry(EVIL, page="a.html", values=(0.5,)), Entry("b", error=EVIL)]
    assert not [t for t, a in check(render_index(entries, [EVIL], title=EVIL)).tags if "onerror" in a]


def test_data_cannot_end_its_script():
    outline = check(page("index.html", title="t", script="index.js", data={"a": "</script><!--\u2028"}, entries=(),
                         emotions=()))
    assert json.loads(outline.scripts[0]) == {"a": "</script><!--\u2028"}


def test_even_attention_is_clear_and_a_peak_dense():
    from io import BytesIO

    from PIL import Image

    def alpha(weights, largest):
        return np.asarray(Image.open(BytesIO(base64.b64decode(heat(weights, largest).split(",")[1]))))[..., 3]

    assert alpha(np.full((7, 7), 1 / 49), 1 / 49).max() == 0
    peak = np.zeros((7, 7))
    peak[2, 3] = 1
    assert alpha(peak, 1.0)[2, 3] == alpha(peak, 1.0).max() > 150
    assert (alpha(peak, 1.0) > 0).sum() == 1


@pytest.mark.parametrize("seconds, digits, text", [
    (5.25, 1, "5.2 s"), (59.999, 0, "1:00"), (75.5, 1, "1:15.5"), (3725, 0, "1:02:05"), (600, 0, "10:00"),
    (0, 0, "0:00")])
def test_clock(seconds, digits, text):
    assert clock(seconds, digits=digits) == text


def test_ticks_are_round_and_few():
    for span in (0.7, 1.9, 9.9, 61, 600, 7200):
        marks = list(ticks(span))
        assert 3 <= len(marks) <= 8
        assert marks[0] == 0
        assert marks[-1] <= span * 1.001


def test_index_lines(make_prediction):
    entry = entry_of(make_prediction(), "clip.html")
    assert entry.thumbnail.startswith("data:image/jpeg")
    outline = check(render_index([entry, Entry("bad", error="no picture, no sound")], ["E"] * 7, title="t"))
    assert "2 clips, 1 of which could not be used" in outline.text
    assert [a["href"] for t, a in outline.tags if t == "a"] == ["clip.html"]
    assert [a["colspan"] for t, a in outline.tags if "colspan" in a] == ["11"]  # the reason, over all of its columns
    assert len([1 for t, a in outline.tags if "data-value" in a]) == 10


def test_page_names_are_plain_and_unique():
    names = file_names(["a/b", "a b", "index", "../..", "A_B", "grüße"])
    assert names == {"a/b": "a_b.html", "a b": "a_b-2.html", "index": "index-2.html", "../..": "clip.html",
                     "A_B": "A_B-3.html", "grüße": "grüße.html"}


def test_written_whole(make_prediction, tmp_path):
    write_page(tmp_path / "new" / "p.html", make_prediction())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["p.html"]
