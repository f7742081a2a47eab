# SPDX-License-Identifier: Apache-2.0
"""A camera: what came lately is taken apart as a file with the same pictures and sound, and the answer comes back."""

import io
import json
import struct

import numpy as np
import pytest
from fixtures.waiting import until
from PIL import Image

from mindface_eri.errors import MediaError
from mindface_eri.preprocess.recording import Recording, write_recording
from mindface_eri.preprocess.video import frame_times, read_frames
from mindface_eri.serve.window import SECONDS, Opening, Window

LIVE = "ws://localhost:8000/v1/live"
OPENING = {"width": 64, "height": 48, "sample_rate": 8000}


def picture(value=0):
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def message(kind, seconds, data):
    return struct.pack("<cd", kind, 1000 * seconds) + data


def test_a_recording_keeps_its_seconds(tmp_path):
    stamps = [100.0, 100.1, 100.25, 100.3, 101.0]
    tone = (8000 * np.sin(np.arange(8000) / 5)).astype("<i2").tobytes()
    write_recording(tmp_path / "a.mkv", Recording((64, 48), [(s, picture(40 * i)) for i, s in enumerate(stamps)], 8000,
                                                  99.75, tone))
    times = np.array(frame_times(tmp_path / "a.mkv"))
    assert np.allclose(times - times[0], np.array(stamps) - 100.0, atol=1e-6)
    assert [round(float(frame.rgb().mean()) / 40) for _, frame in read_frames(tmp_path / "a.mkv")] == [0, 1, 2, 3, 4]
    from mindface_eri.preprocess.audio import load_audio

    heard = load_audio(tmp_path / "a.mkv", 8000)
    assert heard.samples == 6000 and abs(heard.start - times[0]) < 1e-3  # nothing before a picture
    assert np.allclose(heard.waveform, np.frombuffer(tone, "<i2")[2000:] / 32768, atol=1e-4)


def test_sound_that_begins_later(tmp_path):
    write_recording(tmp_path / "a.mkv", Recording((64, 48), [(5.0, picture()), (6.0, picture())], 8000, 5.5,
                                                  np.full(4000, 9000, "<i2").tobytes()))
    from mindface_eri.preprocess.audio import load_audio

    assert load_audio(tmp_path / "a.mkv", 8000).start == pytest.approx(0.5, abs=2e-3)


def test_what_is_no_recording(tmp_path):
    with pytest.raises(MediaError, match="holds no picture"):
        write_recording(tmp_path / "a.mkv", Recording((64, 48), []))
    with pytest.raises(MediaError, match="cannot be put into a file"):
        write_recording(tmp_path / "nowhere" / "a.mkv", Recording((64, 48), [(0.0, picture())]))


def test_a_window_keeps_the_last_seconds():
    window = Window(Opening(64, 48, 8000))
    assert (window.newest, window.seconds) == (-1.0, 0.0)
    for tenth in range(300):
        window.add(message(b"P", 50 + tenth / 10, b"%d" % tenth))
        window.add(message(b"S", 50 + tenth / 10, struct.pack("<h", tenth) * 800))
    window.add(message(b"P", 60.0, b"late"))  # before one that came
    found = window.recording()
    assert window.newest == pytest.approx(79.9) and window.seconds == pytest.approx(SECONDS)
    assert found.pictures[0] == (pytest.approx(67.9), b"179") and found.pictures[-1][1] == b"299"
    assert found.sound_start == pytest.approx(66.9) and np.frombuffer(found.sound, "<i2")[0] == 169
    window.add(message(b"S", 95.0, bytes(2)))  # after a hole it begins anew
    assert window.recording().sound_start == 95.0 and window.recording().sound == bytes(2)


def test_a_window_is_bounded(monkeypatch):
    monkeypatch.setattr("mindface_eri.serve.window._MOST_PICTURES", 5)
    monkeypatch.setattr("mindface_eri.serve.window._MOST_BYTES", 100)
    window = Window(Opening(64, 48, 0))
    for i in range(9):
        window.add(message(b"P", i / 10, bytes(10)))
    assert len(window.recording().pictures) == 5
    window.add(message(b"P", 2, bytes(70)))
    assert [len(data) for _, data in window.recording().pictures] == [10, 10, 10, 70]


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


def test_an_answer_comes_back(serve, quick, predictor, tmp_path):
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
        path = tmp_path / "same.mkv"
        write_recording(path, Recording((64, 48), pictures, 8000, 0.5, b"".join(data for _, data in sound)))
        expected = list(predictor.predict([path], whole=True))[0].rows()[0]
        assert answer["values"] == {name: pytest.approx(expected[name], abs=6e-5) for name in ("Fear", "Joy")}
        assert client.cameras.free == 0
        socket.close()
        until(lambda: client.cameras.free == 1)
        assert "mindface_eri_live 0.0" in client.get("/metrics").text


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
        client.cameras._pool.reply = ("failed", "timeout", "took longer")
        socket.send_text(json.dumps(OPENING))
        for second in range(4):
            socket.send_bytes(message(b"P", second, picture()))
        answer = json.loads(socket.receive_text())
        assert answer["error"].startswith("this computer is too slow") and answer["newest"] >= 2000
        client.cameras._pool.reply = ("failed", "killed", "the worker process was killed")
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
