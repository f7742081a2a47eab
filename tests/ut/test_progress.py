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
