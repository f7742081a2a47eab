"""Scores from two CSV files alone."""

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.report.answers import format_answers
from mindface_eri.report.scores import HEADERS, score_files


@pytest.fixture()
def files(tmp_path):
    write_predictions(tmp_path / "p.csv", ["a", "b", "c", "d"], ["Fear", "Joy"],
                      [[0.1, 0.5], [0.2, 0.5], [0.3, 0.5], [0.4, 0.5]])
    (tmp_path / "l.csv").write_text(
        "File_ID,Split,Fear,Joy,Country\n[d],Val,0.8,0.1,X\n[c],Val,0.6,0.2,X\n[b],Val,0.4,0.3,Y\n[a],Val,0.2,,Y\n"
        "[e],Val,0,0,Y\n")
    return tmp_path / "p.csv", tmp_path / "l.csv"


def test_rows_are_matched_by_id(files):
    _, labels, groups = score_files(*files, draws=50)
    np.testing.assert_allclose(labels[:, 0], [0.2, 0.4, 0.6, 0.8])
    fear, joy, mean = (dict(zip(HEADERS, row)) for row in groups["all"])
    assert fear["Pearson"] == pytest.approx(1.0)
    assert fear["MAE"] == pytest.approx(0.25)
    assert (joy["Pearson"], joy["clips"], joy["note"]) == (0.0, 3, "constant predictions")
    assert mean["Pearson"] == pytest.approx(0.5)


def test_groups(files):
    groups = score_files(*files, draws=0, by="Country")[2]
    assert list(groups) == ["all", "Country = X (2 clips)", "Country = Y (2 clips)"]
    with pytest.raises(DataError, match="no column Age to group by"):
        score_files(*files, draws=0, by="Age")


def test_an_unknown_clip_is_an_error(files):
    predictions, labels = files
    write_predictions(predictions, ["z"], ["Fear", "Joy"], [[0.1, 0.2]])
    with pytest.raises(DataError, match="clip z is not in"):
        score_files(predictions, labels)


def test_the_command(files, capsys):
    predictions, labels = map(str, files)
    assert main(["evaluate", "--predictions", predictions, "--labels", labels, "--draws", "20"]) == 0
    assert "| mean    |  0.5000 |" in capsys.readouterr().out
    assert main(["evaluate", "--predictions", predictions]) == 2
    assert "needs --labels" in capsys.readouterr().err
    assert main(["evaluate", "--predictions", predictions + "x", "--labels", labels]) == 1


def test_answers_carry_their_failures_and_no_formula():
    rows = [{"File_ID": "=1+1", "Fear": 0.5}, {"File_ID": "b", "error": "no picture, no sound"}]
    assert format_answers(rows, ["Fear"], "csv").splitlines() == [
        "File_ID,Fear,error", "'=1+1,0.500000,", 'b,,"no picture, no sound"']
    assert '"error": "no picture, no sound"' in format_answers(rows, ["Fear"], "json")
    assert "0.500" in format_answers(rows, ["Fear"], "table")
