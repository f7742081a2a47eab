# SPDX-License-Identifier: Apache-2.0
"""CSV files: what is passed over, what is refused at which row, and what is written."""

import csv

import pytest

from mindface_eri.datasets.tables import number, read_table, write_table
from mindface_eri.errors import DataError


def test_rows_carry_the_line_an_editor_shows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbf\r\n id , Joy\r\n ,\r\n"a\nb",1\r\n\r\n" c ",\r\n')
    table = read_table(str(path))
    assert table.header == ["id", "Joy"] and table.path == path
    assert table.rows == [(5, ["a\nb", "1"]), (7, [" c ", ""])]
    assert table.where(7, "Joy") == f"{path}, row 7, column 'Joy'"


@pytest.mark.parametrize("content, message", [
    (b"a,b\n", "the table has a header but no rows"),
    (b" , \n\n", "the table is empty; expected a header such as"),
    (b"a;b\n1;2\n", "row 1: columns are separated by ;; save the table with commas"),
    (b"a\tb\n1\t2\n", "row 1: columns are separated by tabs; save"),
    (b"a,b, a\n1,2,3\n", "row 1: column 3 has the name 'a', which another has too; each column needs its own"),
    (b"a, ,b\n1,2,3\n", "row 1: column 2 has no name; each"),
    (b"a,b\n1,2\n\n1,2,3\n", "row 4: 3 fields, the header has 2"),
    (b"a,b\n1\n", "row 2: 1 fields, the header has 2"),
    (b"a,b\n1,\xff\n", r"is not UTF-8 text .byte 6.; save it as CSV"),
    (b"a,b\n1,\0\n", "holds zero bytes"),
])
def test_what_is_refused(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"t.csv.*{message}"):
        read_table(path)


def test_what_the_csv_reader_refuses_is_told_by_row(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1,12345678901\n")
    before = csv.field_size_limit(10)
    try:
        with pytest.raises(DataError, match="t.csv, row 3: is not CSV .field larger"):
            read_table(tmp_path / "t.csv")
    finally:
        csv.field_size_limit(before)


def test_one_column_will_do_and_marks_within_names_too(tmp_path):
    (tmp_path / "t.csv").write_text("a;b,c\n1,2\n")
    assert read_table(tmp_path / "t.csv").header == ["a;b", "c"]
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    assert read_table(tmp_path / "t.csv").rows == [(2, ["1"]), (3, ["2"])]
    with pytest.raises(DataError, match="cannot be read .Is a directory."):
        read_table(tmp_path)


def test_what_is_written_letter_by_letter(tmp_path):
    write_table(tmp_path / "new" / "t.csv", ("a", "b"), [(1, "x,y"), ("", 'say "é"'), (0.5, None)])
    assert (tmp_path / "new" / "t.csv").read_bytes() == 'a,b\n1,"x,y"\n,"say ""é"""\n0.5,\n'.encode()
    assert read_table(tmp_path / "new" / "t.csv").rows == [(2, ["1", "x,y"]), (3, ["", 'say "é"']), (4, ["0.5", ""])]


@pytest.mark.parametrize("text, value", [("0.25", 0.25), (" 1e-3 ", 0.001), ("-.5", -0.5), ("7", 7.0)])
def test_numbers(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["0_1", "1_000", "\uff11", "\u0661", "0\uff0e5", "1,5", "0x1", "", "one", "1 2"])
def test_slips_of_the_pen_are_no_numbers(text):
    with pytest.raises(ValueError):
        number(text)
