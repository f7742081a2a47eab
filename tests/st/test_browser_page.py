# SPDX-License-Identifier: Apache-2.0
"""The page of docs/deployment.md answers in a real browser as onnxruntime does.

It needs onnxruntime-web: `npm pack onnxruntime-web`, unpacked, and MINDFACE_ERI_ORT_WEB=package/dist in the
environment.
"""

import contextlib
import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
DIST = Path(os.environ.get("MINDFACE_ERI_ORT_WEB", "nowhere"))
NEEDED = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = Path(__file__).parents[2] / "docs" / "browser.html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """The page, the network and the runtime in one folder, served: its address and the folder."""
    if not all((DIST / name).is_file() for name in NEEDED):
        pytest.skip("MINDFACE_ERI_ORT_WEB names no folder with onnxruntime-web")
    pytest.importorskip("onnxruntime")
    from toy_model import write_model

    for path in (PAGE, *(DIST / name for name in NEEDED)):
        shutil.copy(path, tmp_path)
    model = write_model(tmp_path).rename(tmp_path / "eri_dual_branch.onnx")
    inputs = [("frames", [None, 4, 32, 32, 3], "uint8"), ("mfcc", [None, 4, 16], "float32"),
              ("present", [None, 2], "float32")]
    side = {"inputs": [dict(zip(("name", "shape", "dtype"), given)) for given in inputs],
            "output": {"name": "intensities"}, "emotions": ["Joy", "Fear"]}
    model.with_name(f"{model.name}.json").write_text(json.dumps(side), encoding="utf-8")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}/{PAGE.name}", tmp_path
        server.shutdown()


def test_the_page_answers_as_onnxruntime_does(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("no chromium here")
    import onnxruntime

    address, folder = site
    rng = np.random.default_rng(0)
    given = {"frames": rng.integers(0, 255, (1, 4, 32, 32, 3), np.uint8),
             "mfcc": rng.normal(0, 20, (1, 4, 16)).astype(np.float32)}
    for name, array in given.items():
        array.tofile(folder / name)
    session = onnxruntime.InferenceSession(str(folder / "eri_dual_branch.onnx"))
    with playwright.sync_playwright() as driver, driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]) as browser:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("[data-ready]")
        for present in ([0, 1], [1, 1]):  # without crops, then with them
            feeds = {**given, "present": np.array([present], np.float32)}
            if not present[0]:
                feeds["frames"] = np.zeros_like(given["frames"])
            page.set_input_files("#mfcc", str(folder / "mfcc"))
            page.set_input_files("#frames", [str(folder / "frames")] * present[0])
            expected = session.run(None, feeds)[0][0]
            page.click("#go")
            page.wait_for_function("value => document.querySelector('#answer').innerText.includes(value)",
                                   arg=f"{expected[0]:.5f}"[:-1])
            shown = [float(value) for value in page.locator("#answer td:nth-child(2)").all_inner_texts()]
            assert np.allclose(shown, expected, atol=2e-7) and page.locator("#trouble").inner_text() == ""
