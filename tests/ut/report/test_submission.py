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
"""Submissions: what is written passes the check, and the check finds each fault."""

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.predictions import Table, read_predictions, write_predictions
from mindface_eri.errors import DataError
from mindface_eri.report.submission import check_submission, write_submission

NAMES = ("Fear", "Joy")
IDS = ("00007", "00003", "00005")
TABLE = Table(("00003", "00005", "00007", "extra"), NAMES,
              np.array([[0.3, 0.1], [0.5, 0.2], [0.7, 0.3], [0.9, 0.9]]))


def test_rows_stand_in_the_order_of_the_test_split(tmp_path):
    assert write_submission(tmp_path / "p.csv", [TABLE], IDS, ("Joy", "Fear")) == ()
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == ["File_ID,Joy,Fear", "[00007],0.300000,0.700000", "[00003],0.100000,0.300000",
                     "[00005],0.200000,0.500000"]
    assert check_submission(tmp_path / "p.csv", IDS, ("Joy", "Fear")) == []


def test_several_tables_are_averaged_over_those_that_have_the_clip(tmp_path):
    other = Table(("00003",), NAMES, np.array([[0.9, 0.7]]))
    write_submission(tmp_path / "p.csv", [TABLE, other], IDS, NAMES, weights=[1, 2])
    values = read_predictions(tmp_path / "p.csv").values
    np.testing.assert_allclose(values, [[0.7, 0.3], [0.7, 0.5], [0.5, 0.2]])


def test_a_missing_clip_has_a_policy(tmp_path):
    few = Table(("00003", "00005"), NAMES, np.array([[0.3, 0.1], [0.5, 0.2]]))
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
        write_submission(tmp_path / "p.csv", [Table(("00003",), NAMES, np.array(values))], ["00003"], NAMES)


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
