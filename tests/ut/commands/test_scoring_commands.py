# SPDX-License-Identifier: Apache-2.0
"""What evaluate and compare hand over, refuse and print."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.evaluation.runs import Scored
from mindface_eri.evaluation.scores import HEADERS

RUN = "mindface_eri.evaluation.runs.evaluate_run"
READ = "mindface_eri.evaluation.runs.read_scored"
SCORE = "mindface_eri.evaluation.scores.score"
X, NAN = np.random.default_rng(4).random((6, 2)), float("nan")
SCORED = Scored("the run", tuple("abcdef"), ("Joy", "Fear"), X, np.vstack([(X[:, ::-1] + 0.1 * X**2)[:5], [NAN, NAN]]),
                {"Country": tuple("UUUVVV")}, ("1 of the clips have no label: left out",))
HEAD = "the run: intervals at 95% by the jackknife over 5 clips, taken as independent\n"


def test_a_run_is_evaluated_as_asked(stand_in, status):
    calls = stand_in(RUN, SCORED)
    assert status("evaluate", "r")[0] == 0
    assert calls[0] == {"run": Path("r"), "records": None, "split": "val", "labels": None, "device": None,
                        "group": None}
    status("evaluate", "r", "--data", "d", "--split", "test", "--labels", "l.csv", "--device", "CPU",
           "--group", "none")
    assert calls[1] == {"run": Path("r"), "records": Path("d"), "split": "test", "labels": Path("l.csv"),
                        "device": "CPU", "group": "none"}


def test_a_table_is_scored_against_its_labels(stand_in, status):
    calls, runs = stand_in(READ, SCORED), stand_in(RUN)
    assert status("evaluate", "--predictions", "p.csv", "--labels", "l.csv")[0] == 0
    assert (calls[0]["path"], calls[0]["labels"], calls[0]["group"], runs) == (Path("p.csv"), Path("l.csv"), None, [])
    status("evaluate", "--predictions", "p.csv", "--labels", "l.csv", "--group", "Who")
    assert calls[1]["group"] == "Who"


def test_groups_reach_the_scores(stand_in, status):
    stand_in(RUN, SCORED)
    calls = stand_in(SCORE, [{"group": "all", **dict.fromkeys(HEADERS), "emotion": "mean"}])
    status("evaluate", "r")
    status("evaluate", "r", "--by", "Country")
    assert [(call["scored"], call["by"]) for call in calls] == [(SCORED, None), (SCORED, "Country")]


def test_scores_are_printed_in_the_form_asked_for(stand_in, status, tmp_path):
    stand_in(RUN, SCORED)
    words = ["evaluate", "r"]
    code, out, shown = status(*words)
    assert code == 0 and out.startswith(HEAD + "| emotion |") and "group" not in out
    assert shown == "1 of the clips have no label: left out\n"
    out = status(*words, "--by", "Country")[1]
    whole, _, groups = out.partition("\n\nBy group: means, and Pearson of each emotion\n")
    assert "Country" not in whole and groups.startswith("| group")
    assert "| Country = U |" in groups and "| Country = V |" in groups
    assert status(*words, "--format", "csv")[1].startswith(f"group,{','.join(HEADERS)}\n")
    assert [row["emotion"] for row in json.loads(status(*words, "--format", "json")[1])] == ["Joy", "Fear", "mean"]
    out = status(*words, "--out", tmp_path / "s.json", "--format", "csv")[1]
    text = (tmp_path / "s.json").read_text()
    assert out == f"3 rows in {tmp_path / 's.json'}\n" and text.endswith("]\n") and len(json.loads(text)) == 3
    status(*words, "--out", tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text().startswith(HEAD + "| emotion |")


def test_a_split_without_labels_has_no_score(stand_in, status):
    stand_in(RUN, Scored("the run", ("a", "b"), ("Joy",), X[:2, :1], np.full((2, 1), NAN)))
    assert status("evaluate", "r")[:2] == (
        0, "the run: 2 clips predicted; none has a label, so that there is no score\n")


@pytest.mark.parametrize("words, said", [
    ("evaluate", "name a run folder, or --predictions and --labels"),
    ("evaluate r --predictions p.csv --labels l", "name a run folder, or --predictions and --labels"),
    ("evaluate --predictions p.csv", "--predictions needs --labels"),
    ("compare a", "compare needs at least two runs")])
def test_what_cannot_be_scored_is_wrong_usage(words, said, stand_in, status):
    stand_in(READ), stand_in(RUN)
    code, out, shown = status(*words.split())
    assert (code, out) == (2, "") and said in shown


class Comparison:
    clips, confidence, left_out, over = 6, 0.95, 0, "2 groups by Country"

    def headers(self):
        return ["run", "mean", "low", "high"]

    def rows(self):
        return [["a", 0.5, 0.25, 0.75], ["b", 0.4, 0.2, 0.6]]

    def emotion_headers(self):
        return ["run", "Joy"]

    def emotion_rows(self):
        return [["a", 0.125]]


def test_runs_are_compared_as_asked(stand_in, status, tmp_path):
    read, result = stand_in(READ, SCORED), Comparison()
    calls = stand_in("mindface_eri.evaluation.compare.compare", result)
    code, out, _ = status("compare", "a", "b")
    assert code == 0 and len(calls[0]["runs"]) == 2
    assert read == [{"path": Path(name), "split": "val", "labels": None, "group": None} for name in "ab"]
    lines = out.splitlines()
    assert lines[0] == "6 clips; intervals at 95% and p by the jackknife over 2 groups by Country"
    assert [line for line in lines if line.startswith("| run")] == ["| run |   mean |    low |   high |",
                                                                    "| run |    Joy |"]
    assert "| a   | 0.5000 | 0.2500 | 0.7500 |" in lines and "| a   | 0.1250 |" in lines and "left out" not in out
    result.left_out = 3
    figure, bars = tmp_path / "f.png", stand_in("mindface_eri.report.figures.ablation_figure", "figure")
    saved = stand_in("mindface_eri.report.style.save_figure", [figure, tmp_path / "f.svg"])
    out = status("compare", "a", "b", "c", "--split", "test", "--labels", "l", "--group", "Who", "--figure", figure)[1]
    assert read[2:] == [{"path": Path(name), "split": "test", "labels": Path("l"), "group": "Who"} for name in "abc"]
    assert "\n3 clips are left out because not every run predicted them\n" in out
    assert bars[0]["values"] == {"a": (0.5, 0.25, 0.75), "b": (0.4, 0.2, 0.6)}
    assert (saved[0]["figure"], saved[0]["path"]) == ("figure", figure)
    assert out.endswith(f"\nwrote {figure}, {tmp_path / 'f.svg'}\n")
