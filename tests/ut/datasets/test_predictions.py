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
"""Tables of predictions: round trip, and files that are refused."""

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindface_eri.datasets.predictions import read_predictions, write_predictions
from mindface_eri.errors import DataError


def test_round_trip_in_the_submission_form(tmp_path):
    path = tmp_path / "predictions.csv"
    values = np.array([[0.25, 0.5], [1 / 3, 0.75]])
    write_predictions(path, ["00000", "00007"], ["Fear", "Empathic-Pain"], values)
    assert path.read_text().splitlines()[:2] == ["File_ID,Fear,Empathic-Pain", "[00000],0.250000,0.500000"]
    table = read_predictions(path)
    assert (table.ids, table.emotions) == (("00000", "00007"), ("Fear", "Empathic-Pain"))
    np.testing.assert_allclose(table.values, values, atol=5e-7)
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.csv"]


def test_text_columns_are_no_emotions_and_blanks_are_missing(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffFile_ID,Split,Fear,Joy\n[1],Val,0.5,\n2,Val,1,0\n", encoding="utf-8")
    table = read_predictions(path)
    assert (table.ids, table.emotions) == (("1", "2"), ("Fear", "Joy"))
    assert np.isnan(table.values[0, 1])
    assert table.values[1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("text, wanted, message", [
    ("", (), "the table is empty"), ("id,Fear\n1,0.5\n", (), "needs a column File_ID"),
    ("File_ID,Fear,Joy\n[1],0.5,0.5\n[2],0.5\n", (), "row 3: 2 fields, the header has 3"),
    ("File_ID,Fear,Fear\n[1],0.5,0.5\n", (), "'Fear', which another has too"),
    ("File_ID,Fear\n[1],0.5\n1,0.5\n", (), "clip 1 more than once"),
    ("File_ID,Fear\n[1],much\n", ("Fear",), "row 2, column 'Fear': 'much' is not a number"),
    ("File_ID,Fear\n[1],0.5\n", ("Joy",), "has no column Joy"), ("File_ID,Split\n1,Val\n", (), "no column of numbers")])
def test_refused_with_a_sentence(tmp_path, text, wanted, message):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(path, wanted)
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "gone.csv")


def test_values_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match="do not fit"):
        write_predictions(tmp_path / "p.csv", ["1"], ["Fear", "Joy"], np.zeros((1, 3)))


NAMES = st.text(st.sampled_from(string.printable[:95] + "éß名🙂"), min_size=1, max_size=12).map(str.strip).filter(bool)
LISTS = st.lists(NAMES, min_size=1, max_size=5, unique=True)


@given(ids=LISTS, emotions=LISTS)
def test_ids_and_emotions_of_any_kind_come_back(tmp_path_factory, ids, emotions):
    """Also [brackets], commas, quotes and what a spreadsheet would run: what programs read back is never altered."""
    emotions = [name for name in emotions if name != "File_ID"] or ["Joy"]
    path = tmp_path_factory.mktemp("p") / "p.csv"
    values = np.random.default_rng(len(ids)).random((len(ids), len(emotions)))
    write_predictions(path, ids, emotions, values)
    table = read_predictions(path)
    assert (table.ids, table.emotions) == (tuple(ids), tuple(emotions))
    np.testing.assert_allclose(table.values, values, atol=5e-7)
