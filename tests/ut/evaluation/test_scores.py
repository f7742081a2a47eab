# SPDX-License-Identifier: Apache-2.0
"""Scores from two CSV files alone."""

import json

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored, read_scored
from mindface_eri.evaluation.scores import HEADERS, group_rows, score, score_rows
from mindface_eri.metrics import Jackknife
from mindface_eri.prediction.answers import format_answers


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
    fear, joy, mean = score_files(*files)
    assert fear["Pearson"] == pytest.approx(1.0)
    assert fear["MAE"] == pytest.approx(0.25)
    assert (joy["Pearson"], joy["clips"], joy["note"]) == (0.0, 3, "constant predictions")
    assert mean["Pearson"] == pytest.approx(0.5)
    assert fear["low"] == fear["high"] == pytest.approx(1.0)
    assert (fear["over"], joy["over"], mean["over"]) == ("clips: 4", "clips: 3", "clips: 3")


def test_groups(files):
    rows = score_files(*files, by="Country")
    assert [row["group"] for row in rows[::3]] == ["all", "Country = X", "Country = Y"]
    assert [line["clips"] for line in group_rows(rows)] == [4, 2, 2]
    assert group_rows(rows)[2] == {"group": "Country = Y", "clips": 2, "mean": None, "low": None, "high": None,
                                   "over": "clips: 1", "MSE": pytest.approx(0.0325), "MAE": pytest.approx(0.175),
                                   "Fear": pytest.approx(1.0), "Joy": None}
    assert rows[-1]["note"] == "1 of 2 emotions have no value"
    with pytest.raises(DataError, match="no column Age to group by; there are Split, Country"):
        score_files(*files, by="Age")


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
    words = ["evaluate", "--predictions", predictions, "--labels", labels]
    assert main([*words, "--by", "Country"]) == 0
    shown = capsys.readouterr()
    assert "| mean    |  0.5000 |" in shown.out
    assert "| Country = X |     2 |" in shown.out
    assert "1 of the clips have a label and no prediction" in shown.err
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["Pearson"] == pytest.approx(0.5)
    assert main([*words, "--out", str(tmp_path / "new" / "scores.csv")]) == 0
    lines = (tmp_path / "new" / "scores.csv").read_text().splitlines()
    assert lines[0] == "group,emotion,Pearson,low,high,CCC,MSE,MAE,clips,over,note"
    assert lines[2].startswith("all,Joy,0.000000,")
    assert main(["evaluate", "--predictions", predictions]) == 2
    assert "needs --labels" in capsys.readouterr().err
    assert main(["evaluate", "--predictions", predictions + "x", "--labels", labels]) == 1
    assert "intervals at 95% by the jackknife over 4 clips, taken as independent\n" in shown.out
    assert main([*words, "--group", "Country"]) == 0
    shown = capsys.readouterr().out
    assert "by the jackknife over 2 groups by Country\n" in shown and "| Country: 2 |" in shown
    assert main([*words, "--group", "Town"]) == 1
    assert "no column 'Town' to group clips by; there are Split, Country; or say 'none'" in capsys.readouterr().err


def test_answers_carry_their_failures_and_no_formula():
    rows = [{"File_ID": "=1+1", "Fear": 0.5}, {"File_ID": "b", "error": "no picture, no sound"}]
    assert format_answers(rows, ["Fear"], "csv").splitlines() == [
        "File_ID,Fear,error", "'=1+1,0.500000,", 'b,,"no picture, no sound"']
    assert '"error": "no picture, no sound"' in format_answers(rows, ["Fear"], "json")
    assert "0.500" in format_answers(rows, ["Fear"], "table")


PREDICTED = np.array([[0.1, 0.9], [0.4, 0.2], [0.35, 0.6], [0.8, 0.3], [0.55, 0.75], [0.2, 0.1]])
TRUE = np.array([[0.2, 0.7], [0.3, 0.4], [0.6, np.nan], [0.9, 0.1], [0.25, 0.8], [0.0, 0.3]])


def scored_of(predictions, labels, emotions=("Fear", "Joy"), **more):
    return Scored("p", tuple(f"c{i}" for i in range(len(labels))), tuple(emotions), predictions, labels, **more)


def test_a_row_holds_each_measure_of_its_emotion_and_the_mean_has_an_interval_of_its_own():
    rows = score_rows(scored_of(PREDICTED, TRUE))
    assert HEADERS == ("emotion", "Pearson", "low", "high", "CCC", "MSE", "MAE", "clips", "over", "note")
    assert [set(row) for row in rows] == [set(HEADERS)] * 3
    low, high = Jackknife(PREDICTED, TRUE).interval()
    found = []
    for e, row in enumerate(rows[:2]):
        known = ~np.isnan(TRUE[:, e])
        x, y = PREDICTED[known, e], TRUE[known, e]
        ccc = 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        found.append([np.corrcoef(x, y)[0, 1], low[e], high[e], ccc, np.mean((x - y) ** 2), np.mean(abs(x - y))])
        assert [row[name] for name in HEADERS[1:7]] == pytest.approx(found[-1])
    mean = np.mean(found, axis=0)
    mean[1:3] = low[2], high[2]
    assert [rows[2][name] for name in HEADERS[1:7]] == pytest.approx(mean)
    assert abs(low[2] - low[:2].mean()) > 0.01  # which is another number
    assert [(row["emotion"], row["clips"], row["note"]) for row in rows] == [
        ("Fear", 6, ""), ("Joy", 5, ""), ("mean", 6, "")]


