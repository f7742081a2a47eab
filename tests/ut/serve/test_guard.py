# SPDX-License-Identifier: Apache-2.0
"""Who may ask, and what a browser is told; what a server is started with."""

import pytest

from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.serve.settings import Settings, is_loopback

LIVE = "ws://localhost:8000/v1/live"
TOKEN = "correct-horse-battery"
PLACES = ("/v1/model", "/metrics", "/v1/predictions/x", "/v1/predictions/x/page.html")


def test_a_token_is_asked_for_everywhere_but_at_the_page(serve, sound, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\nanother line\n", encoding="utf-8")
    with serve(token_file=tmp_path / "token", host="https://eri.example.org") as client:
        for place in PLACES:
            answer = client.get(place)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            for wrong in ("Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer ünï".encode()):
                assert client.get(place, headers={"Authorization": wrong}).status_code == 401
            assert client.get(place, headers={"Authorization": f"bearer {TOKEN}"}).status_code in (200, 404)
        assert client.post("/v1/predictions", files={"file": sound()}).status_code == 401 and not client.pool.tasks
        for place in ("/", "/static/page.js", "/static/report.css", "/healthz", "/readyz", "/openapi.json"):
            assert client.get(place).status_code == 200
        with pytest.raises(Exception), client.websocket_connect(LIVE):  # noqa: B017
            pass


def test_the_page_gets_a_cookie_for_the_token(serve, monkeypatch):
    monkeypatch.setattr("mindface_eri.serve.guard._GUESSING", 0)
    with serve(token=TOKEN, host="https://eri.example.org") as client:
        assert client.post("/v1/login", content="wrong").status_code == 401
        assert client.post("/v1/login", content="x" * 3000).status_code == 413
        assert client.get("/v1/model").status_code == 401
        given = client.post("/v1/login", content=f"{TOKEN}\n")
        cookie = given.headers["set-cookie"]
        assert given.status_code == 200 and TOKEN not in cookie
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure"))
        assert client.get("/v1/model").status_code == 200
        for scheme in ("http", "https"):  # as the page says, whatever the proxy in between speaks
            given = client.post("http://eri.example.org/v1/login", content=TOKEN,
                                headers={"Origin": f"{scheme}://eri.example.org"})
            assert ("Secure" in given.headers["set-cookie"]) == (scheme == "https")
        client.cookies.set("mindface_eri", "0" * 64)
        client.cookies.clear()
        assert client.get("/v1/model", headers={"Cookie": f"mindface_eri={'0' * 64}"}).status_code == 401


@pytest.mark.parametrize("host, status", [
    ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("evil.example:8000", 403), ("", 403),
    ("localhost.evil.example", 403)])
def test_another_name_of_this_machine_is_refused(host, status, serve):
    with serve() as client:
        assert client.get("/v1/model", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("origin, status", [
    (None, 415), ("http://localhost:8000", 415), ("http://localhost:9000", 403), ("https://evil.example", 403),
    ("null", 403), ("http://[", 403)])
def test_pages_of_others_may_not_post(origin, status, serve):
    with serve() as client:
        headers = {} if origin is None else {"Origin": origin}
        answer = client.post("/v1/predictions", content=b"x", headers=headers)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers
        assert client.options("/v1/predictions", headers=headers).status_code in (403, 405)


def test_pages_of_others_may_not_open_a_camera(serve):
    with serve() as client:
        with pytest.raises(Exception), client.websocket_connect(  # noqa: B017
                LIVE, headers={"Origin": "https://evil.example"}):
            pass
        assert client.cameras.free == 1


def test_what_browsers_are_told(serve):
    with serve() as client:
        headers = client.get("/").headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert client.get("/v1/model").headers["cache-control"] == "no-store"
        assert client.get("/v1/nothing").headers["content-security-policy"] == policy


@pytest.mark.parametrize("given, words", [
    ({"host": "0.0.0.0"}, "--host 0.0.0.0 lets other machines in.*--token-file"), ({"host": "::"}, "other machines"),
    ({"host": "example.org"}, "other machines"), ({"token": "short"}, "a token of 5 characters can be guessed"),
    ({"token": ""}, "a token of 0"), ({"token": TOKEN, "token_file": "f"}, "give one"), ({"uploads": 0}, "--uploads 0"),
    ({"token_file": "/nowhere"}, "--token-file /nowhere: cannot be read"), ({"max_megabytes": -1.0}, "--max-megabytes"),
    ({"live": -1}, "--live -1"), ({"memory": float("nan")}, "--memory nan")])
def test_settings_that_cannot_be(given, words):
    with pytest.raises(ConfigError, match=words):
        Settings(**given)


def test_a_token_file_is_read_once(tmp_path):
    (tmp_path / "token").write_text(f" {TOKEN} \n", encoding="utf-8")
    settings = Settings(token_file=tmp_path / "token")
    (tmp_path / "token").write_text("", encoding="utf-8")  # as a pipe that was read
    assert settings.secret == TOKEN


def test_this_machine_and_others():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.3.2.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")))
    assert Settings(host="0.0.0.0", token=TOKEN).secret == TOKEN and Settings(workers=3).processes == 3


def test_a_network_of_other_features_is_not_served(predictor, tmp_path):
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    from types import SimpleNamespace

    from mindface_eri.serve.engine import Engine

    other = SimpleNamespace(model=SimpleNamespace(name="wide", features=("gaze",)))
    with pytest.raises(ERIError, match="wide takes gaze, which other programs compute"):
        Engine(other, tmp_path, Settings())
