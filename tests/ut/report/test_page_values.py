# SPDX-License-Identifier: Apache-2.0
"""Every value, caption and label of a page."""

import dataclasses
import json
import re

import numpy as np
import pytest

from mindface_eri.report.html import heat, jpeg
from mindface_eri.report.page import render_page, write_page


def data_of(text):
    return json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', text).group(1))


def render(prediction, *arguments, **more):
    text = render_page(prediction, *arguments, **more)
    return text[text.index("<body>"):], data_of(text)


@pytest.fixture()
def clip(make_clip):
    """Four samples at uneven instants, of which one shows no face."""
    found = dataclasses.replace(
        make_clip(states=[3, 2, 0, 3], seconds=3.5), timestamps=np.array([0, 0.75, 1.5, 3.0], np.float32),
        found_share=0.626, others=2, width=640, height=360, fps=29.97)
    frames = found.frames.copy()
    frames[1, :16] = 30  # no two crops are alike
    return dataclasses.replace(found, frames=frames)


@pytest.fixture()
def prediction(make_prediction, clip):
    """Of which the network looked most at the third sample, and at a corner of the second."""
    spatial = np.full((4, 2, 3), 1 / 6)
    spatial[1, 0] = 0.5, 0.2, 0.1
    spatial[1, 1] = 0.1, 0.06, 0.04
    return dataclasses.replace(
        make_prediction(clip, emotions=("Fear", "Joy", "Awe"), values=[[0.12345, 1.25, -0.5]], segments=[[0, 3.0]]),
        temporal=np.array([0.1, 0.25, 0.45, 0.2]), spatial=spatial)


def test_the_data_of_a_clip(prediction):
    _, data = render(prediction)
    assert data == {
        "duration": 3.0, "timeline": False, "first": 3, "whole": [0.1235, 1.25, -0.5], "wholeCaption": "whole clip",
        "segments": [{"end": 3.0, "caption": "0.00 s to 3.00 s", "values": [0.1235, 1.25, -0.5]}],
        "samples": [
            {"time": 0.0, "label": "0.00 s", "state": "detected", "attention": "10.0%"},
            {"time": 0.75, "label": "0.75 s", "state": "interpolated", "attention": "25.0%"},
            {"time": 1.5, "label": "1.50 s", "state": "none", "attention": "45.0%"},
            {"time": 3.0, "label": "3.00 s", "state": "detected", "attention": "20.0%"}]}
    _, data = render(dataclasses.replace(prediction, temporal=None))
    assert {sample["attention"] for sample in data["samples"]} == {None}


@pytest.mark.parametrize("seconds, label, caption, length", [
    (4.0, "2.00 s", "0.00 s to 4.00 s", "4.00 s"), (4.5, "2.2 s", "0.0 s to 4.5 s", "4.5 s"),
    (59.8, "29.9 s", "0.0 s to 59.8 s", "59.8 s"), (60.0, "0:30", "0:00 to 1:00", "1:00")])
def test_times_have_as_many_digits_as_tell_frames_apart(make_prediction, make_clip, seconds, label, caption, length):
    body, data = render(make_prediction(make_clip(3, seconds=seconds), attention=False))
    assert (data["samples"][1]["label"], data["segments"][0]["caption"]) == (label, caption)
    assert f'<ul class="chips"><li class="">{length}</li>' in body


@pytest.mark.parametrize("count, states, first", [(5, None, 2), (4, None, 1), (5, [3, 2, 2, 2, 3], 0)])
def test_without_attention_a_page_begins_with_its_middle(make_prediction, make_clip, count, states, first):
    _, data = render(make_prediction(make_clip(count, states=states), attention=False))
    assert data["first"] == first


def test_the_header_says_what_was_found(prediction, clip, make_prediction, make_clip):
    body, _ = render(prediction, note="Trained on <toys>.")
    assert ('<h1>clip</h1><ul class="chips"><li class="">3.50 s</li><li class="">640 × 360, 30 frames a second</li>'
            '<li class="">face seen in 63% of frames (dlib)</li><li class="">2 other people</li><li class="">sound</li>'
            '</ul>'
            '<p class="soft note">Trained on &lt;toys&gt;.</p></header>') in body
    alone = make_clip(face=False, sound=False, note="nobody <there>")
    lacks = '<li class="lacks">no face</li><li class="lacks">no sound</li>'
    body, _ = render(make_prediction(dataclasses.replace(alone, width=0)), note="Toys.")
    assert (f'<ul class="chips"><li class="">3.00 s</li>{lacks}</ul>'
            '<p class="soft note">nobody &lt;there&gt;</p><p class="soft note">Toys.</p></header>') in body


