# SPDX-License-Identifier: Apache-2.0
"""The lines of the index, cell by cell, and the names of the pages that they lead to."""

import dataclasses
import re

import numpy as np
import pytest

from mindface_eri.report.html import jpeg
from mindface_eri.report.index import Entry, entry_of, file_names, render_index, write_index


def test_a_line_has_what_its_cells_are_sorted_by():
    entry = Entry("a <b>", "a b#.html", (0.123456789, 1.5, -0.25), "data:image/jpeg;base64,QQ==", 12.34, 0.456, True)
    text = render_index([entry], ("Fear", "Joy", "Awe"), title="T & t")
    row = re.search("<tbody>(.*)</tbody>", text).group(1)
    assert row == (
        '<tr><td><div class="crop"><img src="data:image/jpeg;base64,QQ==" alt=""></div></td>'
        '<td class="id"><a href="a%20b%23.html">a &lt;b&gt;</a></td>'
        '<td class="number bar" data-value="0.123457">0.12<b><i style="width:12%"></i></b></td>'
        '<td class="number bar" data-value="1.5">1.50<b><i style="width:100%"></i></b></td>'
        '<td class="number bar" data-value="-0.25">-0.25<b><i style="width:0%"></i></b></td>'
        '<td class="number" data-value="12.34">12.3 s</td><td class="number" data-value="0.456">46%</td>'
        '<td class="number" data-value="1">yes</td></tr>')
    assert re.search("<thead>(.*)</thead>", text).group(1) == (
        '<tr><th><span hidden>face</span></th>'
        '<th scope="col" data-first="ascending" class="id"><button type="button">clip</button></th>' + "".join(
            f'<th scope="col" data-first="descending"><button type="button">{name}</button></th>'
            for name in ("Fear", "Joy", "Awe", "length", "face", "sound")) + "</tr>")
    assert "<title>T &amp; t</title>" in text and "<h1>T &amp; t</h1><p>1 clips</p></header>" in text
    assert '<script type="application/json" id="data">null</script>' in text


def test_a_line_of_little():
    assert Entry("x") == Entry("x", "", (), "", 0.0, 0.0, False, "")
    text = render_index([Entry("x", duration=75.2), Entry("y", duration=59.94)], (), title="t")
    first, second = re.findall("<tr><td>(.*?)</tr>", text)
    assert first == ('<div class="crop">no face</div></td><td class="id">x</td><td class="number" data-value="75.2">'
                     '1:15</td><td class="number" data-value="0">0%</td><td class="number" data-value="0">no</td>')
    assert ">59.9 s</td>" in second


def test_clips_that_failed_are_counted_and_say_why():
    entries = [Entry("a", error="<no>"), Entry("b", "b.html", (0.5, 0.25)), Entry("c", error="why")]
    text = render_index(entries, ("E", "F"), title="t")
    assert "<p>3 clips, 2 of which could not be used</p>" in text
    assert ('<tr><td><div class="crop"></div></td><td class="id" colspan="6">a<br><span class="soft">&lt;no&gt;</span>'
            '</td></tr><tr><td><div class="crop">no face</div></td><td class="id"><a href="b.html">b</a></td>') in text


@pytest.mark.parametrize("face, sound", [(True, False), (False, True)])
def test_an_analysis_line(make_prediction, make_clip, face, sound):
    clip = make_clip(face=face, sound=sound, states=[3, 2, 0, 3], seconds=4.5)
    prediction = dataclasses.replace(
        make_prediction(dataclasses.replace(clip, found_share=np.float32(0.25)), name="n", emotions=("E", "F"),
                      values=[[0.25, 0.75]], segments=[[0, 4]]), temporal=np.array([0.1, 0.4, 0.3, 0.2]))
    entry = entry_of(prediction, "n.html")
    assert entry == Entry("n", "n.html", (0.25, 0.75), jpeg(clip.frames[3]) if face else "", 4.5, 0.25 if face else 0.0,
                          sound)
    assert all(type(value) is float for value in entry.values)


def test_names_of_pages():
    long = "x" * 70
    assert file_names([long, long + "y", "._a._", "Index", "clip", "", "été/1"]) == {
        long: "x" * 60 + ".html", long + "y": "x" * 60 + "-2.html", "._a._": "a.html", "Index": "Index-2.html",
        "clip": "clip.html", "": "clip-2.html", "été/1": "été_1.html"}
    assert list(file_names(["a.b", "a-2", "a", "A"]).values()) == ["a.b.html", "a-2.html", "a.html", "A-3.html"]


def test_the_index_says_what_the_numbers_are_and_what_gave_them():
    plain, noted = (render_index([Entry("a")], ("E",), title="T", note=note) for note in ("", "Drawn & computed."))
    assert all("nothing to decide about people by" in text for text in (plain, noted))
    assert "Drawn &amp; computed." in noted and 'class="soft note"' in noted and 'class="soft note"' not in plain


def test_the_index_is_written(tmp_path):
    path = write_index(tmp_path / "new" / "index.html", [Entry("a")], ("E",))
    assert path == tmp_path / "new" / "index.html"
    assert path.read_text(encoding="utf-8") == render_index([Entry("a")], ("E",),
                                                            title="Emotional reaction intensities")
    assert "<h1>T</h1>" in write_index(path, [Entry("a")], ("E",), title="T").read_text(encoding="utf-8")
