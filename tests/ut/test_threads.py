# SPDX-License-Identifier: Apache-2.0
"""Cores and threads: quotas, affinity, and variables that libraries obey."""

import os
import subprocess
import sys

import psutil
import pytest

from mindface_eri import threads


@pytest.mark.parametrize("text, allowed, expected", [
    ("200000 100000", 8, 2), ("150000 100000", 8, 2), ("max 100000", 8, 8), ("10000 100000", 8, 1),
    ("900000 100000", 4, 4), ("0 100000", 8, 1), ("nonsense", 3, 3)])
def test_a_quota_lowers_the_cores(monkeypatch, tmp_path, text, allowed, expected):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(threads, "_QUOTAS", ((tmp_path / "cpu.max",), (tmp_path / "none",) * 2))
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(allowed)), raising=False)
    assert threads.cores() == expected


@pytest.mark.parametrize("quota, period, allowed, expected", [
    ("200000", "100000", 8, 2), ("150000\n", "100000\n", 8, 2), ("-1", "100000", 8, 8), ("1000", "100000", 8, 1),
    ("900000", "100000", 4, 4), ("200000", None, 8, 8), ("200000", "0", 8, 8), ("nonsense", "100000", 3, 3)])
def test_a_quota_of_the_first_version_does_too(monkeypatch, tmp_path, quota, period, allowed, expected):
    (tmp_path / "quota").write_text(quota)
    if period is not None:
        (tmp_path / "period").write_text(period)
    monkeypatch.setattr(threads, "_QUOTAS", ((tmp_path / "none",), (tmp_path / "quota", tmp_path / "period")))
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(allowed)), raising=False)
    assert threads.cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_cores_that_others_keep_do_not_count():
    code = ("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "from mindface_eri.threads import cores; print(cores())")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_libraries_obey():
    code = ("import cv2, numpy, mindface_eri.threads as t\nfrom numba import config\n"
            "print(cv2.getNumThreads(), config.NUMBA_NUM_THREADS, t.spare_core())")
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, **threads.environment(1)},
                         capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "1", "False"]


@pytest.mark.parametrize("value, allowed, expected", [
    ("", 1, False), ("", 2, True), ("many", 2, True), ("²", 2, True), ("1", 8, False), ("2", 1, True)])
def test_a_core_is_spare_unless_somebody_says_otherwise(monkeypatch, value, allowed, expected):
    monkeypatch.setenv("MINDFACE_ERI_THREADS", value)
    monkeypatch.setattr(threads, "cores", lambda: allowed)
    assert threads.spare_core() is expected


@pytest.mark.parametrize("count, expected", [(6, 6), (None, 1)])
def test_without_affinity_and_quota_all_cores_count(monkeypatch, tmp_path, count, expected):
    monkeypatch.setattr(threads, "_QUOTAS", ((tmp_path / "none",), (tmp_path / "none",) * 2))
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)  # macOS
    monkeypatch.setattr(psutil, "cpu_count", lambda: count)
    assert threads.cores() == expected


def test_every_library_is_told():
    assert threads.environment(3) == {
        "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "3",
        "OPENCV_FOR_THREADS_NUM": "3", "MINDFACE_ERI_THREADS": "3"}
    assert [list(map(str, files)) for files in threads._QUOTAS] == [  # where Linux keeps a container's quota
        ["/sys/fs/cgroup/cpu.max"], ["/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"]]