def test_bars_have_their_values_and_stay_on_their_scale(prediction):
    body, _ = render(prediction)
    found = re.findall('<li class="bar"><span class="name">(.*?)</span><span class="track"><span class="fill" '
                       'style="width:(.*?)%"></span></span><span class="value">(.*?)</span></li>', body)
    assert found == [("Fear", "12.3", "0.12"), ("Joy", "100.0", "1.25"), ("Awe", "0.0", "-0.50")]
    assert '<i>0</i><i>0.5</i><i>1</i></span></li></ul><p class="soft">These numbers are a network\'s estimate' in body
    assert '<span class="soft" id="when" aria-live="polite">whole clip</span>' in body
    assert 'id="whole"' not in body


def test_faces_have_their_crops_heat_and_labels(prediction, clip):
    body, _ = render(prediction)
    found = re.findall('<button type="button" class="(.*?)" aria-label="(.*?)"><span class="crop">(.*?)</span>(.*?)'
                       '</button>', body)
    assert [(kind, label, text) for kind, label, _, text in found] == [
        ("detected", "0.00 s, detected", "0.00 s"), ("interpolated", "0.75 s, interpolated", "0.75 s"),
        ("none", "1.50 s, none", "1.50 s"), ("detected", "3.00 s, detected", "3.00 s")]
    for i, (_, _, picture, _) in enumerate(found):
        expected = (f'<img src="{jpeg(clip.frames[i])}" alt="">'
                    f'<img class="heat" src="{heat(prediction.spatial[i], 0.5)}" alt="">')
        assert picture == ("no face" if i == 2 else expected)
    assert '<p class="ramp">even share<i></i>3.0 times as much</p>' in body  # 0.5 of 1/6 is shown densest
    assert '<input type="checkbox" id="attention" checked> show where the network looked' in body
    assert '<dt>attention</dt><dd><span id="weight"></span></dd>' in body
    assert '<div class="faces" role="group" aria-label="Sampled frames; arrow keys move">' in body
    assert ('<ul class="legend"><li class="detected"><i></i>2 detected</li><li class="interpolated"><i></i>1 '
            'interpolated (a short gap)</li><li class="none"><i></i>1 no face (the nearest crop stands in)</li>'
            '</ul>') in body


def test_nearly_even_attention_says_its_largest(prediction):
    even = np.full((4, 2, 3), 1 / 6)
    even[1, 0, 0] = 0.3
    body, _ = render(dataclasses.replace(prediction, spatial=even))
    assert '<p class="ramp">even share<i></i>2.0 times as much; here at most 1.8</p>' in body
    assert f'src="{heat(even[1], 0.3)}"' in body
    even[3, 1, 2] = 0.41
    body, _ = render(dataclasses.replace(prediction, spatial=even))
    assert '<p class="ramp">even share<i></i>2.5 times as much</p>' in body
    body, _ = render(dataclasses.replace(prediction, spatial=None, temporal=None))
    assert '<span class="soft">this model file carries no attention</span>' in body
    body, _ = render(dataclasses.replace(prediction, spatial=None))  # of sound alone: attended over time only
    assert "carries no attention" not in body
    assert 'class="heat"' not in body and 'class="ramp"' not in body and 'id="weight"' in body
    body, _ = render(dataclasses.replace(prediction, temporal=None))
    assert "attention</dt>" not in body and "attention up to" not in body


def test_a_legend_counts_every_state(make_prediction, make_clip):
    body, _ = render(make_prediction(make_clip(7, states=[1, 1, 1, 2, 2, 3, 1])))
    assert ('<ul class="legend"><li class="detected"><i></i>1 detected</li><li class="interpolated"><i></i>2 '
            'interpolated (a short gap)</li><li class="held"><i></i>4 held (a longer gap)</li></ul>') in body


