# SPDX-License-Identifier: Apache-2.0
"""Tables read well in a terminal and are Markdown."""

from mindface_eri.evaluation.tables import format_table


def test_alignment_and_blanks():
    text = format_table(["emotion", "rho"], [["Fear", 0.5], ["Empathic-Pain", None], ["Joy", -0.25]], digits=2)
    assert text.splitlines() == [
        "| emotion       |   rho |",
        "| ------------- | ----: |",
        "| Fear          |  0.50 |",
        "| Empathic-Pain |       |",
        "| Joy           | -0.25 |"]


def test_a_cell_cannot_break_the_table():
    assert r"a\|b c" in format_table(["x"], [["a|b\nc"]])


def test_no_name_steers_the_terminal():
    """Tables of others may hold escape sequences, as labels and as names of emotions."""
    text = format_table(["An\x1b[31mger", "a|b"], [["\x1b]0;x\x07", 0.5]])
    assert {c for c in text if not c.isprintable()} == {"\n"}
    assert r"An\x1b[31mger" in text and r"a\|b" in text and r"\x1b]0;x\x07" in text


def test_columns_are_as_wide_as_their_widest_cell():
    text = format_table(["a", "number", "b"], [["x", 1, "yyyyy"], [None, 23, 0.5]])
    assert text.splitlines() == [
        "| a   | number | b      |",
        "| --- | -----: | ------ |",
        "| x   |      1 | yyyyy  |",
        "|     |     23 | 0.5000 |"]
    assert format_table(["ab", "c"], []).splitlines() == ["| ab  | c   |", "| --- | --- |"]
    assert format_table(["n"], [[None], [2.5]], digits=1).splitlines() == ["|   n |", "| --: |", "|     |", "| 2.5 |"]
