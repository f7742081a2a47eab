# SPDX-License-Identifier: Apache-2.0
"""What `baseline` hands over and prints, and what `evaluate` and `train` say of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindface_eri.errors import DataError
from mindface_eri.evaluation.beside import Beside
from mindface_eri.evaluation.held_out import HeldOut
from mindface_eri.evaluation.runs import Scored

OPEN = "mindface_eri.datasets.records.open_records"
FOLDS = "mindface_eri.evaluation.held_out.score_folds"
SPLITS = "mindface_eri.evaluation.held_out.score_splits"
RUN = "mindface_eri.evaluation.runs.evaluate_run"
BESIDE = "mindface_eri.evaluation.beside.baseline_beside"
X = np.random.default_rng(4).random((6, 2))
SCORED = Scored("kernel ridge", tuple("abcdef"), ("Joy", "Fear"), X, X[:, ::-1] + 0.1 * X**2, {"Who": tuple("UUUVVV")},
                group="Who")
FOUND = [HeldOut(("mfcc",), "val", SCORED, np.zeros(6, int))]


def test_splits_or_folds_are_asked_for(stand_in, status):
    stand_in(OPEN, "records")
    splits, folds = stand_in(SPLITS, FOUND), stand_in(FOLDS, FOUND)
    assert status("baseline", "d")[0] == 0
    assert splits == [{"records": "records", "splits": ["val", "test"], "by": "person", "modalities": None,
                       "copies": False}]
    status("baseline", "d", "--split", "val", "--by", "Who", "--of", "mfcc", "fau")
    assert splits[1] == {"records": "records", "splits": ["val"], "by": "Who", "modalities": ["mfcc", "fau"],
                         "copies": False}
    status("baseline", "d", "--folds", "5", "--pool", "train", "test", "--seed", "3", "--by", "none", "--copies")
    assert folds == [{"records": "records", "folds": 5, "by": "none", "modalities": None, "pool": ["train", "test"],
                      "seed": 3, "copies": True}]
    code, _, said = status("baseline", "d", "--folds", "1")
    assert code == 2 and "--folds 1: folds are at least 2" in said and len(folds) == 1


def test_the_rows_are_printed_in_the_form_asked_for(stand_in, status, tmp_path):
    stand_in(OPEN), stand_in(SPLITS, FOUND)
    lines = status("baseline", "d")[1].splitlines()
    assert lines[0] == "Intervals at 95% by the jackknife over 2 groups by Who (val)"
    assert lines[1].startswith("| statistics of |") and lines[3].startswith("| sound ")
    row, = json.loads(status("baseline", "d", "--format", "json")[1])
    assert (row["regression"], row["clips"], row["people"]) == ("kernel ridge", 6, 2) and "mean of folds" not in row
    out = status("baseline", "d", "--out", tmp_path / "b.csv")[1]
    assert out == f"1 rows in {tmp_path / 'b.csv'}\n"
    assert (tmp_path / "b.csv").read_text().startswith("statistics of,regression,scored on,mean Pearson,")


def test_evaluate_prints_the_baseline_and_the_verdict(stand_in, status, monkeypatch):
    monkeypatch.setattr("mindface_eri.evaluation.small.is_small", lambda clips, people: False)
    stand_in(RUN, SCORED)
    calls = stand_in(BESIDE, Beside(SCORED, (SCORED,), 9, ("mfcc",), ("a note",)))
    out = status("evaluate", "some/run", "--data", "d")[1]
    assert (calls[0]["run"], calls[0]["scored"].name, calls[0]["records"]) == (Path("some/run"), "run", Path("d"))
    table, _, rest = out.partition("\n\nBeside statistics over time of sound, fitted on the network's 9 training "
                                   "clips\n")
    assert table.startswith("kernel ridge: intervals") and rest.startswith("| run ")
    assert rest.splitlines()[-2:] == [
        "kernel ridge (2) is NOT better than kernel ridge (1) by more than chance allows: +0.0000, +0.0000 to +0.0000 "
        "at 95% over 2 groups by Who.", "a note"]
    _, out, said = status("evaluate", "some/run", "--format", "json")
    assert [row["group"] for row in json.loads(out)] == ["all"] * 3 + ["baseline: kernel ridge"] * 3
    assert said.splitlines()[-1] == "a note"
    out = status("evaluate", "some/run", "--no-baseline")[1]
    assert "Beside" not in out and len(calls) == 2


def test_a_table_of_predictions_has_no_baseline(stand_in, status):
    stand_in("mindface_eri.evaluation.runs.read_scored", SCORED)
    calls = stand_in(BESIDE)
    assert "OPTIMISTIC" not in status("evaluate", "--predictions", "p.csv", "--labels", "l.csv")[1] and not calls


@pytest.mark.parametrize("words, optimistic", [([], True), (["--split", "test"], False), (["--data", "d"], False)])
def test_evaluate_says_that_few_people_chose_the_epoch(words, optimistic, stand_in, status):
    stand_in(RUN, SCORED), stand_in(BESIDE, Beside(SCORED))
    assert ("OPTIMISTIC: the best epoch was chosen by these 6 clips of 2 people" in
            status("evaluate", "r", *words)[1]) is optimistic


@pytest.fixture
def training(stand_in, tmp_path):
    """`training(words, beside)` of a corpus that has these words to be told."""
    def put(words, beside=None, **fields):
        (tmp_path / "r.yaml").write_text("data: {records: d}\n")
        stand_in("mindface_eri.runner.trainer.train", SimpleNamespace(**{
            "best_metric": 0.25, "best_epoch": 4, "is_main": True, "pipeline_rate": None, **fields}))
        stand_in("mindface_eri.report.run_figures.draw_learning_curves", Path("c.png"))
        stand_in("mindface_eri.evaluation.small.words_before_training", words)
        stand_in("mindface_eri.evaluation.runs.read_scored", SCORED)
        return stand_in(BESIDE, beside or Beside(SCORED))
    return put


def test_training_on_a_small_corpus_ends_with_the_baseline(training, status, tmp_path):
    calls = training(["a small corpus (of 2 people)"], Beside(SCORED, (SCORED,), 9, ("mfcc",)))
    words = ["train", "--config", tmp_path / "r.yaml", "--out", "o"]
    lines = status(*words)[1].splitlines()
    assert lines[0] == "a small corpus (of 2 people)"
    assert lines[2].startswith("best validation Pearson 0.2500 in epoch 4")
    assert "OPTIMISTIC" in lines[-1] and any(line.startswith("Beside statistics") for line in lines)
    assert (calls[0]["run"], calls[0]["scored"].name) == (Path("o"), "o")
    training(["a small corpus"], Beside(SCORED, notes=("no baseline beside it: why",)))
    assert "no baseline beside it: why" in status(*words)[1]


def test_training_on_a_large_corpus_says_nothing_of_it(training, status, tmp_path):
    calls = training([])
    words = ["train", "--config", tmp_path / "r.yaml", "--out", "o"]
    out = status(*words)[1]
    assert out.startswith("learning curves") and out.count("\n") == 2 and calls == []
    assert "OPTIMISTIC" not in out


def test_only_the_process_that_writes_says_it(training, status, tmp_path, monkeypatch):
    calls = training(["a small corpus"], is_main=False)
    for name, value in (("MS_WORKER_NUM", "2"), ("MS_ROLE", "MS_WORKER"), ("RANK_ID", "1")):
        monkeypatch.setenv(name, value)
    assert status("train", "--config", tmp_path / "r.yaml", "--out", "o")[1] == "" and calls == []


def test_what_cannot_be_said_does_not_stop_a_training(training, stand_in, status, tmp_path):
    training([])
    stand_in("mindface_eri.evaluation.small.words_before_training", DataError("broken"))
    code, out, _ = status("train", "--config", tmp_path / "r.yaml", "--out", "o")
    assert code == 0 and "broken" not in out  # training tells it
