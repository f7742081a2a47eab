# SPDX-License-Identifier: Apache-2.0
"""Times as they are told, turns and what is measured of the machine, with clocks that are set by hand."""

import os
import sys
import time
from importlib import metadata
from types import ModuleType, SimpleNamespace

import numpy as np
import psutil
import pytest

import mindface_eri
from mindface_eri.benchmark import machine
from mindface_eri.benchmark.harness import HEADERS, Row, Timing, find_torch, in_turns, row, scaled, table
from mindface_eri.benchmark.machine import describe, matmul_seconds, processor, sentence
from mindface_eri.threads import cores


@pytest.mark.parametrize("samples, told", [
    ((0.351, 0.34, 0.362), "351 ms (340-362)"), ((1.0,), "1.00 s"), ((0.9994,), "999 ms"), ((0.1,), "100 ms"),
    ((0.0999, 0.0998), "99.85 ms (99.80-99.90)"), ((12.346, 12.344, 15), "12.35 s (12.34-15.00)")])
def test_a_time_for_people(samples, told):
    assert str(Timing(samples)) == told


def test_shares_and_rows():
    assert scaled(Timing((2.0, 6.0)), 0.25).samples == (0.5, 1.5)
    one = Row("x", Timing((2.0,)), "script", Timing((3.0,)), "copy", Timing((0.5,)), "told")
    assert one.cells() == ["x", "2.00 s", "script", "3.00 s", "1.50", "copy", "500 ms", "25%", "told"]
    said = one.as_dict()
    assert (said["speedup"], said["share_of_limit"], said["note"]) == (1.5, 0.25, "told")
    assert said["bound"] == {"samples": (0.5,)}
    bare = row("y", {"ours": Timing((1.0,)), "limit": Timing((0.1,))}, yardstick="script", limit="copy")
    assert (bare.yardstick, bare.limit, bare.theirs) == ("", "copy", None)
    headers, cells = table([bare, Row("z", Timing((1.0,)))])
    assert headers == ["what", "ours", *HEADERS[5:8]] and cells[1] == ["z", "1.00 s", None, None, None]


def test_the_pause_before_a_turn_is_not_its_time(monkeypatch):
    passed, paused = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: sum(passed))
    monkeypatch.setattr(time, "sleep", lambda seconds: paused.append(seconds) or passed.append(seconds))
    times, results = in_turns({"a": lambda: passed.append(2), "b": lambda: "done"}, 3)
    assert times["a"].samples == pytest.approx((2, 2, 2)) and times["b"].samples == (0, 0, 0)
    assert len(paused) == 8 and set(paused) == {0.1}  # a round that warms up, and three
    assert results == {"a": None, "b": "done"}
    assert len(in_turns({"b": int}, 2, warmups=0)[0]["b"].samples) == 2 and len(paused) == 10


def test_pytorch_is_held_to_its_threads(monkeypatch):
    held = []
    torch = ModuleType("torch")
    torch.set_num_threads = held.append
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert find_torch(3) is torch and find_torch() is torch and held == [3]
    monkeypatch.setitem(sys.modules, "torch", None)
    assert find_torch(3) is None


def test_the_machine_for_people(monkeypatch):
    def version(name):
        if name in ("torch", "dlib-bin", "dlib", "openvino"):
            raise metadata.PackageNotFoundError
        return f"1.{len(name)}"

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.456, 9, 9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=4096 * 4_000_000))
    monkeypatch.setattr(machine, "processor", lambda: "A chip")
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine.platform, "release", lambda: "6.1")
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.11.1")
    found = describe(3)
    assert found == {
        "processor": "A chip", "cores": cores(), "memory_gib": 15, "threads": 3, "load": 0.46, "system": "Linux 6.1",
        "versions": {"python": "3.11.1", "mindface_eri": mindface_eri.__version__, "mindspore": "1.9", "numpy": "1.5",
                     "onnxruntime": "1.11", "librosa": "1.7", "opencv": "1.22", "av": "1.2"}}
    assert sentence({**found, "cores": 8, "versions": {"python": "3.11.1", "av": "1.2"}}) == (
        "A chip, 8 cores, 15 GiB, threads 3, load 0.46 at the start; python 3.11.1, av 1.2")


def test_the_processors_name(monkeypatch):
    monkeypatch.setattr(machine, "Path", lambda path: SimpleNamespace(
        read_text=lambda encoding: "vendor_id : x\nmodel name\t: A chip @ 3: fast \nmodel name\t: B"))
    assert processor() == "A chip @ 3: fast"
    monkeypatch.setattr(machine, "Path", lambda path: SimpleNamespace(read_text=lambda encoding: "vendor_id: x"))
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    assert processor() == "arm"
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    assert processor() == "unknown processor"


def test_the_matrix_products_rate(monkeypatch):
    shapes, clock = [], iter([10.0, 10.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(np, "matmul", lambda a, b: shapes.append((a.shape, b.shape, a.dtype)))
    assert matmul_seconds(6000.0, side=10) == 3.0  # a thousand multiply-adds took half a second
    assert shapes == [((10, 10), (10, 10), np.float32)]
