# SPDX-License-Identifier: Apache-2.0
"""A camera: what came lately is looked at once, and the answer of the last seconds comes back."""

import io
import json
import struct

import numpy as np
import pytest
from fixtures.waiting import until
from PIL import Image

from mindface_eri.preprocess.rolling import RollingClip, Sound
from mindface_eri.serve.decoding import Bounds, Settings
from mindface_eri.serve.window import LOST, SECONDS, Opening, Window, _Film, run_window

LIVE = "ws://localhost:8000/v1/live"
OPENING = {"width": 64, "height": 48, "sample_rate": 8000}


def picture(value=0):
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def message(kind, seconds, data):
    return struct.pack("<cd", kind, 1000 * seconds) + data


def test_a_window_keeps_the_last_seconds():
    window = Window(Opening(64, 48, 8000))
    assert (window.newest, window.seconds) == (-1.0, 0.0)
    for tenth in range(300):
        window.add(message(b"P", 50 + tenth / 10, b"%d" % tenth))
        window.add(message(b"S", 50 + tenth / 10, struct.pack("<h", tenth) * 800))
    window.add(message(b"P", 60.0, b"late"))  # before one that came
    found = window.look()
    assert window.newest == found.newest == pytest.approx(79.9) and window.seconds == pytest.approx(SECONDS)
    assert found.size == (64, 48) and found.since < 0
    assert found.pictures[0] == (pytest.approx(67.9), b"179") and found.pictures[-1][1] == b"299"
    rate, start, samples = found.sound
    assert rate == 8000 and start == pytest.approx(66.9) and np.frombuffer(samples, "<i2")[0] == 169
    window.add(message(b"S", 95.0, bytes(2)))  # after a hole it begins anew
    assert window.look().sound == (8000, 95.0, bytes(2))


def test_a_look_is_at_what_is_new():
    window = Window(Opening(64, 48, 0))
    for second in range(3):
        window.add(message(b"P", second, b"%d" % second))
    assert [data for _, data in window.look().pictures] == [b"0", b"1", b"2"]
    window.add(message(b"P", 3, b"3"))
    look = window.look()
    assert (look.since, look.newest, look.pictures) == (2.0, 3.0, [(3.0, b"3")])
    assert window.look().pictures == []
    again = window.look(anew=True)
    assert again.since < 0 and len(again.pictures) == 4 and window.look().since == 3.0


def test_a_window_is_bounded(monkeypatch):
    monkeypatch.setattr("mindface_eri.serve.window._MOST_PICTURES", 5)
    monkeypatch.setattr("mindface_eri.serve.window._MOST_BYTES", 100)
    window = Window(Opening(64, 48, 0))
    for i in range(9):
        window.add(message(b"P", i / 10, bytes(10)))
    assert len(window.look().pictures) == 5
    window.add(message(b"P", 2, bytes(70)))
    assert [len(data) for _, data in window.look(anew=True).pictures] == [10, 10, 10, 70]


@pytest.mark.parametrize("data", [b"", b"P", b"P" + bytes(8), message(b"X", 1, b"a"), message(b"P", -1, b"a"),
                                  message(b"P", float("nan"), b"a"), message(b"S", 1, b"abc"), message(b"S", 1, b"ab")])
def test_messages_that_are_none(data):
    with pytest.raises(ValueError):
        Window(Opening(64, 48, 0 if data[-1:] == b"b" else 8000)).add(data)


@pytest.mark.parametrize("change", [{"width": 8}, {"height": 9999}, {"width": "64"}, {"sample_rate": 7},
                                    {"width": None}, {"sample_rate": 1.5}])
def test_openings_that_cannot_be(change):
    assert Opening.of({**OPENING, "sample_rate": 0}) == Opening(64, 48, 0)
    for given in ({**OPENING, **change}, []):
        with pytest.raises(ValueError):
            Opening.of(given)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("mindface_eri.serve.live.HOP", 0.05)
    monkeypatch.setattr("mindface_eri.serve.live._PATIENCE", 300)


def test_an_answer_comes_back(serve, quick, predictor):
    rng = np.random.default_rng(3)
    sound = [(0.5 + i / 2, rng.normal(scale=3000, size=4000).astype("<i2").tobytes()) for i in range(6)]
    pictures = [(0.5 + i / 2, picture(20 * i)) for i in range(6)]
    with serve() as client, client.websocket_connect(LIVE) as socket:
        socket.send_text(json.dumps(OPENING))
        until(lambda: client.cameras.free == 0)
        for seconds, data in sound:
            socket.send_bytes(message(b"S", seconds, data))
        for seconds, data in pictures:
            socket.send_bytes(message(b"P", seconds, data))
        answer = {}
        while answer.get("newest") != 3000:
            answer = json.loads(socket.receive_text())
        assert answer["face"] == "none" and answer["sound"] and answer["crop"] == "" and answer["seconds"] == 2.5
        assert "mindface_eri_live 1.0" in client.get("/metrics").text
        rolling = RollingClip(predictor.preprocess, (64, 48), SECONDS)
        rolling.add(pictures)
        clip = rolling.clip(Sound(8000, 0.5, b"".join(data for _, data in sound)))
        expected = list(predictor.predict([clip]))[0].rows()[0]
        assert answer["values"] == {name: pytest.approx(expected[name], abs=6e-5) for name in ("Fear", "Joy")}
        assert client.cameras.free == 0
        socket.close()
        until(lambda: client.cameras.free == 1)
        assert "mindface_eri_live 0.0" in client.get("/metrics").text


