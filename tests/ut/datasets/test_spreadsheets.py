# SPDX-License-Identifier: Apache-2.0
"""Tables as spreadsheets write them: separators, encodings, numbers, workbooks."""

import math

import pytest
from fixtures.labels import told, write

from mindface_eri.datasets.label_import import import_table
from mindface_eri.datasets.spreadsheets import read_sheet, value_of
from mindface_eri.errors import DataError, MissingDependencyError


@pytest.mark.parametrize("text, encoding, how", [
    ("Clip;Ärger\na;0,5\nb;1\n", "cp1252", "text in Windows-1252 (guessed), separated by semicolons, decimal commas"),
    ("Clip\tÄrger\na\t0.5\nb\t1\n", "utf-16", "text in UTF-16, separated by tabs"),
    ("Clip,Ärger\r\na,\"0,5\"\r\n\r\nb,1\r\n", "utf-8-sig", "text in UTF-8, separated by commas"),
    ("Clip|Ärger\na|.5\nb|100%\n", "utf-8", "text in UTF-8, separated by bars"),
    ("Study 3;;\n;;\nClip;Ärger;\na;0,5;\nb;1;\n", "utf-8",
     "text in UTF-8, separated by semicolons, decimal commas; 1 row above the names passed over")])
def test_separators_encodings_and_decimal_marks(tmp_path, text, encoding, how):
    sheet = read_sheet(write(tmp_path, text, encoding=encoding))
    assert (sheet.table.header, sheet.how) == (["Clip", "Ärger"], how)
    assert [value_of(cells[1]) for _, cells in sheet.table.rows] in ([0.5, 1], [0.5, 100])


def test_what_a_number_may_look_like():
    words = {"3": 3, " 0.5": 0.5, "0,5": 0.5, "-1,25": -1.25, "50 %": 50, "1e-3": 0.001, ",5": 0.5}
    assert [value_of(text) for text in words] == list(words.values())
    assert all(math.isnan(value_of(text)) for text in ("", "NA", "n/a", "-", ".", "k.A."))
    for text in ("1,2,3", "half", "1_0", "1.2,3"):
        with pytest.raises(ValueError):
            value_of(text)


@pytest.mark.parametrize("text, said", [
    ("a;b\n1;2;3\n", "row 2: 3 fields, the header has 2"), ("a;b\n1\n", "row 2: 1 fields, the header has 2"),
    ("a;a\n1;2\n", "row 1: column 2 has the name 'a', which another has too"), ("a;\n1;2\n", "is no table|has no name"),
    ("only\n1\n", "is no table: it needs a row of names and rows below"), ("a;b\n", "is no table"),
    ("\0;a\n1;2\n", "no text in")])
def test_what_is_no_table_is_refused(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read_sheet(write(tmp_path, text))


def test_a_workbook_is_read_sheet_by_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["what this is"])
    for title, rows in {"Ratings": [["Video", "Joy", None], ["7.mp4", 0.25, None], [8, 1.0], [9, None]],
                        "Old": [["a", "b"], [1, 2]]}.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "b.xlsx")
    found = read_sheet(tmp_path / "b.xlsx")
    assert found.how == "workbook, sheet 'Ratings' (not read: Old; --sheet names one)"
    assert found.table.rows == [(2, ["7.mp4", "0.25"]), (3, ["8", "1"]), (4, ["9", ""])]
    assert read_sheet(tmp_path / "b.xlsx", "Old").table.header == ["a", "b"]
    with pytest.raises(DataError, match="has no sheet 'New'; it has Sheet, Ratings, Old"):
        read_sheet(tmp_path / "b.xlsx", "New")
    with pytest.raises(DataError, match="is no workbook"):
        read_sheet(write(tmp_path, "no", "c.xlsx"))


def test_a_workbook_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match=r"workbooks need openpyxl: pip install 'mindface_eri\[xlsx\]'"):
        read_sheet(tmp_path / "b.xlsx")


def test_merged_cells_of_a_workbook_count_for_each_row(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Study", None, None], ["Subject", "id", "Joy"], ["p", "a", 1], [None, "b", 5], [None, "c", 2]):
        book.active.append(row)
    book.active.merge_cells("A1:C1")
    book.active.merge_cells("A3:A4")
    book.save(tmp_path / "b.xlsx")
    found = import_table(tmp_path / "b.xlsx")
    assert found.extra["Subject"] == ("p", "p", "") and "1 merged cells count for each of" in told(found)["table"]
    assert "1 clips name nobody (a blank is not who stands above it)" in told(found)["people"]
