# SPDX-License-Identifier: Apache-2.0
"""Submissions: what is written passes the check, and the check finds each fault."""

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import PredictionTable, read_predictions, write_predictions
from mindface_eri.errors import DataError
from mindface_eri.evaluation.submission import check_submission, write_submission

NAMES = ("Fear", "Joy")
IDS = ("00007", "00003", "00005")
TABLE = PredictionTable(("00003", "00005", "00007", "extra"), NAMES,
              np.array([[0.3, 0.1], [0.5, 0.2], [0.7, 0.3], [0.9, 0.9]]))


def test_rows_stand_in_the_order_of_the_test_split(tmp_path):
    assert write_submission(tmp_path / "p.csv", [TABLE], IDS, ("Joy", "Fear")) == ()
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == ["File_ID,Joy,Fear", "[00007],0.300000,0.700000", "[00003],0.100000,0.300000",
                     "[00005],0.200000,0.500000"]
    assert check_submission(tmp_path / "p.csv", IDS, ("Joy", "Fear")) == []


def test_several_tables_are_averaged_over_those_that_have_the_clip(tmp_path):
    other = PredictionTable(("00003",), NAMES, np.array([[0.9, 0.7]]))
    write_submission(tmp_path / "p.csv", [TABLE, other], IDS, NAMES, weights=[1, 2])
    values = read_predictions(tmp_path / "p.csv").values
    np.testing.assert_allclose(values, [[0.7, 0.3], [0.7, 0.5], [0.5, 0.2]])


def test_a_missing_clip_has_a_policy(tmp_path):
    few = PredictionTable(("00003", "00005"), NAMES, np.array([[0.3, 0.1], [0.5, 0.2]]))
    with pytest.raises(DataError, match="1 of 3 test clips have no prediction, first 00007"):
        write_submission(tmp_path / "p.csv", [few], IDS, NAMES)
    assert not (tmp_path / "p.csv").exists()
    assert write_submission(tmp_path / "p.csv", [few], IDS, NAMES, missing="mean") == ("00007",)
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").values[0], [0.4, 0.15])
    write_submission(tmp_path / "p.csv", [few], IDS, NAMES, missing="zero")
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").values[0], 0)


@pytest.mark.parametrize("values, reason", [([[0.3, np.nan]], "not finite"), ([[0.3, 1.5]], r"outside \[0, 1\]")])
def test_values_that_are_no_intensities_are_refused(tmp_path, values, reason):
    with pytest.raises(DataError, match=reason):
        write_submission(tmp_path / "p.csv", [PredictionTable(("00003",), NAMES, np.array(values))], ["00003"], NAMES)


@pytest.mark.parametrize("text, problem", [
    ("File_ID,Joy,Fear\n[a],0,0\n[b],0,1\n", "the header is File_ID,Joy,Fear"),
    ("File_ID,Fear,Joy\n[a],0,0\n", "1 times: test clip without a row, first b"),
    ("File_ID,Fear,Joy\n[a],0,0\n[b],0,1\n[a],0,0\n", "clip a stands in line 2 already"),
    ("File_ID,Fear,Joy\n[a],0,0\n[b],0,1\n[c],0,0\n", "not in the test split, first c"),
    ("File_ID,Fear,Joy\na,0,0\n[b],0,1\n", "'a' is not in brackets"),
    ("File_ID,Fear,Joy\n[a],0,nan\n[b],0,1\n", "line 2: nan is not a finite number"),
    ("File_ID,Fear,Joy\n[a],0,1.01\n[b],0,1\n", "line 2: 1.01 is not a finite number in"),
    ("File_ID,Fear,Joy\n[a],0\n[b],0,1\n", "line 2: 2 cells; expected 3"),
    ("File_ID,Fear,Joy\n[a],0,x\n[b],0,1\n", "'x' is not a number"),
    ("File_ID,Fear,Joy\n[a],0.5,0.5\n[b],0.5,0.5\n", "all rows are alike"),
    ("", "the file is empty")])
def test_the_check_finds(tmp_path, text, problem):
    (tmp_path / "p.csv").write_text(text)
    assert any(problem in found for found in check_submission(tmp_path / "p.csv", ["a", "b"], NAMES))


def test_the_command(tmp_path, capsys):
    (tmp_path / "data_info.csv").write_text("File_ID,Split,Fear,Joy\n[1],Train,1,0\n[2],Test,,\n[3],Test,,\n")
    write_predictions(tmp_path / "p.csv", ["2", "3"], NAMES, [[0.1, 0.2], [0.3, 0.4]])
    out = ["--labels", str(tmp_path / "data_info.csv")]
    assert main(["submission", str(tmp_path / "p.csv"), *out, "--out", str(tmp_path / "s.csv")]) == 0
    assert "2 test clips" in capsys.readouterr().out
    assert main(["submission", "--check", str(tmp_path / "s.csv"), *out]) == 0
    (tmp_path / "s.csv").write_text("File_ID,Fear,Joy\n[2],0,0\n")
    assert main(["submission", "--check", str(tmp_path / "s.csv"), *out]) == 1
    assert main(["submission", *out]) == 2


def refused(match, tables, ids=IDS, emotions=NAMES, **more):
    with pytest.raises(DataError, match=match):
        write_submission("never.csv", tables, ids, emotions, **more)


