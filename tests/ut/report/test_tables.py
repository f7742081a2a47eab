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
"""Tables read well in a terminal and are Markdown."""

from mindface_eri.report.tables import format_table


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


def test_columns_are_as_wide_as_their_widest_cell():
    text = format_table(["a", "number", "b"], [["x", 1, "yyyyy"], [None, 23, 0.5]])
    assert text.splitlines() == [
        "| a   | number | b      |",
        "| --- | -----: | ------ |",
        "| x   |      1 | yyyyy  |",
        "|     |     23 | 0.5000 |"]
    assert format_table(["ab", "c"], []).splitlines() == ["| ab  | c   |", "| --- | --- |"]
    assert format_table(["n"], [[None], [2.5]], digits=1).splitlines() == ["|   n |", "| --: |", "|     |", "| 2.5 |"]
