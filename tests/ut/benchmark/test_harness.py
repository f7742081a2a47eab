# SPDX-License-Identifier: Apache-2.0
"""Turns, medians, ratios and the table, by hand; processes watched from outside."""

import os
import subprocess
import sys

import pytest

from mindface_eri.benchmark.harness import HEADERS, Row, Timing, in_turns, row, table
from mindface_eri.benchmark.machine import describe, matmul_seconds, sentence
from mindface_eri.benchmark.processes import memory_of_tree, run_module
from mindface_eri.errors import ERIError

_GRANDCHILD = """import subprocess, sys
held = "x = bytearray(60_000_000); print(1, flush=True); input()"
sys.exit(subprocess.run([sys.executable, "-c", held], check=False).returncode)"""


def test_contestants_take_turns():
    seen = []
    times, results = in_turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b") or len(seen)}, 2, warmups=1)
    assert seen == ["a", "b"] * 3
    assert len(times["a"].samples) == len(times["b"].samples) == 2  # the round that warms up does not count
    assert results == {"a": None, "b": 6}


def test_a_row_by_hand():
    one = row("x", {"ours": Timing((2.0, 1.0, 9.0)), "theirs": Timing((6.0,)), "limit": Timing((0.5,))},
              yardstick="script", limit="copy")
    assert one.ours.median == 2.0 and one.speedup == 3.0 and one.share == 0.25
    assert one.cells() == ["x", "2.00 s (1.00-9.00)", "script", "6.00 s", "3.00", "copy", "500 ms", "25%", None]
    assert one.as_dict()["ours"] == {"samples": (2.0, 1.0, 9.0)}
    assert str(Timing((0.0123, 0.0125, 0.0121))) == "12.30 ms (12.10-12.50)"


def test_without_a_yardstick_there_is_no_ratio():
    alone = row("x", {"ours": Timing((2.0,))}, yardstick="PyTorch", limit="copy", note="n")
    assert alone.speedup is None and alone.share is None
    headers, cells = table([alone])
    assert headers == ["what", "ours", "note"] and cells == [["x", "2.00 s", "n"]]
    assert table([alone, Row("y", Timing((1.0,)), "z", Timing((1.0,)))])[0] == [*HEADERS[:5], "note"]


def test_the_machine_is_named():
    machine = describe(3)
    assert machine["threads"] == 3 and machine["cores"] >= 1 and "numpy" in machine["versions"]
    assert machine["processor"] in sentence(machine)


def test_the_matrix_product_scales():
    assert matmul_seconds(64**3, side=64) > 0
    assert matmul_seconds(0.0, side=8) == 0.0


def test_a_process_is_watched(tmp_path, monkeypatch):
    (tmp_path / "echoing.py").write_text(
        "import sys, time\nx = bytearray(60_000_000)\ntime.sleep(0.5)\nwhile time.process_time() < 0.1: pass\n"
        "print(*sys.argv[1:])\nsys.exit(len(sys.argv) - 2)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    done = run_module("echoing", "hello")
    assert done.output == "hello\n" and done.seconds > 0.5 and done.processor > 0.1
    if os.path.exists("/proc/self/smaps_rollup"):
        assert done.peak > 60_000_000
        assert memory_of_tree(os.getpid()) > 1_000_000
        alone = memory_of_tree(os.getpid())
        with subprocess.Popen([sys.executable, "-c", _GRANDCHILD], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            assert memory_of_tree(os.getpid()) > alone + 60_000_000  # children's children count
            child.communicate()
        assert memory_of_tree(child.pid) == 0  # it has ended
    with pytest.raises(ERIError, match="status 1: one two"):
        run_module("echoing", "one", "two")