def test_what_cannot_be_averaged_is_refused():
    refused("policy 'none' is not one of fail, mean, zero", [TABLE], missing="none")
    refused("0 tables of predictions for 3 test clips; need at least one of each", [])
    refused("1 tables of predictions for 0 test clips", [TABLE], ids=())
    refused(r"weights \[1, 2\] for 1 tables; need a positive one each", [TABLE], weights=[1, 2])
    refused(r"weights \[1, 0\] for 2 tables", [TABLE, TABLE], weights=[1, 0])
    refused("a table lacks Anger, Awe; it has Fear, Joy", [TABLE], emotions=("Anger", "Joy", "Awe"))
    refused("not one test clip has a prediction; are these the ids of the test split", [TABLE], ids=("x", "y"),
            missing="mean")
    refused("2 of 3 test clips have no prediction, first x; predict them, or choose what stands in their rows with "
            "--missing mean or zero", [TABLE], ids=("00003", "x", "y"))
    bad = PredictionTable(("a", "b"), NAMES, np.array([[0.1, 0.2], [-0.25, 0.3]]))
    refused(r"^submission: clip b, Fear: -0\.25 is outside \[0, 1\]$", [bad], ids=("a", "b"))
    refused(r"clip b: \[0\.3\s+inf\] is not finite",
            [PredictionTable(("b",), NAMES, np.array([[0.3, np.inf]]))], ids=("b",))


def test_what_is_out_of_range_by_rounding_is_clipped(tmp_path):
    table = PredictionTable(("a", "b"), NAMES, np.array([[1.0000009, 0.5], [0.25, -0.0000009]]))
    write_submission(tmp_path / "p.csv", [table], ("a", "b"), NAMES)
    assert (tmp_path / "p.csv").read_text().splitlines()[1:] == ["[a],1.000000,0.500000", "[b],0.250000,0.000000"]
    table.values[0, 0] = 1.000002
    refused("clip a, Fear: 1.000002 is outside", [table], ids=("a", "b"))


def test_rows_that_are_all_alike_are_not_handed_in(tmp_path):
    alike = PredictionTable(("a", "b"), NAMES, np.array([[0.5, 0.25], [0.5, 0.25]]))
    with pytest.raises(DataError, match="p.csv: all rows are alike: every correlation will be 0"):
        write_submission(tmp_path / "p.csv", [alike], ("a", "b"), NAMES)
    with pytest.raises(DataError) as error:  # the first few faults are enough
        write_submission(tmp_path / "p.csv", [TABLE], ("00003",) * 8, NAMES)
    assert str(error.value).count("clip 00003 stands in line 2 already") == 5


def test_equal_weights_by_default_and_policies_fill_with_what_was_averaged(tmp_path):
    other = PredictionTable(("00003", "00007"), ("Joy", "Fear"), np.array([[0.5, 0.9], [0.7, 0.1]]))
    assert write_submission(tmp_path / "p.csv", [TABLE, other], ("a", *IDS, "b"), NAMES, missing="mean") == ("a", "b")
    np.testing.assert_allclose(read_predictions(tmp_path / "p.csv").values, [
        [0.5, 1 / 3], [0.4, 0.5], [0.6, 0.3], [0.5, 0.2], [0.5, 1 / 3]], atol=1e-6)


@pytest.mark.parametrize("text, problems", [
    ("File_ID,Fear,Joy\n[a],0,1\n[b],1,0\n", []),
    ("File_ID,Fear,Joy\n[b],0.5,1\n[a],0.5,0\n", []),  # one column differs
    ("File_ID,Fear\n[a],0,0\n[a],0,1\n[a],1,1\n[d],0,x\n[c],2,0\n[],1,0\n", [
        "the header is File_ID,Fear; expected File_ID,Fear,Joy", "line 3: clip a stands in line 2 already",
        "line 4: clip a stands in line 2 already", "line 5: 'x' is not a number",
        "line 6: 2 is not a finite number in [0, 1]", "line 7: id '[]' is not in brackets",
        "1 times: test clip without a row, first b",
        "3 times: row of a clip that is not in the test split, first d"]),
    ("File_ID,Fear,Joy\n[c,-0.1,0\nb],inf,0,0\n", [
        "line 2: id '[c' is not in brackets", "line 2: -0.1 is not a finite number in [0, 1]",
        "line 3: 4 cells; expected 3", "2 times: test clip without a row, first a",
        "1 times: row of a clip that is not in the test split, first [c"])])
def test_all_that_is_wrong_is_said(tmp_path, text, problems):
    (tmp_path / "p.csv").write_text(text)
    assert check_submission(tmp_path / "p.csv", ["a", "b"], NAMES) == problems


def test_a_single_clip_may_be_alike_and_a_missing_file_is_said(tmp_path, short_cells):
    (tmp_path / "p.csv").write_text("File_ID,Fear,Joy\n[a],0.5,0.5\n")
    assert check_submission(tmp_path / "p.csv", ["a"], NAMES) == []
    assert check_submission(tmp_path / "none.csv", ["a"], NAMES)[0].startswith("cannot be read as CSV (")
    (tmp_path / "p.csv").write_text(f'File_ID\n"{"x" * 1100}"\n')
    assert "field larger" in check_submission(tmp_path / "p.csv", ["a"], NAMES)[0]
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\xfa")
    assert "utf-8" in check_submission(tmp_path / "p.csv", ["a"], NAMES)[0]