def test_the_charts_over_time_of_a_clip(prediction):
    body, _ = render(prediction)
    part = body[body.index('id="h-time"'):]
    assert re.findall('<div class="name">(.*?)</div>', part) == [
        "face", 'sound, <span class="key">attention up to 45%</span>']
    assert re.findall('<svg class="(.*?)"', part) == ["ribbon", "tall"]
    assert re.findall('aria-valuemax="(.*?)"', part) == ["3"]
    assert part.index("aria-valuemax") > part.index("ribbon")  # the slider is the sound's chart
    assert 'class="wave"' in part and 'points="0.0,77.11 250.0,45.78 500.0,4.00 1000.0,56.22"' in part
    assert '<rect class="detected" x="0.0" y="0" width="125.0" height="100"/>' in part
    assert part.rstrip().count("<span") > 5 and "3.0 s" in part and "Windows of" not in part


def test_facts_say_which_file_and_model(prediction):
    body, _ = render(prediction, {"model": "m.ckpt", "<n>": "1 & 2", "detector": "mtcnn"})
    assert ('<dl class="facts"><dt>file</dt><dd>clip.mp4</dd><dt>detector</dt><dd>mtcnn</dd><dt>model</dt>'
            '<dd>m.ckpt</dd><dt>&lt;n&gt;</dt><dd>1 &amp; 2</dd></dl>') in body
    assert '<dt>detector</dt><dd>dlib</dd></dl>' in render(prediction)[0]


def test_a_page_without_a_face(prediction, make_clip):
    lone = dataclasses.replace(prediction, clip=make_clip(face=False), spatial=None)
    body, data = render(lone)
    assert (data["samples"], data["first"]) == ([], 0)
    assert ('<p class="absent">No picture was used: no face was found. <span id="at" hidden></span>'
            '<span id="state" hidden></span></p></section>') in body
    assert re.findall('<svg class="(.*?)"', body) == ["tall"] and 'role="slider"' not in body


def test_the_title_and_the_file(prediction, tmp_path):
    path = write_page(tmp_path / "p.html", prediction, {"a": "b"}, note="Toys.")
    assert path == tmp_path / "p.html"
    text = path.read_text(encoding="utf-8")
    assert text == render_page(prediction, {"a": "b"}, note="Toys.")
    assert "<title>clip: emotional reaction intensity</title>" in text
    body = text[text.index("<body>"):text.index("<script")]
    sections = re.sub(r"(?s)(<(?:header|section).*?>).*?(</(?:header|section)>)", r"\1\2", body)
    assert re.sub("<(header|section)[^>]*>", r"<\1>", sections) == (
        '<body><header></header><main><div class="columns"><section></section><section></section></div>'
        "<section></section><section></section></main>")


def test_which_faces_of_a_long_clip_are_shown(make_prediction, make_clip):
    """At most 160: of each stretch the best seen, most attended one."""
    def times(count, temporal=None, states=None):
        clip = make_clip(count, seconds=count - 1.0, states=states)
        prediction = make_prediction(clip, attention=False)
        body, data = render(dataclasses.replace(prediction, temporal=temporal))
        return body, [sample["time"] for sample in data["samples"]]

    body, shown = times(160)
    assert shown == list(range(160)) and '<div class="faces many"' in body
    assert '<div class="faces many"' not in times(40)[0] and '<div class="faces many"' in times(41)[0]
    assert times(161)[1] == list(range(160))  # the last two share a stretch; the first of those alike
    assert times(320)[1] == list(range(0, 320, 2))
    assert times(320, np.r_[np.zeros(101), 0.4, np.zeros(218)])[1][50] == 101
    states = np.full(320, 3)
    states[101] = 2
    assert times(320, np.r_[np.zeros(101), 0.4, np.zeros(218)], states)[1][50] == 100


