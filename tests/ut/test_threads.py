# SPDX-License-Identifier: Apache-2.0
"""Cores and threads: quotas, affinity, and variables that libraries obey."""

import os
import subprocess
import sys

import pytest

from mindface_eri import threads


@pytest.mark.parametrize("text, allowed, expected", [
    ("200000 100000", 8, 2), ("150000 100000", 8, 2), ("max 100000", 8, 8), ("10000 100000", 8, 1),
    ("900000 100000", 4, 4), ("0 100000", 8, 1), ("nonsense", 3, 3)])
def test_a_quota_lowers_the_cores(monkeypatch, tmp_path, text, allowed, expected):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert threads.cores() == expected


def test_libraries_obey():
    code = ("import cv2, numpy, mindface_eri.threads as t\nfrom numba import config\n"
            "print(cv2.getNumThreads(), config.NUMBA_NUM_THREADS, t.spare_core())")
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, **threads.environment(1)},
                         capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "1", "False"]


@pytest.mark.parametrize("value, allowed, expected", [
    ("", 1, False), ("", 2, True), ("many", 2, True), ("1", 8, False), ("2", 1, True)])
def test_a_core_is_spare_unless_somebody_says_otherwise(monkeypatch, value, allowed, expected):
    monkeypatch.setenv("MINDFACE_ERI_THREADS", value)
    monkeypatch.setattr(threads, "cores", lambda: allowed)
    assert threads.spare_core() is expected


@pytest.mark.parametrize("count, expected", [(6, 6), (None, 1)])
def test_without_affinity_and_quota_all_cores_count(monkeypatch, tmp_path, count, expected):
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert threads.cores() == expected


def test_every_library_is_told():
    assert threads.environment(3) == {
        "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "3",
        "OPENCV_FOR_THREADS_NUM": "3", "MINDFACE_ERI_THREADS": "3"}
    assert str(threads._QUOTA) == "/sys/fs/cgroup/cpu.max"  # where Linux keeps a container's quota
