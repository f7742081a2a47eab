# SPDX-License-Identifier: Apache-2.0
"""Whatever cannot be answered has its status, its code and the sentence that the command would print; the next clip is
answered all the same."""

import asyncio
import errno
import logging
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.waiting import until

from mindface_eri.datasets.build.workers import STOPPED
from mindface_eri.errors import ERIError

PLACE = "/v1/predictions"
FORM = "multipart/form-data; boundary=x"


def post(client, content, name="clip.wav", headers=None, **fields):
    return client.post(PLACE, files={"file": (name, content)}, data=fields, headers=headers)


def check(response, status, code, words):
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"]) == (status, status)
    assert problem["type"] == f"urn:mindface-eri:problem:{code}"
    assert words in problem["detail"] and problem["title"]
    return response


@pytest.mark.parametrize("fields, words", [
    ({"window": "soon"}, "window 'soon': must be seconds"), ({"window": "1", "hop": "2"}, "hop of 2 s"),
    ({"window": "nan"}, "window of nan s"), ({"whole": "perhaps"}, "whole 'perhaps': must be 1 or 0"),
    ({"whole": "1", "window": "2"}, "one row a video"),
    ({"person": "/etc/passwd"}, "person '/etc/passwd': must be one of"),
    ({"model": "x"}, "there is no field `model`"), ({"window": "1" * 2000}, "exceeded maximum size")])
def test_fields_that_cannot_be(fields, words, serve, sound):
    with serve() as client:
        check(post(client, sound(), **fields), 400, "bad-request", words)
        assert client.engine._taken == 0 and client.pool.tasks == []


def test_forms_that_are_none(serve, sound):
    with serve() as client:
        check(client.post(PLACE, content=b"{}", headers={"Content-Type": "application/json"}), 415, "no-form", "file")
        check(client.post(PLACE, content=b"rubbish", headers={"Content-Type": FORM}), 400, "bad-request", "")
        check(client.post(PLACE, data={"window": "1"}, files={"sound": ("a.wav", b"x")}), 400, "bad-request", "missing")
        check(client.post(PLACE, files=[("file", ("a", b"x"))] * 3), 400, "bad-request", "Too many files")
        check(client.post(PLACE, files=[("file", ("a", b"x"))] * 2), 400, "bad-request", "`file` comes twice")
        check(client.post(PLACE, data={"window": ["1", "2"]}, files={"file": ("a", b"x")}), 400, "bad-request",
              "`window` comes twice")
        check(client.get("/v1/nothing"), 404, "not-found", "there is nothing at /v1/nothing")
        check(client.get(PLACE), 405, "not-allowed", "GET is no method of /v1/predictions")
        check(client.get(f"{PLACE}/../../etc"), 404, "not-found", "")
        check(client.get(f"{PLACE}/unknown"), 404, "not-found", "no clip has this id")
        assert client.engine._taken == 0


def test_media_that_cannot_be_used(serve, sound, predictor, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"no media")
    said = list(predictor.predict([path]))[0].error
    with serve() as client:
        check(post(client, b"no media"), 422, "unusable", said.replace(str(path), "clip.wav"))
        check(post(client, b""), 422, "unusable", "clip.wav: the file is empty")
        check(post(client, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "list.m3u8"), 422, "unusable", "list.m3u8: ")
        answer = client.post(PLACE, files={"file": ("a.wav", b"no media")}, headers={"Prefer": "respond-async"}).json()
        until(lambda: client.get(answer["href"]).json()["state"] == "failed")
        assert client.get(answer["href"]).json()["problem"]["status"] == 422
        check(client.get(f"{answer['href']}/rows.csv"), 422, "unusable", "a.wav")
        assert post(client, sound()).status_code == 200


def test_limits_of_a_clip(serve, sound, write_streams, tmp_path):
    write_streams(tmp_path / "a.mkv", np.zeros((2, 48, 64, 3), np.uint8), [0.0, 0.1])
    with serve(max_seconds=2, max_megabytes=0.04, max_megapixels=0.003) as client:
        assert post(client, sound(1.9)).status_code == 200
        check(post(client, sound(2.4)), 422, "too-long", "clip.wav: 2 s, at most 2 s are taken here")
        many = check(post(client, sound(1.9), window="0.001", hop="0.001"), 422, "too-long", "5701 crops, at most 4000")
        assert "longer windows" in many.json()["detail"]
        check(post(client, (tmp_path / "a.mkv").read_bytes(), "a.mkv"), 422, "too-many-pixels",
              "a.mkv: a picture of 64 x 48, at most 0.003 megapixels")
        check(post(client, sound(2.6)), 413, "too-large", "larger than 0.04 MB")

        def pieces():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            yield from [bytes(10_000)] * 5

        check(client.post(PLACE, content=pieces(), headers={"Content-Type": FORM}), 413, "too-large", "0.04 MB")
        assert client.engine._taken == 0


def test_a_full_server_says_when_to_come_again(serve, sound):
    go = threading.Event()
    with serve(uploads=2) as client:
        client.pool.go = go.wait
        first = [post(client, sound(), headers={"Prefer": "respond-async"}).json() for _ in range(2)]
        busy = check(post(client, sound()), 429, "busy", "2 clips are being received or answered")
        assert int(busy.headers["retry-after"]) >= 1 and busy.headers["retry-after"] in busy.json()["detail"]
        assert "mindface_eri_refused_total 1.0" in client.get("/metrics").text
        go.set()
        until(lambda: all(client.get(answer["href"]).json()["state"] == "done" for answer in first))
        assert post(client, sound()).status_code == 200