def test_an_interval_is_over_people_where_they_are_known():
    """Six clips of three people, of whom one has no second emotion; a clip without a person stands for itself."""
    truth = TRUE.copy()
    truth[1, 1] = np.nan
    scored = scored_of(PREDICTED, truth, columns={"Speaker": ("a", "b", "b", "a", "c", "c")}, group="Speaker")
    rows = score(scored)
    low, high = Jackknife(PREDICTED, truth, "abbacc").interval()
    np.testing.assert_allclose([(row["low"], row["high"]) for row in rows], np.stack([low, high], 1))
    assert np.isfinite(low).all()
    assert [row["over"] for row in rows] == ["Speaker: 3", "Speaker: 2", "Speaker: 2"]
    assert scored.over == "3 groups by Speaker"
    blank = scored_of(PREDICTED, TRUE, columns={"Speaker": ("a", "b", " ", "a", "", "b ")}, group="Speaker")
    assert blank.over == "4 groups by Speaker (2 clips without one are each a group)"
    assert len(set(blank.groups)) == 4 and blank.groups[1] == blank.groups[5]
    assert score(blank.grouped("none"))[0]["over"] == "clips: 6"
    assert score(blank.grouped(None))[0]["over"] == "Speaker: 4"
    with pytest.raises(DataError, match="^p: no column 'Actor' to group clips by; there are Speaker; or say 'none' "):
        blank.grouped("Actor")


def test_what_cannot_be_said_is_said():
    truth = np.array([[0.5, 0.5, np.nan, 0.1], [0.5, 0.5, 0.3, 0.2], [0.5, 0.5, np.nan, 0.9]])
    guess = np.array([[0.1, 0.2, 0.4, 0.3], [0.3, 0.2, 0.5, 0.3 + 1e-9], [0.2, 0.2, 0.7, 0.3 - 1e-9]])
    rows = score_rows(scored_of(guess, truth, "ABCD"))
    assert [row["note"] for row in rows] == ["constant labels", "constant predictions and labels",
                                             "fewer than two labels", "", "1 of 4 emotions have no value"]
    assert [row["Pearson"] for row in rows][:3] == [0.0, 0.0, None]
    assert [row["clips"] for row in rows] == [3, 3, 1, 3, 3]
    assert (rows[2]["MSE"], rows[2]["MAE"]) == pytest.approx((0.04, 0.2))
    assert rows[-1]["Pearson"] is None and rows[-1]["MSE"] == pytest.approx(np.mean([row["MSE"] for row in rows[:4]]))
    one = score_rows(scored_of(guess[:1], truth[:1], "ABCD"))
    assert one[-1]["low"] is None and one[-1]["note"] == "4 of 4 emotions have no value"


def test_groups_are_of_labelled_clips_and_stand_in_order():
    truth = np.vstack([TRUE, [[np.nan, np.nan]]])
    scored = Scored("run", tuple("abcdefg"), ("Fear", "Joy"), np.vstack([PREDICTED, PREDICTED[:1]]), truth,
                    {"Who": ("s2", " s1 ", "s2", "", "s2", "s2", "s9")})
    rows = score(scored, by="Who")
    assert [row["group"] for row in rows[::3]] == ["all", "Who = (blank)", "Who = s1", "Who = s2"]
    assert rows[:3] == [{"group": "all", **row} for row in score_rows(scored_of(PREDICTED, TRUE))]
    take = [0, 2, 4, 5]
    assert rows[-3:] == [{"group": "Who = s2", **row} for row in
                         score_rows(scored_of(PREDICTED[take], TRUE[take]))]
    mean = rows[-1]
    assert group_rows(rows)[3] == {
        "group": "Who = s2", "clips": 4, "mean": mean["Pearson"], "low": mean["low"], "high": mean["high"],
        "over": "clips: 3", "MSE": mean["MSE"], "MAE": mean["MAE"], "Fear": rows[-3]["Pearson"],
        "Joy": rows[-2]["Pearson"]}
    assert mean["low"] < mean["Pearson"] < mean["high"] and mean["MSE"] != mean["MAE"]
    with pytest.raises(DataError, match=r"^run: there is no column Who to group by; there are none$"):
        score(Scored("run", ("a",), ("E",), np.ones((1, 1)), np.ones((1, 1))), by="Who")


def test_clips_without_a_label_have_no_score():
    scored = Scored("p", ("a", "b"), ("Fear", "Joy"), PREDICTED[:2], np.full((2, 2), np.nan))
    with pytest.raises(DataError, match="p: none of the 2 predicted clips has a label; name a table that has them with "
                                        "--labels"):
        score(scored)