def test_a_process_goes_on_where_it_is_and_says_where_it_is_not(predictor):
    settings, window = Settings(predictor.preprocess, Bounds(SECONDS, 9, -1e-9)), Window(Opening(64, 48, 0))

    def clip_of(look):
        state, code, found = run_window(settings, look)
        return found.clip if state == "done" else code

    for second in range(3):
        window.add(message(b"P", second, picture(50 * second)))
    assert clip_of(window.look()).timestamps.tolist() == [0, 1, 1, 2]
    window.add(message(b"P", 3, picture(150)))
    clip = clip_of(window.look())
    assert clip.timestamps.tolist() == [0, 1, 2, 3] and clip.duration == 4.0
    window.add(message(b"P", 4, b"no picture"))
    assert clip_of(window.look()).timestamps.tolist() == [0, 1, 2, 3]
    _Film.rolling = None  # as in a process that was started anew
    window.add(message(b"P", 5, picture()))
    assert clip_of(window.look()) == LOST
    assert clip_of(window.look(anew=True)).timestamps.tolist() == [0, 2, 3, 5]
    window.add(message(b"P", 6, picture()))
    assert clip_of(window.look()).timestamps.tolist() == [0, 2, 3, 6]
    other = Window(Opening(32, 32, 0))  # another size than its pictures have
    other.add(message(b"P", 7, picture()))
    state, code, reason = run_window(settings, other.look())
    assert (state, code) == ("failed", "unusable") and "a picture of 64 x 48 pixels" in reason
    assert _Film.rolling is None
    window.add(message(b"P", 8, picture()))
    assert clip_of(window.look()) == LOST


def test_a_camera_whose_process_died_is_looked_at_anew(serve, quick):
    with serve() as client, client.websocket_connect(LIVE) as socket:
        pool = client.cameras._all[0]
        socket.send_text(json.dumps(OPENING))
        socket.send_bytes(message(b"S", 0, np.arange(8000, dtype="<i2").tobytes()))
        for second in range(4):
            socket.send_bytes(message(b"P", second, picture()))
        answer = json.loads(socket.receive_text())
        _Film.rolling = None
        socket.send_bytes(message(b"P", 9, picture()))
        while answer["newest"] < 9000:
            answer = json.loads(socket.receive_text())
        assert "values" in answer and answer["seconds"] == 9 and pool.tasks[-1].since < 0
        assert [seconds for seconds, _ in pool.tasks[-1].pictures] == [0, 1, 2, 3, 9]
        socket.close()
        until(lambda: _Film.rolling is None)  # nothing of it is left


@pytest.mark.parametrize("first, second, words", [
    ("{}", None, "width and height must be"), ("no JSON", None, "Expecting value"),
    (json.dumps(OPENING), b"X" + bytes(20), "a message begins with P")])
def test_a_camera_that_sends_rubbish_is_told(first, second, words, serve):
    with serve() as client, client.websocket_connect(LIVE) as socket:
        socket.send_text(first)
        if second:
            socket.send_bytes(second)
        closed = socket.receive()
        assert closed["type"] == "websocket.close" and closed["code"] == 1008 and words in closed["reason"]
        until(lambda: client.cameras.free == 1)


def test_one_camera_too_many_is_told(serve):
    with serve(live=1) as client, client.websocket_connect(LIVE) as first:
        first.send_text(json.dumps(OPENING))
        until(lambda: client.cameras.free == 0)
        with client.websocket_connect(LIVE) as second:
            closed = second.receive()
            assert closed["code"] == 1013 and "as many cameras as fit (1)" in closed["reason"]


def test_trouble_with_a_window_is_told_and_the_next_one_is_tried(serve, quick):
    with serve() as client, client.websocket_connect(LIVE) as socket:
        client.cameras._all[0].reply = ("failed", "timeout", "took longer")
        socket.send_text(json.dumps(OPENING))
        for second in range(4):
            socket.send_bytes(message(b"P", second, picture()))
        answer = json.loads(socket.receive_text())
        assert answer["error"].startswith("this computer is too slow") and answer["newest"] >= 2000
        client.cameras._all[0].reply = ("failed", "killed", "the worker process was killed")
        socket.send_bytes(message(b"P", 5, picture()))
        while answer["newest"] < 5000:
            answer = json.loads(socket.receive_text())
        assert answer["error"] == "the worker process was killed"


def test_a_camera_that_says_nothing_is_gone(serve, monkeypatch):
    monkeypatch.setattr("mindface_eri.serve.live._PATIENCE", 0.05)
    with serve() as client, client.websocket_connect(LIVE) as socket:
        closed = socket.receive()
        assert closed["code"] == 1008 and closed["reason"].startswith("nothing came")
        until(lambda: client.cameras.free == 1)
