# SPDX-License-Identifier: Apache-2.0
"""A server as people start it: a process of its own, its worker processes, real sockets, and a real browser with a
camera and a microphone that play files."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import wave

import av
import numpy as np
import psutil
import pytest

from mindface_eri import children
from mindface_eri.prediction.predictor import load_predictor

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def server(tiny, tmp_path_factory):
    """A running server: its address, process and model."""
    for name in ("starlette", "uvicorn", "websockets", "prometheus_client", "onnxruntime"):
        pytest.importorskip(name, reason="the extra `serve` is not installed")
    folder = tmp_path_factory.mktemp("serve")
    words = ("serve", "--model", tiny.model, "--port", 0, "--workers", 1, "--memory", 2, "--clip-limit", 60)
    with open(folder / "log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(children.python("mindface_eri.cli", *words), stdout=subprocess.PIPE, stderr=log,
                                   text=True, env=children.environment(TMPDIR=str(folder)))
        try:
            address = re.match(r"(http://\S+)/ ", process.stdout.readline())[1]
            yield address, process, tiny, folder
        finally:
            process.kill()
            process.wait()


def ask(place, **more):
    """Status, headers and body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(place, **more), timeout=120) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def post(address, name, content, prefer="wait=100"):
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return ask(f"{address}/v1/predictions", data=head + content + b"\r\n--x--\r\n", method="POST",
               headers={"Content-Type": "multipart/form-data; boundary=x", "Prefer": prefer})


def wait_until_ready(address):
    end = time.monotonic() + 120
    while ask(f"{address}/readyz")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_it_answers_as_predict_does_and_loses_a_worker_alone(server):
    address, process, tiny, folder = server
    wait_until_ready(address)
    clip = tiny.clip.read_bytes()
    rows = list(load_predictor(tiny.model).predict([tiny.clip], workers=1))[0].rows()
    status, _, body = post(address, tiny.clip.name, clip)
    assert status == 200 and json.loads(body)["rows"] == rows
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2  # for uploads, and for the camera
    for worker in workers:
        worker.kill()
    status, _, body = post(address, tiny.clip.name, clip)
    assert status == 200 and json.loads(body)["rows"] == rows
    assert post(address, "a.mp4", clip[:len(clip) // 3])[0] == 422
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name != "log"]


def test_who_sends_nothing_is_hung_up_on_and_who_leaves_holds_nothing(server):
    address, _, tiny, _ = server
    wait_until_ready(address)
    host, port = address.rpartition("/")[2].split(":")
    head = (f"POST /v1/predictions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            "Content-Length: 100000\r\n\r\n--x\r\n").encode()
    silent = socket.create_connection((host, int(port)))
    for _ in range(20):  # more than there are places
        with socket.create_connection((host, int(port))) as leaving:
            leaving.sendall(head)
            time.sleep(0.02)
    assert post(address, tiny.clip.name, tiny.clip.read_bytes())[0] == 200
    assert b"mindface_eri_places 0.0" in ask(f"{address}/metrics")[2]
    silent.settimeout(30)
    assert silent.recv(1) == b""  # closed from there


@pytest.fixture
def devices(tmp_path):
    """Files that play camera and microphone."""
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "camera.mjpeg"), "w", format="mjpeg") as container:
        track = container.add_stream("mjpeg", rate=15)
        track.width, track.height, track.pix_fmt = 320, 240, "yuvj420p"
        for i in range(30):
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 8 * i, np.uint8))))
        container.mux(track.encode(None))
    with wave.open(str(tmp_path / "microphone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(rng.normal(scale=4000, size=96000).astype("<i2").tobytes())
    return tmp_path


@contextlib.contextmanager
def browser(devices):
    """A page of a headless Chromium with these devices, and what it said on its console."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={devices}/camera.mjpeg",
            f"--use-file-for-fake-audio-capture={devices}/microphone.wav"])
        context = chromium.new_context(permissions=["camera", "microphone"], viewport={"width": 390, "height": 800},
                                       color_scheme="dark", reduced_motion="reduce")
        page, said = context.new_page(), []
        page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.set_default_timeout(90_000)
        yield page, said
        chromium.close()


def test_the_page_in_a_browser(server, devices):
    address, _, tiny, folder = server
    wait_until_ready(address)
    with browser(devices) as (page, said):
        page.goto(address)
        page.set_input_files("#files", [str(tiny.clip), str(devices / "camera.mjpeg"), __file__])
        page.wait_for_selector("#clips li.finished >> nth=2")
        wrong = page.locator("#clips li", has_text="test_serve.py")
        assert "test_serve.py: " in wrong.locator(".wrong").inner_text()
        right = page.locator("#clips li", has_text=tiny.clip.name)
        rows = list(load_predictor(tiny.model).predict([tiny.clip]))[0].rows()[0]
        shown = right.locator(".bars .value").all_inner_texts()
        assert shown == [f"{value:.2f}" for name, value in rows.items() if name != "File_ID"]
        right.locator("summary").click()
        assert page.frame_locator("iframe").locator("h1").inner_text() == tiny.clip.stem
        with page.expect_download() as saved:
            page.locator("#all [data-form=csv]").click()
        table = saved.value.path().read_text()
        assert table.startswith("File_ID,") and tiny.clip.stem in table
        assert page.locator("#on").is_disabled()
        page.locator("#agreed").focus()
        page.keyboard.press("Space")  # by keyboard
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#latency[data-seconds]", state="attached")
        assert page.locator("#now .value").all_inner_texts() and "sound" in page.locator("#seen").inner_text()
        assert page.locator("html").evaluate("html => html.scrollWidth") <= 390  # nothing sticks out of a narrow window
        page.locator("#off").click()
        assert page.locator("#consent").is_visible() and page.locator("#on").is_disabled()
        assert page.locator("#trouble").inner_text() == "" and said == []
    assert not list(folder.rglob("*.mkv"))


def test_a_stop_answers_first_and_leaves_nothing(server):
    address, process, tiny, folder = server
    wait_until_ready(address)
    status, _, _ = post(address, tiny.clip.name, tiny.clip.read_bytes(), "respond-async")
    workers = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGTERM)
    assert status == 202 and process.wait(60) == 0
    assert not any(worker.is_running() for worker in workers)
    assert "Traceback" not in (folder / "log").read_text() and "given up" not in (folder / "log").read_text()
    assert [path.name for path in folder.iterdir()] == ["log"]


