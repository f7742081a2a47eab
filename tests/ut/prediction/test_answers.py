# SPDX-License-Identifier: Apache-2.0
"""Rows as a table, CSV and JSON: which columns, how many digits, and what is blank."""

import json
from pathlib import Path

import pytest

from mindface_eri.prediction.answers import FORMATS, form_of, format_answers, format_rows

ROWS = [{"File_ID": "a", "start": 0.0, "end": 1.25, "Fear": 0.12345678, "Joy": 0.5},
        {"File_ID": "b", "Joy": None, "error": "no face"}]


def test_a_timelines_columns_stand_before_the_emotions():
    assert format_answers(ROWS, ("Joy", "Fear"), "csv") == (
        "File_ID,start,end,Joy,Fear,error\na,0.000000,1.250000,0.500000,0.123457,\nb,,,,,no face")
    assert format_answers(ROWS[:1], ("Joy", "Fear"), "table").splitlines() == [
        "| File_ID | start |   end |   Joy |  Fear |", "| ------- | ----: | ----: | ----: | ----: |",
        "| a       | 0.000 | 1.250 | 0.500 | 0.123 |"]
    text = format_answers(ROWS, ("Joy", "Fear"), "json")
    assert json.loads(text) == [{"File_ID": "a", "start": 0.0, "end": 1.25, "Joy": 0.5, "Fear": 0.12345678},
                                {"File_ID": "b", "error": "no face"}]
    assert list(json.loads(text)[0]) == ["File_ID", "start", "end", "Joy", "Fear"]
    assert text.startswith('[\n  {\n    "File_ID": "a",')
    plain = [{"File_ID": "a", "Fear": 0.5, "error": ""}]
    assert format_answers(plain, ("Fear",), "csv") == "File_ID,Fear\na,0.500000"


def test_rows_keep_the_order_of_their_headers():
    rows = [{"b": 0.123456789, "a": 3, "c": ""}, {"a": 0, "b": 0.0, "c": "ä"}]
    assert format_rows(rows, ["a", "b", "c"], "csv") == "a,b,c\n3,0.123457,\n0,0.000000,ä"
    assert format_rows(rows, ["a", "b"], "table").splitlines()[2] == "|   3 | 0.1235 |"
    assert format_rows(rows, ["a", "b"], "table", digits=2).splitlines()[2] == "|   3 | 0.12 |"
    text = format_rows(rows, ["b", "a", "c"], "json")
    assert json.loads(text) == [{"b": 0.123456789, "a": 3}, {"b": 0.0, "a": 0, "c": "ä"}]
    assert '"ä"' in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_json_and_blank_elsewhere(value):
    rows = [{"a": value, "b": 0.5}]
    assert json.loads(format_rows(rows, ["a", "b"], "json"), parse_constant=pytest.fail) == [{"b": 0.5}]
    assert format_rows(rows, ["a", "b"], "csv") == "a,b\n,0.500000" and "nan" not in format_rows(rows, ["a"], "table")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", " =", "\t +", "\u3000=", "\u200b@", "\ufeff-",
                                   "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe66", " \uff1d", "\xa0="])
def test_no_cell_is_a_formula(first):
    text = format_rows([{"x": f"{first}1", "y": -1.5, "z": f"1{first}"}], ["x", "y", "z"], "csv")
    cells = text.split("\n", 1)[1].replace('"', "").split(",")
    assert cells == [f"'{first}1", "-1.500000", f"1{first}"]


@pytest.mark.parametrize("text", ["a=1", " a", "1-2", "\u3000a", "", " ", "\xe9=", "a@b"])
def test_and_what_is_none_stays(text):
    assert format_rows([{"x": text}], ["x", "y"], "csv") == f"x,y\n{text},"


def test_a_files_ending_chooses_the_form():
    assert FORMATS == ("table", "csv", "json")
    assert form_of(Path("x.JSON"), "csv") == "json"
    assert form_of(Path("x.csv"), "table") == "csv"
    assert form_of(Path("x.txt"), "table") == "table"
    assert form_of(Path("json"), "csv") == "csv"
    assert form_of(None, "json") == "json"
