# SPDX-License-Identifier: Apache-2.0
"""Answers over HTTP are those of `predict`, whatever name a clip is sent under, and nothing of it stays."""

import json
import threading
import unicodedata

import pytest
from fixtures.waiting import until

from mindface_eri.prediction.answers import format_answers

PLACE = "/v1/predictions"


def post(client, content, name="clip.wav", headers=None, **fields):
    return client.post(PLACE, files={"file": (name, content)}, data=fields, headers=headers)


@pytest.mark.parametrize("fields", [{}, {"window": "1", "hop": "0.5"}, {"window": "2", "whole": "0"}])
def test_rows_are_those_of_predict(fields, serve, sound, predictor, tmp_path):
    path = tmp_path / "anna 1.wav"
    path.write_bytes(sound(2.5))
    options = {name: float(value) for name, value in fields.items() if name != "whole"}
    rows = list(predictor.predict([path], **options))[0].rows()
    assert len(rows) == (1 if not fields else 2 if "whole" in fields else 4)
    with serve() as client:
        response = post(client, path.read_bytes(), "anna 1.wav", **fields)
        answer = response.json()
        assert (response.status_code, answer["state"], answer["file"]) == (200, "done", "anna 1.wav")
        assert answer["rows"] == rows and answer["seconds"] == 2.5
        assert answer["quality"] == "no picture used; sound; no video stream"
        assert list(answer["mean"]) == ["Fear", "Joy"]
        assert client.get(response.headers["location"]).json() == answer
        assert client.get(answer["links"]["csv"]).text == format_answers(rows, ("Fear", "Joy"), "csv") + "\n"
        assert json.loads(client.get(answer["links"]["json"]).text) == rows


def test_a_picture_and_its_sound(serve, sound, predictor, write_streams, tmp_path):
    import numpy as np

    film, voice = tmp_path / "a.mkv", tmp_path / "b.wav"
    write_streams(film, np.random.default_rng(1).integers(0, 255, (5, 48, 64, 3), np.uint8), [0.0, 0.1, 0.2, 0.3, 0.4])
    voice.write_bytes(sound(0.5))
    rows = list(predictor.predict([(film, voice)]))[0].rows()
    with serve() as client:
        files = {"file": ("a.mkv", film.read_bytes()), "sound": ("b.wav", voice.read_bytes())}
        answer = client.post(PLACE, files=files)
        assert answer.json()["rows"] == rows


@pytest.mark.parametrize("name, shown, identity", [
    ("../../etc/passwd.wav", "passwd.wav", "passwd"), ("C:\\clips\\a.b.wav", "a.b.wav", "a.b"), ("..", "clip", "clip"),
    ("x" * 500 + ".wav", "x" * 200, "x" * 200), ("a\x1b[31m.wav", "a\\x1b[31m.wav", "a\\x1b[31m"),
    ("ünï.wäv", "ünï.wäv", "ünï"), ("noending", "noending", "noending"), (".wav", ".wav", ".wav")])
def test_names_are_never_paths(name, shown, identity, serve, sound):
    with serve() as client:
        answer = post(client, sound(0.3), name).json()
        assert answer["file"] == shown
        assert answer["rows"][0]["File_ID"] == unicodedata.normalize("NFC", identity)
        job = client.pool.tasks[0].job
        assert job.video.parent == client.pool.tasks[0].folder and job.video.stem == "file"
        assert job.video.suffix in (".wav", ".wv", "")


def test_a_long_one_is_asked_for_later(serve, sound):
    go = threading.Event()
    with serve() as client:
        client.pool.go = go.wait
        response = post(client, sound(), headers={"Prefer": "respond-async"})
        answer = response.json()
        assert response.status_code == 202 and response.headers["retry-after"] == "1"
        assert answer["state"] in ("queued", "running") and "rows" not in answer
        until(lambda: client.get(answer["href"]).json()["stage"] == "reading")
        early = client.get(answer["href"] + "/rows.csv")
        assert early.status_code == 404 and "not answered yet" in early.json()["detail"]
        assert post(client, sound(), headers={"Prefer": "wait=0"}).status_code == 202
        go.set()
        until(lambda: client.get(answer["href"]).json()["state"] == "done")
        until(lambda: client.engine._taken == 0)


def test_a_page_where_one_is_asked_for(serve, sound):
    with serve() as client:
        answer = post(client, sound(), page="1").json()
        page = client.get(answer["links"]["html"])
        assert page.status_code == 200 and "<h1>clip</h1>" in page.text and "clip.wav" in page.text
        assert page.headers["content-security-policy"] == "sandbox allow-scripts; frame-ancestors 'self'"
        without = post(client, sound()).json()
        assert "html" not in without["links"]
        assert client.get(without["href"] + "/page.html").status_code == 404


def test_nothing_stays_but_what_is_kept(serve, sound, tmp_path, monkeypatch):
    from mindface_eri.serve import engine

    monkeypatch.setattr(engine, "KEPT", 2)
    keep = tmp_path / "kept"
    with serve(keep=keep) as client:
        folder = client.pool.tasks
        answers = [post(client, sound(0.3, seed), f"{seed}.wav").json() for seed in range(4)]
        assert not any(task.folder.exists() for task in folder) and len(folder) == 4
        assert [client.get(answer["href"]).status_code for answer in answers] == [404, 404, 200, 200]
        assert post(client, b"no media").status_code == 422
        whole = folder[0].folder.parent
        assert list(whole.iterdir()) == []
    assert not whole.exists()
    assert sorted(path.name for path in keep.iterdir()) == sorted(answer["id"] for answer in answers)
    stored = json.loads((keep / answers[1]["id"] / "rows.json").read_text())
    assert stored == {"file": "1.wav", "rows": answers[1]["rows"]}
    assert "<h1>1</h1>" in (keep / answers[1]["id"] / "page.html").read_text()


def test_the_model_and_the_metrics(serve, sound):
    with serve(max_seconds=9) as client:
        model = client.get("/v1/model").json()
        assert model["emotions"] == ["Fear", "Joy"] and model["limits"]["max_seconds"] == 9 and not model["keeps"]
        post(client, sound())
        post(client, b"no media")
        text = client.get("/metrics").text
        assert 'mindface_eri_clips_total{outcome="answered"} 1.0' in text
        assert 'mindface_eri_clips_total{outcome="unusable"} 1.0' in text and "mindface_eri_places 0.0" in text
        assert client.get("/healthz").text == "ok\n" and client.get("/readyz").text == "ready\n"
