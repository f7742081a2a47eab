# SPDX-License-Identifier: Apache-2.0
"""What reproduce makes of its options: records, recipes, the protocol and its report."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.errors import DataError
from mindface_eri.threads import cores

RUN = "mindface_eri.reproduce.protocol.run_protocol"
REPORT = "mindface_eri.reproduce.reproduction.write_reproduction"
OPEN = "mindface_eri.datasets.records.open_records"
SETS = "mindface_eri.datasets.feature_sets.list_feature_sets"
LABELS = "mindface_eri.datasets.predictions.read_predictions"
PREPROCESS = "mindface_eri.datasets.build.preprocessing.preprocess_dataset"
TABLE = [{"split": "train", "Country": "U", "Speaker": "1"}]
RECORDS = SimpleNamespace(emotions=("Joy", "Fear"), path=Path("d"), extra=("Country", "Speaker"), table=TABLE)


@pytest.fixture
def job(stand_in, tmp_path, monkeypatch):
    """A folder of records, and what is called to train on it and to report."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "dataset.json").write_text("{}")
    (tmp_path / "report.md").write_text("## Table 1\n")
    monkeypatch.delenv("MS_WORKER_NUM", raising=False)
    return SimpleNamespace(
        words=["reproduce", tmp_path / "d", tmp_path / "o"], opened=stand_in(OPEN, RECORDS),
        sets=stand_in(SETS, ("fau",)), runs=stand_in(RUN, True), reports=stand_in(REPORT, tmp_path / "report.md"))


def test_without_options_all_tables_with_three_seeds(job, status, tmp_path):
    code, out, _ = status(*job.words)
    assert code == 0 and out == f"\n## Table 1\n\nwrote {tmp_path / 'report.md'}\n"
    protocol = job.runs[0]["protocol"]
    assert (protocol.out, protocol.records, job.opened) == (tmp_path / "o", RECORDS, [{"path": tmp_path / "d"}])
    assert (protocol.tables, protocol.seeds, protocol.sets) == ((1, 2, 3, 4), (0, 1, 2), ("fau",))
    assert (protocol.overrides, protocol.device, protocol.group) == ((), None, "Speaker")  # a column of people
    assert set(protocol.recipes.values()) == {None}
    assert job.reports == [{"protocol": protocol, "test_labels": None, "baseline": True}]


def test_each_option_reaches_the_protocol_or_the_report(job, status, stand_in, tmp_path):
    (tmp_path / "r.yaml").write_text("train: {lr: 0.5}\n")
    labels = stand_in(LABELS)
    status(*job.words, "--config", tmp_path / "r.yaml", "--set", "train.epochs=2", "--tables", "2", "3", "--seeds", "1",
           "--group", "Country", "--test-labels", "t.csv", "--device", "CPU")
    protocol = job.runs[0]["protocol"]
    assert (protocol.tables, protocol.seeds, protocol.sets) == ((2, 3), (0,), ())  # sets are of table 1 only
    assert (protocol.overrides, protocol.device, protocol.group) == (("train.epochs=2",), "CPU", "Country")
    assert set(protocol.recipes.values()) == {tmp_path / "r.yaml"}
    assert job.reports[0]["test_labels"] == Path("t.csv")
    assert labels[0]["path"] == Path("t.csv") and labels[0]["emotions"] == ("Joy", "Fear")
    status(*job.words, "--set", "data.group=Country", "--no-baseline")
    assert job.reports[1]["baseline"] is False
    assert job.runs[1]["protocol"].group == "Country"


def test_records_of_sound_alone_leave_table_2_out(job, status, stand_in):
    table = [{"split": split, "present_visual": "0", "present_acoustic": "1"} for split in ("train", "val")]
    stand_in(OPEN, SimpleNamespace(**{**vars(RECORDS), "table": table}))
    out = status(*job.words)[1]
    assert out.startswith("table 2 is left out: it needs picture and sound, of which the clips to train on have one")
    assert job.runs[0]["protocol"].tables == (1, 3, 4)


def test_only_the_process_that_writes_reports(job, status, stand_in):
    stand_in(RUN, False)
    assert status(*job.words)[:2] == (0, "") and not job.reports


def test_a_fault_in_the_test_labels_is_told_before_training(job, status, stand_in):
    stand_in(LABELS, DataError("t.csv: no such column"))
    code, _, shown = status(*job.words, "--test-labels", "t.csv")
    assert code == 1 and "no such column" in shown and not job.runs


def test_no_seeds_is_wrong_usage(job, status):
    code, _, shown = status(*job.words, "--seeds", "0")
    assert code == 2 and "--seeds must be at least 1" in shown and not job.opened
    assert status(*job.words, "--seeds", "1")[0] == 0


def test_a_data_set_is_preprocessed_with_the_recipe_of_fusion(job, status, stand_in, tmp_path, monkeypatch):
    calls = stand_in(PREPROCESS, SimpleNamespace(failed=0, total=9))
    words = ["reproduce", tmp_path / "corpus", tmp_path / "o"]
    out = status(*words, "--set", "preprocess.jpeg_quality=70")[1]
    folder = tmp_path / "o" / "records"
    assert (calls[0]["root"], calls[0]["out"], calls[0]["config"].jpeg_quality) == (tmp_path / "corpus", folder, 70)
    assert (calls[0]["workers"], calls[0]["resume"]) == (cores(), True)
    assert job.opened == [{"path": folder}] and "could not be used" not in out
    stand_in(PREPROCESS, SimpleNamespace(failed=2, total=9))
    out = status(*words, "--workers", "5")[1]
    assert out.startswith(f"2 of 9 clips could not be used; reasons: {folder / 'failures.csv'}\n")
    (tmp_path / "d" / "dataset.json").rename(tmp_path / "d" / "plan.json")  # unfinished records say so when opened
    assert status(*job.words)[0] == 0 and job.opened[-1] == {"path": tmp_path / "d"}
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("MS_WORKER_NUM", "1")  # a launcher with one process shares nothing
    assert status(*words)[0] == 0
    monkeypatch.setenv("MS_WORKER_NUM", "2")
    code, _, shown = status(*words)
    assert code == 2 and "make them first with `mindface-eri preprocess`" in shown


def test_as_many_processes_preprocess_as_asked(job, status, stand_in, tmp_path):
    calls = stand_in(PREPROCESS, SimpleNamespace(failed=0, total=9))
    status("reproduce", tmp_path / "corpus", tmp_path / "o", "--workers", "5")
    assert calls[0]["workers"] == 5
