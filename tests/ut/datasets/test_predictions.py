# SPDX-License-Identifier: Apache-2.0
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


def test_the_file_letter_by_letter(tmp_path):
    values = np.array([[0.1234565001, 1.0], [2e-7, 0.9999996], [float("nan"), -0.25]])
    write_predictions(str(tmp_path / "deep" / "p.csv"), ["b", "a,b", "[c]"], ("Joy", "Awe"), values.tolist())
    text = "File_ID,Joy,Awe\r\n[b],0.123457,1.000000\r\n\"[a,b]\",0.000000,1.000000\r\n[[c]],nan,-0.250000\r\n"
    assert (tmp_path / "deep" / "p.csv").read_bytes() == text.encode()
    table = read_predictions(tmp_path / "deep" / "p.csv")
    assert table.ids == ("b", "a,b", "[c]") and np.isnan(table.values[2, 0]) and table.values.dtype == np.float64


def test_columns_come_in_the_order_asked_and_rows_in_the_files(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("Joy,File_ID,Age,Awe,Note\n0.25,[2],30,0.5,\n1,[1],nan,0.75,x\n")
    table = read_predictions(path)
    assert (table.ids, table.emotions) == (("2", "1"), ("Joy", "Age", "Awe"))
    np.testing.assert_array_equal(table.values, [[0.25, 30, 0.5], [1, np.nan, 0.75]])
    table = read_predictions(path, ["Awe", "Joy"])
    assert table.emotions == ("Awe", "Joy") and table.values.tolist() == [[0.5, 0.25], [0.75, 1.0]]
    with pytest.raises(DataError, match="has no column Sad, Mad; its columns are Joy, File_ID, Age, Awe, Note"):
        read_predictions(path, ["Sad", "Joy", "Mad"])
    with pytest.raises(DataError, match="row 3, column 'Note': 'x' is not a number"):
        read_predictions(path, ["Note"])


def test_how_many_clips_are_doubled_is_said(tmp_path):
    (tmp_path / "p.csv").write_text("File_ID,Joy\n3,1\n1,1\n[2],1\n[1],1\n2,1\n1,1\n")
    with pytest.raises(DataError, match="names clip 1 more than once .2 such clips."):
        read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 3), (2,)])
def test_each_id_and_emotion_needs_its_value(tmp_path, shape):
    with pytest.raises(DataError, match="2 ids and 2 emotions do not fit values of"):
        write_predictions(tmp_path / "p.csv", ["1", "2"], ["Fear", "Joy"], np.zeros(shape))
    assert not list(tmp_path.iterdir())
