# SPDX-License-Identifier: Apache-2.0
"""Small columns are read once and held; large ones stay on the disk."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.datasets import held
from mindface_eri.datasets.held import HeldRecords, hold
from mindface_eri.datasets.records import Records


@pytest.fixture
def records(make_records, tmp_path):
    """Twenty clips of 4 frames: 4 x 16 numbers of sound and 4 x 68 x 2 of landmarks each, 4 bytes a number."""
    made = make_records(tmp_path)
    audio = dataclasses.replace(made.preprocess.audio, coefficients=8, stack=2)
    return dataclasses.replace(made, preprocess=dataclasses.replace(made.preprocess, frames=4, audio=audio))


@pytest.fixture
def read(monkeypatch):
    """The rows that were read from the disk, call by call."""
    calls = []

    def stream(self, columns, rows, workers=1):
        calls.append((tuple(columns), list(rows)))
        yield from ({"mfcc": np.full(2, row)} for row in rows)
    monkeypatch.setattr(Records, "stream", stream)
    return calls


def test_each_clip_is_read_once_for_each_set_of_columns(records, read):
    one = hold(records, ("mfcc", "labels"))
    assert [row["mfcc"][0] for row in one.stream(("mfcc",), [3, 1, 3])] == [3, 1, 3]
    assert [row["mfcc"][0] for row in one.stream(("mfcc",), np.array([1, 2, 3]))] == [1, 2, 3]
    assert [row["mfcc"][0] for row in one.stream(("mfcc",), [2, 1])] == [2, 1]
    list(one.stream(("mfcc", "copies"), [1]))
    assert read == [(("mfcc",), [3, 1]), (("mfcc",), [2]), (("mfcc", "copies"), [1])]


@pytest.mark.parametrize("columns, numbers", [
    (("mfcc",), 16), (("landmarks",), 136), (("mfcc", "landmarks", "labels"), 152), (("labels",), 0)])
def test_what_takes_too_much_room_is_not_held(records, columns, numbers, monkeypatch):
    size = 4 * 4 * 20 * numbers
    for room, fits in ((size, True), (size - 1, False)):
        monkeypatch.setattr(held, "_MOST", room)
        assert isinstance(hold(records, columns), HeldRecords) == fits
    monkeypatch.setattr(held, "_MOST", 1 << 40)
    assert hold(records, (*columns, "frames")) is records, "crops never are"


def test_copies_of_the_sound_take_room_too(records, monkeypatch):
    table = tuple({**row, "copies": "2"} for row in records.table)
    copied = dataclasses.replace(records, table=table, fields=(*records.fields, "copies"))
    assert copied.copies.sum() == 40
    for room, fits in ((3 * 4 * 4 * 20 * 16, True), (3 * 4 * 4 * 20 * 16 - 1, False)):
        monkeypatch.setattr(held, "_MOST", room)
        assert isinstance(hold(copied, ("mfcc",)), HeldRecords) == fits
