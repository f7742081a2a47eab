# SPDX-License-Identifier: Apache-2.0
"""The picture's clock, stamp by stamp."""

from fractions import Fraction

import pytest

from mindface_eri.preprocess.clock import Clock

MS = Fraction(1, 1000)


@pytest.mark.parametrize("stamps, seconds", [
    ([0, 40, 120], [0, 0.04, 0.12]),
    ([500, 540], [0.5, 0.54]),  # it may begin anywhere
    ([-40, 0], [-0.04, 0]),
    ([0, None, 80], [0, 0.1, 0.2]),  # the step in place of the missing one, and of the one that then lies before it
    ([None, None, 300], [0, 0.1, 0.3]),
    ([0, 0, 40], [0, 0.1, 0.2]),  # never twice the same instant, never backwards
    ([100, 50, 250], [0.1, 0.2, 0.25]),
    ([0, 60_000, 60_040], [0, 60, 60.04]),  # a gap that may be one
    ([0, 60_001, 60_051], [0, 0.1, 0.15]),  # a jump: its clock goes on from the step
    ([90_000, 10, 60], [90, 90.1, 90.15]),
    ([90_000, 30_000, 90_050], [90, 90.1, 90.2]),  # back within a minute: damage, not another clock
])
def test_times_by_hand(stamps, seconds):
    clock = Clock(10)
    assert [clock.next(stamp, MS) for stamp in stamps] == pytest.approx(seconds, abs=1e-9)


def test_without_a_rate_or_a_unit():
    clock = Clock(0)  # 25 a second
    assert [clock.next(None, MS), clock.next(None, MS), clock.next(7, None)] == pytest.approx([0, 0.04, 0.08])
