# SPDX-License-Identifier: Apache-2.0
"""Messages of errors are fit for a terminal, whatever they quote."""

import pytest

from mindface_eri import errors
from mindface_eri.errors import ERIError, readable


@pytest.mark.parametrize("text, expected", [
    ("plain, with ümlaut and 漢字\nand a second line", "plain, with ümlaut and 漢字\nand a second line"),
    ("bell \x07, escape \x1b[31m, tab\t.", r"bell \x07, escape \x1b[31m, tab\t."),
    ("half \udce9 and hidden \u202e", r"half \udce9 and hidden \u202e"), (17, "17"), (None, "None")])
def test_what_cannot_be_printed_is_spelt_out(text, expected):
    assert readable(text) == expected


def test_a_message_that_goes_on_loses_its_middle():
    whole = "".join(f"{k:05d}" for k in range(300))  # 1500 letters
    assert readable(whole) == whole
    assert readable(whole + "x") == whole[:900] + " ... " + whole[901:] + "x"
    assert len(readable("\x07" * 400)) == 900 + 5 + 600  # spelt out first


@pytest.mark.parametrize("name", ["ConfigError", "DataError", "MediaError", "CheckpointError", "ExportError",
                                  "BusyError", "MissingDependencyError"])
def test_every_error_is_one_of_ours_and_readable(name):
    kind = getattr(errors, name)
    with pytest.raises(ERIError) as caught:
        raise kind("bell \x07")
    assert type(caught.value) is kind and str(caught.value) == r"bell \x07" and kind.__mro__[1] is ERIError
    assert str(kind()) == ""
