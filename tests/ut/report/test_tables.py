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
