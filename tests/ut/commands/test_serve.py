# SPDX-License-Identifier: Apache-2.0
"""mindface-eri serve: its options reach the server, it says where it listens, and what is missing."""

import importlib.util
import socket
from pathlib import Path

import pytest

from mindface_eri.prediction.default_model import default_model

TOKEN = "correct-horse-battery"


@pytest.fixture
def served(monkeypatch):
    """What the server was started with."""
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    pytest.importorskip("uvicorn")
    calls = {}
    monkeypatch.setattr("mindface_eri.prediction.predictor.load_predictor",
                        lambda path, device: calls.update(path=path, device=device) or "a predictor")
    monkeypatch.setattr("mindface_eri.serve.engine.Engine",
                        lambda predictor, model, settings: calls.update(model=model, settings=settings) or "an engine")
    monkeypatch.setattr("mindface_eri.serve.server.run_server",
                        lambda engine, listener, ready: calls.update(
                            engine=engine, address=listener.getsockname()) or calls.get("ready", ready)())
    return calls


def test_options_reach_the_server(served, status):
    words = ("serve", "--model", "m.onnx", "--host", "127.0.0.1", "--port", "0", "--token", TOKEN, "--workers", "3",
             "--uploads", "5", "--max-megabytes", "6", "--max-seconds", "7", "--max-megapixels", "8", "--clip-limit",
             "9", "--upload-limit", "10", "--memory", "11", "--live", "2", "--keep", "k", "--device", "CPU",
             "--allow-url", "a.example", "--allow-url", "10.0.0.0/8")
    code, said = status(*words)[:2]
    settings = served["settings"]
    assert code == 0 and served["engine"] == "an engine" and served["model"] == Path("m.onnx")
    assert (served["path"], served["device"]) == (Path("m.onnx"), "CPU")
    assert [getattr(settings, name) for name in (
        "host", "token", "workers", "uploads", "max_megabytes", "max_seconds", "max_megapixels", "clip_limit",
        "upload_limit", "memory", "live", "keep", "allow_url")] == [
            "127.0.0.1", TOKEN, 3, 5, 6, 7, 8, 9, 10, 11, 2, Path("k"), ["a.example", "10.0.0.0/8"]]
    assert served["address"][0] == "127.0.0.1" and f"http://127.0.0.1:{served['address'][1]}/" in str(said)


def test_the_address_is_told_when_it_is_ready(served, status):
    served["ready"] = lambda: None
    assert "http://" not in str(status("serve", "--port", "0"))


def test_without_a_model_it_is_the_package_s_own(served, status):
    assert status("serve", "--port", "0")[0] == 0
    assert served["path"] is None and served["model"] == default_model("auto")


@pytest.mark.parametrize("words, reason", [
    (["--host", "0.0.0.0"], "other machines in"), (["--port", "99999"], "cannot listen there"),
    (["--host", "no.such.host.invalid", "--token", TOKEN], "cannot listen there")])
def test_where_it_cannot_listen(words, reason, served, status, capsys):
    assert status("serve", *words)[0] == 2
    assert "engine" not in served


def test_a_port_that_is_taken(served, status):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert status("serve", "--port", str(taken.getsockname()[1]))[0] == 2
    assert "path" not in served  # before a model is loaded


def test_without_the_extra_it_says_which(monkeypatch, status, capsys):
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name != "uvicorn" else None)
    code, *said = status("serve")
    assert code == 1 and "pip install 'mindface_eri[serve]'" in str(said) + capsys.readouterr().err
