# SPDX-License-Identifier: Apache-2.0
"""The one progress bar: what it says, where, and how often."""

import io
import sys

import pytest

from mindface_eri.progress import progress_bar


class Terminal(io.StringIO):
    """Standard error that is a terminal, or is none."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize("terminal, interval", [(True, 0.1), (False, 15.0)])
def test_a_bar_counts_clips_on_standard_error(monkeypatch, terminal, interval):
    stream = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(10, "preprocess", initial=4) as bar:
        assert (bar.total, bar.n, bar.initial, bar.unit, bar.disable, bar.mininterval) == (
            10, 4, 4, "clip", False, interval)
        assert bar.dynamic_ncols
        bar.update(6)
    said = stream.getvalue()
    assert said.startswith("\rpreprocess:  40%") and "4/10" in said and "10/10" in said and "clip" in said


def test_a_bar_begins_at_zero_and_can_be_silent(monkeypatch):
    stream = Terminal(True)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(3, "drawing", show=False) as bar:
        assert bar.disable
        bar.update(3)
    assert not stream.getvalue()
    with progress_bar(3, "drawing") as bar:
        assert (bar.n, bar.initial, bar.total) == (0, 0, 3)
