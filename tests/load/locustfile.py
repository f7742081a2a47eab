# SPDX-License-Identifier: Apache-2.0
"""Load on a running `mindface-eri serve`, for locust: every answer is held against `mindface-eri predict`'s.

    mindface-eri serve --model MODEL --port 8765
    locust --locustfile tests/load/locustfile.py --headless --users 32 --spawn-rate 32 --run-time 5m \
        --only-summary --stop-timeout 100 --host http://127.0.0.1:8765 \
        --clips CLIPS --answers MODEL --hostile 200 --pid SERVER

Until all are answered, every other upload is a file of the media fuzzer: each has to get its answer too, and changes
nothing for the others. locust has to count no failure; those told to come again (429) are a row of their own.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gevent
import psutil
from locust import HttpUser, constant, events, task

CLIPS, HOSTILE, MEMORY = [], [], []  # (name, bytes, rows); (name, bytes); megabytes of server and workers, in turn
WEIGHED = 30  # seconds from one weighing to the next


@events.init_command_line_parser.add_listener
def add_arguments(parser):
    """Adds what locust does not know."""
    parser.add_argument("--clips", required=True, help="folder of the clips to send")
    parser.add_argument("--answers", required=True, help="the model that the server has")
    parser.add_argument("--hostile", type=int, default=200, help="files of the fuzzer")
    parser.add_argument("--pid", type=int, default=0, help="the server's process, whose memory is told")


@events.init.add_listener
def make_ready(environment, **_):
    """Reads the clips, asks `predict` for their rows, and makes the hostile files."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
    from media_cases import MediaCases

    options = environment.parsed_options
    paths = sorted(path for path in Path(options.clips).iterdir() if path.is_file())
    words = [sys.executable, "-m", "mindface_eri.cli", "predict", *map(str, paths), "--model", options.answers,
             "--format", "json"]
    rows = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    CLIPS.extend((path.name, path.read_bytes(), [row for row in rows if row["File_ID"] == path.stem]) for path in paths)
    with tempfile.TemporaryDirectory() as folder:
        cases = MediaCases(Path(folder) / "bases", 1)
        for number in range(options.hostile):
            case = cases.write(number, Path(folder))
            HOSTILE.append((case.path.name.encode("utf-8", "replace").decode(), case.path.read_bytes()))


@events.test_start.add_listener
def weigh(environment, **_):
    """Notes the memory now and then."""
    def weighing():
        while True:
            _weigh(environment.parsed_options.pid)
            gevent.sleep(WEIGHED)

    gevent.spawn(weighing)


@events.test_stop.add_listener
def tell(environment, **_):
    """Prints the memory over time, and what was not sent."""
    print(f"{len(HOSTILE)} hostile files were not sent")
    print(f"megabytes of the server, and of all workers, every {WEIGHED} s:", *MEMORY)


def _weigh(pid):
    if pid:
        found = psutil.Process(pid)
        weights = [round(one.memory_info().rss / 1e6) for one in (found, *found.children(recursive=True))]
        MEMORY.append((weights[0], sum(weights[1:])))


class Sender(HttpUser):
    """Sends a clip, waits for its answer, sends the next."""

    wait_time = constant(0)

    @task
    def send(self):
        """A clip, whose rows are known, or a file that nobody should send."""
        if HOSTILE and random.random() < 1 / 2:
            self._hostile(HOSTILE.pop())
        else:
            self._clip(*random.choice(CLIPS))

    def _clip(self, name, content, rows):
        with self._send(name, content, "clip") as answer:
            if answer.status_code == 200 and answer.json()["rows"] == rows:
                answer.success()
            elif not self._again(answer, "clip"):
                answer.failure(f"{answer.status_code}: {answer.text[:300]}")

    def _hostile(self, case):
        with self._send(*case, "hostile") as answer:
            if answer.status_code in (200, 413, 422, 504):
                answer.success()
            elif self._again(answer, "hostile"):
                HOSTILE.append(case)
            else:
                answer.failure(f"{case[0]}: {answer.status_code}: {answer.text[:300]}")

    def _send(self, name, content, kind):
        return self.client.post("/v1/predictions", files={"file": (name, content)}, headers={"Prefer": "wait=600"},
                                name=kind, catch_response=True)

    def _again(self, answer, kind):
        """Waits as long as it was told to, where the server was full."""
        if answer.status_code != 429:
            return False
        answer.request_meta["name"] = f"{kind}: 429"
        answer.success()
        time.sleep(int(answer.headers["Retry-After"]))
        return True
