# SPDX-License-Identifier: Apache-2.0
"""What is said to be proven is the same in the code and in the diagnosis."""

from mindface_eri import doctor
from mindface_eri.device.proofs import PROOFS, RUN, proofs


def test_columns_are_devices():
    assert proofs("GPU")["inference in a graph"].startswith("kernel selection")
    assert proofs("Ascend")["inference in a graph"] == "documented only" and set(proofs("CPU").values()) == {RUN}


def test_the_diagnosis_of_a_device_says_it():
    assert doctor._proven("auto") == []
    found = doctor._proven("GPU")
    assert [f.detail for f in found] == [f"{row[0]}: {row[2]}" for row in PROOFS]
    assert {f.status for f in found} == {"note"} != {f.status for f in doctor._proven("CPU")} == {"ok"}
    assert [bool(f.cure) for f in found] == [False] * (len(found) - 1) + [True]
    assert "selftest --device GPU" in found[-1].cure and not any(f.cure for f in doctor._proven("CPU"))
