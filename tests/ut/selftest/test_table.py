# SPDX-License-Identifier: Apache-2.0
"""Checks run one after the other, whatever becomes of one, and end in a table and a status."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from mindface_eri import cli
from mindface_eri.errors import ERIError
from mindface_eri.selftest import table
from mindface_eri.selftest.table import ROWS, Row, markdown, selftest


def said(result, measured):
    return SimpleNamespace(returncode=0, stderr="", stdout=f"noise\n{table._SAID}{json.dumps([result, measured])}\n")


@pytest.fixture
def processes(monkeypatch):
    """What each started process does, by check; the others pass."""
    does, started = {}, []

    def run(module, *words):
        name = "reference" if module.endswith("material") else words[0]
        started.append((name, *words[1:2], *words[3:]))
        found = does.get(name, said("pass", "well"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(table, "_run", run)
    monkeypatch.setattr(table, "use_device", lambda device: "CPU" if device == "auto" else device)
    monkeypatch.setattr(table, "device_requirements", lambda device: [])
    does.update(started=started)
    return does


def test_all_rows_in_order(processes):
    lines = []
    heading, rows = selftest(notify=lines.append)
    assert heading.startswith("CPU: ") and "mindspore 2" in heading
    assert [(row.check, row.result, row.measured, row.limit) for row in rows] == [
        (check, "pass", "well", limit) for check, _, _, limit in ROWS]
    assert processes["started"] == [("reference",), *((name, "CPU", *more) for _, name, more, _ in ROWS)]
    assert lines == [f"{check}: pass: well" for check, *_ in ROWS]


def test_one_that_fails_hangs_or_dies_does_not_stop_the_others(processes, capsys):
    processes.update(parity=said("FAIL", "off"), training=subprocess.TimeoutExpired("x", 1),
                     ranks=said("skipped", "one"),
                     times=SimpleNamespace(returncode=-11, stdout="", stderr="a\nSegmentation fault\n"))
    _, rows = selftest("CPU")
    assert [(row.result, row.measured) for row in rows] == [
        ("FAIL", "off"), *[("FAIL", "no answer within 900 s")] * 3, ("skipped", "one"), ("pass", "well"),
        ("FAIL", "its process ended with status -11: Segmentation fault")]
    assert cli.main(["selftest", "--device", "CPU"]) == 1
    printed = capsys.readouterr()
    assert "| FAIL    | off" in printed.out and printed.out.splitlines()[1] == ""
    assert "two ranks: skipped: one" in printed.err


def test_status_of_rows_that_pass_or_cannot_be_asked(processes):
    processes["ranks"] = said("skipped", "one card")
    assert cli.main(["selftest"]) == 0


def test_without_the_cpus_numbers_there_is_nothing_to_hold_a_device_against(processes):
    processes["reference"] = SimpleNamespace(returncode=1, stdout="", stderr="")
    with pytest.raises(ERIError, match="the CPU's own numbers could not be computed: it said nothing"):
        selftest("CPU")


def test_a_cards_name_stands_above_the_table(processes, monkeypatch):
    monkeypatch.setattr(table, "device_requirements", lambda device: [
        SimpleNamespace(name="NVIDIA driver", detail="for CUDA 12"), SimpleNamespace(name="card 0", detail="A100")])
    assert table.heading("GPU").startswith("GPU: A100; mindface_eri ")


def test_the_table_can_be_pasted():
    assert markdown([Row("export", "pass", "a|b", "1e-5", 2.6)]).splitlines() == [
        "| check  | result | measured | limit | seconds |", "| ------ | ------ | -------- | ----- | ------: |",
        "| export | pass   | a\\|b     | 1e-5  |       3 |"]


@pytest.mark.slow
def test_the_processor_by_itself(monkeypatch):
    monkeypatch.setattr(table, "ROWS", ROWS[:1])
    _, (row,) = selftest("CPU")
    assert row.result == "pass" and row.measured.startswith("intensities within"), row.measured
