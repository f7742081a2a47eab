# SPDX-License-Identifier: Apache-2.0
"""How old a picture is when its bars are there, as the page of a running `mindface-eri serve` measures it, in headless
Chromium whose camera and microphone play files.

    ffmpeg -i film.mp4 -r 15 -pix_fmt yuvj420p camera.mjpeg -ac 1 -ar 48000 microphone.wav
    mindface-eri serve --model MODEL --port 8765
    python tests/load/latency.py http://127.0.0.1:8765 camera.mjpeg microphone.wav
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import sync_playwright

NOTE = """() => {
  window.late = [];
  const said = document.querySelector("#latency");
  new MutationObserver(() => window.late.push(Number(said.dataset.seconds)))
    .observe(said, { attributes: true, attributeFilter: ["data-seconds"] });
}"""


def measure(page, address, seconds):
    """Latencies that the page showed within so many seconds, and what came with the answers."""
    answers = []
    page.on("websocket", lambda line: line.on("framereceived", lambda text: answers.append(json.loads(text))))
    page.goto(address)
    page.wait_for_selector("main:not([hidden])")
    page.evaluate(NOTE)
    page.check("#agreed")
    page.click("#on")
    page.wait_for_timeout(1000 * seconds)
    return page.evaluate("window.late"), answers


def main():
    """Prints median, 95% and the largest of the latencies, and the median seconds of the network alone."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("address")
    parser.add_argument("camera", type=Path)
    parser.add_argument("microphone", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=[
            "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={options.camera.absolute()}",
            f"--use-file-for-fake-audio-capture={options.microphone.absolute()}"])
        page = chromium.new_context(permissions=["camera", "microphone"]).new_page()
        late, answers = measure(page, options.address, options.seconds)
        chromium.close()
    late.sort()
    network = statistics.median(answer["network"] for answer in answers if "network" in answer)
    print(f"{len(late)} answers in {options.seconds:g} s; from picture to bars {statistics.median(late):.2f} s in the "
          f"median, {late[int(0.95 * len(late))]:.2f} s for 95%, {late[-1]:.2f} s at most; network {network:.2f} s; "
          f"with sound {sum(bool(answer.get('sound')) for answer in answers)}")


if __name__ == "__main__":
    main()
