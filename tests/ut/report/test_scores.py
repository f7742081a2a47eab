# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""Scores from two CSV files alone."""

import json

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.report.answers import format_answers
from mindface_eri.report.runs import read_scored
from mindface_eri.report.scores import group_rows, score


@pytest.fixture()
def files(tmp_path):
    write_predictions(tmp_path / "p.csv", ["a", "b", "c", "d"], ["Fear", "Joy"],
                      [[0.1, 0.5], [0.2, 0.5], [0.3, 0.5], [0.4, 0.5]])
    (tmp_path / "l.csv").write_text(
        "File_ID,Split,Fear,Joy,Country\n[d],Val,0.8,0.1,X\n[c],Val,0.6,0.2,X\n[b],Val,0.4,0.3,Y\n[a],Val,0.2,,Y\n"
        "[e],Val,0,0,Y\n")
    return tmp_path / "p.csv", tmp_path / "l.csv"


def score_files(predictions, labels, **options):
    return score(read_scored(predictions, labels=labels), **options)


def test_rows_are_matched_by_id(files):
    np.testing.assert_allclose(read_scored(files[0], labels=files[1]).labels[:, 0], [0.2, 0.4, 0.6, 0.8])
    fear, joy, mean = score_files(*files, draws=50)
    assert fear["Pearson"] == pytest.approx(1.0)
    assert fear["MAE"] == pytest.approx(0.25)
    assert (joy["Pearson"], joy["clips"], joy["note"]) == (0.0, 3, "constant predictions")
    assert mean["Pearson"] == pytest.approx(0.5)
    assert fear["low"] <= 1.0 == pytest.approx(fear["high"])


def test_groups(files):
    rows = score_files(*files, draws=0, by="Country")
    assert [row["group"] for row in rows[::3]] == ["all", "Country = X", "Country = Y"]
    assert [line["clips"] for line in group_rows(rows)] == [4, 2, 2]
    assert group_rows(rows)[2] == {"group": "Country = Y", "clips": 2, "mean": None, "low": None, "high": None,
                                   "MSE": pytest.approx(0.0325), "MAE": pytest.approx(0.175),
                                   "Fear": pytest.approx(1.0), "Joy": None}
    assert rows[-1]["note"] == "1 of 2 emotions have no value"
    with pytest.raises(DataError, match="no column Age to group by; there are Split, Country"):
        score_files(*files, draws=0, by="Age")


def test_what_is_left_out_is_said(files):
    predictions, labels = files
    predictions.write_text("File_ID,Fear,Joy,error\nb,0.1,0.2,\nc,,,no face\n[d],0.3,0.1,\n")
    found = read_scored(predictions, labels=labels)
    assert found.ids == ("b", "d")
    assert found.notes == ("3 of the clips have a label and no prediction: left out",)  # a, c and e
    labels.write_text("File_ID,Split,Fear,Joy\nb,Val,0.1,0.1\nc,Test,0.5,0.1\nd,Val,,\n")
    assert read_scored(predictions, labels=labels).notes == ("1 of the clips have no label: left out",)
    predictions.write_text("File_ID,Fear,Joy\nb,nan,nan\n")
    with pytest.raises(DataError, match="not one clip has a prediction"):
        read_scored(predictions, labels=labels)


def test_an_unknown_clip_is_an_error(files):
    predictions, labels = files
    write_predictions(predictions, ["z"], ["Fear", "Joy"], [[0.1, 0.2]])
    with pytest.raises(DataError, match="clip z has no labels"):
        read_scored(predictions, labels=labels)


def test_the_command(files, tmp_path, capsys):
    predictions, labels = map(str, files)
    words = ["evaluate", "--predictions", predictions, "--labels", labels, "--draws", "20"]
    assert main([*words, "--by", "Country"]) == 0
    shown = capsys.readouterr()
    assert "| mean    |  0.5000 |" in shown.out
    assert "| Country = X |     2 |" in shown.out
    assert "1 of the clips have a label and no prediction" in shown.err
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["Pearson"] == pytest.approx(0.5)
    assert main([*words, "--out", str(tmp_path / "new" / "scores.csv")]) == 0
    lines = (tmp_path / "new" / "scores.csv").read_text().splitlines()
    assert lines[0] == "group,emotion,Pearson,low,high,CCC,MSE,MAE,clips,note"
    assert lines[2].startswith("all,Joy,0.000000,")
    assert main(["evaluate", "--predictions", predictions]) == 2
    assert "needs --labels" in capsys.readouterr().err
    assert main(["evaluate", "--predictions", predictions + "x", "--labels", labels]) == 1
    assert main([*words, "--draws", "-1"]) == 2


def test_answers_carry_their_failures_and_no_formula():
    rows = [{"File_ID": "=1+1", "Fear": 0.5}, {"File_ID": "b", "error": "no picture, no sound"}]
    assert format_answers(rows, ["Fear"], "csv").splitlines() == [
        "File_ID,Fear,error", "'=1+1,0.500000,", 'b,,"no picture, no sound"']
    assert '"error": "no picture, no sound"' in format_answers(rows, ["Fear"], "json")
    assert "0.500" in format_answers(rows, ["Fear"], "table")