@pytest.mark.parametrize("reply, status, code, words", [
    (("failed", "timeout", "took longer than 120 s"), 504, "too-slow", "clip.wav: took longer than 120 s"),
    (("failed", "killed", "the process was killed by signal 11"), 422, "unusable", "clip.wav: the process was"),
    (("failed", "crash", "the process ended with status 1"), 422, "unusable", "clip.wav: the process ended"),
    (("fatal", "start", "a worker process cannot be started"), 500, "fault", "cannot be started"),
    (STOPPED, 503, "stopping", "send it again")])
def test_what_workers_say(reply, status, code, words, serve, sound):
    with serve() as client:
        client.pool.reply = reply
        check(post(client, sound()), status, code, words)
        client.pool.reply = None
        assert post(client, sound()).status_code == 200
        deaths = float(reply[1] in ("killed", "crash"))
        assert f"mindface_eri_worker_deaths_total {deaths}" in client.get("/metrics").text


def test_a_network_that_fails(serve, sound, predictor, caplog):
    with serve() as client:
        predictor._backend.broken = "no memory"
        check(post(client, sound()), 422, "unusable", "clip.wav: RuntimeError: no memory")
        predictor._backend.broken = ""
        client.engine._ask = None
        with caplog.at_level(logging.CRITICAL):
            check(post(client, sound()), 500, "fault", "the server's log says more")


def test_a_slow_upload(serve, sound, monkeypatch):
    async def form(*_, **__):
        await asyncio.sleep(60)

    with serve(upload_limit=0.05) as client:
        monkeypatch.setattr("starlette.requests.Request.form", form)
        check(post(client, sound()), 408, "slow-upload", "the upload took longer than")
        assert client.engine._taken == 0


@pytest.mark.parametrize("place", ["mindface_eri.serve.uploads.open", "pathlib.Path.mkdir"])
def test_a_full_disk(place, serve, sound, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with serve() as client:
        with monkeypatch.context() as patch:
            patch.setattr(place, full, raising=False)
            check(post(client, sound()), 507, "disk-full", "")
        assert client.engine._taken == 0 and post(client, sound()).status_code == 200


def test_a_server_that_is_not_ready(serve, sound):
    with serve() as client:
        client.engine.trouble = "a worker process cannot be started"
        for response in (client.get("/readyz"), post(client, sound())):
            assert check(response, 503, "not-ready", "cannot be started").headers["retry-after"] == "5"
        client.engine.trouble, client.engine.closing = "", True
        check(client.get("/readyz"), 503, "not-ready", "being stopped")
        check(post(client, sound()), 503, "stopping", "send it to another")


def test_a_stop_waits_for_what_was_accepted(serve, sound):
    go = threading.Event()
    with serve() as client:
        client.pool.go = go.wait
        answer = post(client, sound(), headers={"Prefer": "respond-async"}).json()
        entry = client.engine.entries[answer["id"]]
        threading.Timer(0.2, go.set).start()
    assert entry.state == "done" and client.pool.closed and client.cameras._all[0].closed


def test_a_stop_that_cannot_wait_says_so(serve, sound, caplog):
    go, told = threading.Event(), []
    with serve(patience=0.05) as client:
        client.pool.go = go.wait
        waiting = threading.Thread(target=lambda: told.append(post(client, sound())))
        waiting.start()
        until(lambda: client.pool.tasks)
        client.portal.call(client.engine.finish, 0.05)
        waiting.join(10)
        check(told[0], 503, "stopping", "the server was stopped before this clip was answered; send it again")
        assert client.engine._taken == 0
        threading.Timer(0.5, go.set).start()
    assert "1 accepted clips were given up" in caplog.text


def test_who_leaves_is_not_answered(serve, sound):
    go = threading.Event()
    with serve() as client:
        client.pool.go = go.wait
        ids = [post(client, sound(), headers={"Prefer": "respond-async"}).json()["id"] for _ in range(3)]
        entries = [client.engine.entries[one] for one in ids]
        until(lambda: entries[0].stage == "reading" and entries[2].stage == "waiting")
        client.portal.call(client.engine.abandon, entries[0])  # is in work: it goes on
        client.portal.call(client.engine.abandon, entries[2])
        until(lambda: ids[2] not in client.engine.entries)
        go.set()
        until(lambda: client.engine._taken == 0)
        assert entries[0].state == "done" and len(client.pool.tasks) == 2 and not entries[2].folder.exists()


@pytest.mark.parametrize("needs, said", [
    ({"normalise_by_person": True}, "compares each clip with others of its person, and cannot be served"),
    ({"features": {"look": 3}}, "takes look, which other programs compute: such a network cannot be served")])
def test_networks_that_need_more_than_a_clip_are_refused(needs, said, tmp_path):
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    from mindface_eri.serve.engine import Engine
    from mindface_eri.serve.settings import Settings

    model = SimpleNamespace(**{"name": "net", "features": {}, "normalise_by_person": False, **needs})
    with pytest.raises(ERIError, match=f"net {said}"):
        Engine(SimpleNamespace(model=model), tmp_path / "model.onnx", Settings())
