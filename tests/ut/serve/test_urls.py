# SPDX-License-Identifier: Apache-2.0
"""Clips are fetched from hosts that are listed, from nowhere else, and within the limits of an upload."""

import contextlib
import http.server
import io
import socket
import threading
import time

import pytest

from mindface_eri.errors import ConfigError
from mindface_eri.serve import urls
from mindface_eri.serve.urls import Allowed, Refused, fetch

PLACE = "/v1/predictions"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    def do_GET(self):
        with contextlib.suppress(OSError):
            getattr(self, self.path[1:].partition(".")[0].partition("?")[0])()

    def _head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def clip(self):
        self.server.hosts.append(self.headers["Host"])
        self._head(200, Content_Length=len(self.server.content))
        self.wfile.write(self.server.content)

    def away(self):
        self._head(302, Location="http://10.1.2.3/secret")

    def gone(self):
        self._head(404)

    def cut(self):
        self._head(200, Content_Length=10_000)
        self.wfile.write(b"part")

    def endless(self):
        self._head(200)
        while True:
            self.wfile.write(bytes(50_000))

    def drip(self):
        self._head(200, Content_Length=10_000)
        while True:
            self.wfile.write(b".")
            time.sleep(0.01)

    def trickle(self):
        self._head(200)
        while True:
            self.wfile.write(b".")
            time.sleep(0.01)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    """A web server of this machine; it has `content` and `hosts`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.content, server.hosts = True, b"content", []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server.name = f"localhost:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def check(url, *entries, most=100_000, limit=5.0):
    target = io.BytesIO()
    fetch(url, Allowed(entries), target, most, limit)
    return target.getvalue()


def test_what_is_listed_is_fetched(host):
    assert check(f"http://{host.name}/clip.mp4?a=b#c", host.name, "127.0.0.0/8") == b"content"
    assert check(f"http://127.0.0.1:{host.server_port}/clip", f"127.0.0.1:{host.server_port}") == b"content"
    assert host.hosts == [host.name, f"127.0.0.1:{host.server_port}"]


@pytest.mark.parametrize("url, words", [
    ("http://evil.example/clip", "evil.example is no host that clips are fetched from here"),
    ("http://localhost.evil.example/", "is no host"), ("http://localhost/", "is no host"),
    ("https://media.example.org:8443/", "is no host"), ("http://10.9.9.9:8000/", "is no host"),
    ("http://10.8.8.8/", "is no host"), ("https://10.8.8.8/", "is no host"), ("http://10.8.8.8:81/", "is no host"),
    ("http://169.254.169.254/latest/meta-data", "is no host")])
def test_what_is_not_listed_is_refused(url, words):
    with pytest.raises(Refused, match=words) as caught:
        check(url, "localhost:1", "media.example.org", "10.9.9.9/32", "10.8.8.8:8443")
    assert caught.value.code == "url-refused"


@pytest.mark.parametrize("url", ["", "clip.mp4", "file:///etc/passwd", "ftp://media.example.org/a", "http://",
                                 "http://[1", "http://me:secret@media.example.org/",
                                 "http://media.example.org/a\r\nX: y", "http://media.example.org:x/", "http://media.example.org/ü"])
def test_what_is_no_url(url):
    with pytest.raises(Refused) as caught:
        check(url, "media.example.org")
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("found, entries, fine", [
    ("10.1.2.3", (), False), ("127.0.0.1", (), False), ("169.254.169.254", (), False), ("100.64.0.1", (), False),
    ("0.0.0.0", (), False), ("224.0.0.1", (), False), ("::1", (), False), ("fd00::1", (), False),
    ("fe80::1%eth0", (), False), ("::ffff:10.0.0.1", (), False), ("64:ff9b::a00:1", (), False),
    ("2002:a00:1::", (), False), ("8.8.8.8", (), True),
    ("2606:4700::1111", (), True), ("10.1.2.3", ("10.1.0.0/16",), True), ("10.1.2.3", ("10.2.0.0/16",), False),
    ("::ffff:10.1.2.3", ("10.1.2.3",), True), ("10.1.2.3", ("10.1.2.3:80",), True),
    ("10.1.2.3", ("10.1.2.3:8443",), False)])
def test_a_listed_name_that_points_into_this_network_is_refused(found, entries, fine, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", (found, 80))])
    allowed = Allowed(("media.example.org", *entries))
    with contextlib.nullcontext() if fine else pytest.raises(Refused, match="a machine of this network"):
        assert allowed.address("media.example.org", 80) == (socket.AF_INET, (found, 80))


def test_a_name_is_looked_up_once(host, monkeypatch):
    looked = []
    usual = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: looked.append(given[0]) or usual(*given, **more))
    check(f"http://{host.name}/clip", host.name, "127.0.0.1", "::1")
    assert looked == ["localhost"]


@pytest.mark.parametrize("path, code, words", [
    ("away", "url-failed", "a redirect, which is not followed"), ("gone", "url-failed", "the answer is 404"),
    ("cut", "url-failed", "IncompleteRead"), ("endless", "too-large", "larger than 0.1 MB"),
    ("drip", "url-failed", "it took longer than 0.2 s"), ("trickle", "url-failed", "it took longer than 0.2 s")])
def test_answers_that_are_none(path, code, words, host):
    with pytest.raises(Refused, match=words) as caught:
        check(f"http://{host.name}/{path}", host.name, "127.0.0.1", limit=0.2 if path in ("drip", "trickle") else 5.0)
    assert caught.value.code == code


def test_what_says_that_it_is_too_large_is_not_read(host):
    host.content = bytes(2000)
    target = io.BytesIO()
    with pytest.raises(Refused, match="larger than"):
        fetch(f"http://{host.name}/clip", Allowed((host.name, "127.0.0.1")), target, 1000, 5.0)
    assert target.getvalue() == b""


def test_a_host_that_is_silent_or_unknown(monkeypatch):
    monkeypatch.setattr(urls, "_SILENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Refused, match=f"http://{name}/a cannot be fetched: timed out"):
            check(f"http://{name}/a", name)
    with pytest.raises(Refused, match="cannot be fetched"):
        check(f"http://{name}/a", name)
    with pytest.raises(Refused, match="x.invalid is not found"):
        check("http://x.invalid/a", "x.invalid")


@pytest.mark.parametrize("entry", ["", "http://a.example", "a.example/clips", "a example", "*.example",
                                   "me@a.example", "a.example:port", "a.example:99999", "[::1"])
def test_entries_that_are_no_hosts(entry):
    with pytest.raises(ConfigError, match="--allow-url .*: must be a host such as"):
        Allowed([entry])


def test_rows_are_those_of_the_file(serve, host, sound, predictor, tmp_path):
    host.content = sound(1.5)
    (tmp_path / "clip.wav").write_bytes(host.content)
    rows = list(predictor.predict([tmp_path / "clip.wav"], window=1.0))[0].rows()
    with serve(allow_url=(host.name, "127.0.0.1")) as client:
        given = {"url": f"http://{host.name}/clip.wav?token=x", "window": 1, "page": True}
        answer = client.post(PLACE, json=given).json()
        assert answer["rows"] == rows and answer["file"] == "clip.wav" and "html" in answer["links"]
        assert client.pool.tasks[0].job.video.name == "file.wav" and not client.pool.tasks[0].folder.exists()
        for wrong, status, words in [
                ({}, 400, "send a JSON object with the clip's `url`"), ([], 400, "url"), ({"url": 1}, 400, "url"),
                ({**given, "model": "x"}, 400, "there is no field `model`: send its `url`"),
                ({**given, "window": "soon"}, 400, "must be seconds"),
                ({**given, "hop": []}, 400, "`hop` must be text"),
                ({"url": "http://evil.example/a.mp4"}, 403, "no host that clips are fetched from here"),
                ({"url": f"http://{host.name}/gone"}, 502, "404")]:
            refused = client.post(PLACE, json=wrong)
            assert refused.status_code == status and words in refused.json()["detail"]
        for body, status in ((b"{", 400), (b"[" * 5000, 400), (b"\xff", 400), (b" " * 11_000, 413)):
            assert client.post(PLACE, content=body, headers={"Content-Type": "application/json"}).status_code == status
        assert len(host.hosts) == 1 and client.engine._taken == 0


def test_without_the_option_nothing_is_fetched(serve, host):
    with serve() as client:
        refused = client.post(PLACE, json={"url": f"http://{host.name}/clip.wav"})
        assert refused.status_code == 415 and "this server fetches no clips (--allow-url" in refused.json()["detail"]
        assert host.hosts == []