def test_a_timeline_shows_its_segments_and_a_face_of_each(make_prediction, make_clip):
    clip = dataclasses.replace(make_clip(7, seconds=90.0, states=[1, 3, 3, 0, 2, 3, 3]),
                               timestamps=np.array([0, 10, 20, 30, 50, 70, 90], np.float32))
    values = np.array([[0.2, 0.4], [np.nan, np.nan], [0.7, 0.12346]])
    prediction = make_prediction(clip, emotions=("Fear", "Joy"), segments=[[0, 30], [30, 50], [50, 90]], values=values,
                             window=30.0, hop=12.5)
    prediction = dataclasses.replace(prediction, temporal=np.array([0.9, 0.2, 0.1, 0.1, 0.0, 0.3, 0.05]))
    body, data = render(prediction)
    assert data == {
        "duration": 90.0, "timeline": True, "first": 0, "whole": [0.45, 0.2617], "wholeCaption": "mean over 1:30",
        "segments": [{"end": 30.0, "caption": "0:00 to 0:30", "values": [0.2, 0.4]},
                     {"end": 50.0, "caption": "0:30 to 0:50", "values": [None, None]},
                     {"end": 90.0, "caption": "0:50 to 1:30", "values": [0.7, 0.1235]}],
        "samples": [{"time": 10.0, "label": "0:10", "state": "detected", "attention": "20.0%"},
                    {"time": 20.0, "label": "0:20", "state": "detected", "attention": "10.0%"},
                    {"time": 70.0, "label": "1:10", "state": "detected", "attention": "30.0%"}]}
    assert ('<p class="soft">Windows of 30 s begin every 30 s, the last one ends with the video; each stretch shows '
            'the mean of the windows that hold its middle. Each chart goes from 0 to 1. Click, drag or use the arrow '
            'keys.</p>') in body
    assert 'id="when" aria-live="polite">mean over 1:30</span>' in body
    assert '<button type="button" class="plain" id="whole" hidden>Show the mean of the whole video</button>' in body
    assert '<dd><span id="weight"></span> of its window</dd>' in body
    part = body[body.index('id="h-time"'):]
    assert re.findall('<div class="name">(.*?)</div>', part) == [
        "Fear", "Joy", "face", 'sound, <span class="key">attention up to 90%</span>']
    assert re.findall('<svg class="(.*?)"', part) == ["small", "small", "ribbon", "tall"]
    assert re.findall('aria-valuemax="(.*?)"', part) == ["2"]
    assert part.index("aria-valuemax") < part.index(">Joy<")  # one slider a page: the first chart


@pytest.mark.parametrize("window, hop, segments, words", [
    (12.0, 6.0, [[0, 6.2], [6.2, 12.4], [12.4, 20]], "Windows of 12 s begin every 6.2 s, the last one ends with"),
    (12.0, 6.0, [[0, 20]], "Windows of 12 s begin every 6 s, the last one ends with"),
    (30.0, 6.0, [[0, 10], [10, 20]], "One window over all 20 s. Each chart"),
    (20.0, 6.0, [[0, 20]], "One window over all 20 s. Each chart")])
def test_what_is_said_of_windows_is_how_they_lie(make_prediction, make_clip, window, hop, segments, words):
    body, _ = render(make_prediction(make_clip(6, seconds=20.0), emotions=("E",), segments=segments,
                                     values=[[0.5]] * len(segments), window=window, hop=hop))
    assert f'<p class="soft">{words}' in body


def test_one_other_person_is_no_people(make_prediction, make_clip):
    for others, said in ((1, "1 other person"), (2, "2 other people")):
        clip = dataclasses.replace(make_clip(2), others=others, followed_share=0.5, found_share=0.75)
        body, _ = render(make_prediction(clip))
        assert f'<li class="">face seen in 25% of frames, followed in 50% (dlib)</li><li class="">{said}</li>' in body


def test_a_timeline_without_a_picture_steps_through_its_segments(make_prediction, make_clip):
    prediction = make_prediction(make_clip(face=False, seconds=8.0), emotions=("E",), segments=[[0, 3], [3, 8]],
                             values=[[0.5], [0.25]], window=3.0, hop=3.0)
    body, data = render(prediction)
    assert data["samples"] == [{"time": 1.5, "label": "1.5 s", "state": "", "attention": None},
                               {"time": 5.5, "label": "5.5 s", "state": "", "attention": None}]
    assert re.findall('aria-valuemax="(.*?)"', body) == ["1"] and 'class="ribbon"' not in body
    assert data["first"] == 0 and data["wholeCaption"] == "mean over 8.0 s"
