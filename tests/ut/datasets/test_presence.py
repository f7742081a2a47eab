# SPDX-License-Identifier: Apache-2.0
"""Which clips a network cannot use, which cannot teach it, and that both are told."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.datasets import presence
from mindface_eri.datasets.presence import lacking, trainable, usable

# 10 training clips, 6 of validation, 4 of the test split, in this order; these lack a face and a sound.
NO_FACE, NO_SOUND = {1, 2, 11, 19}, {2, 12}


@pytest.fixture
def records(make_records, tmp_path):
    columns = {name: ["0" if row in without else "1" for row in range(20)]
               for name, without in (("present_visual", NO_FACE), ("present_acoustic", NO_SOUND))}
    return make_records(tmp_path, columns=columns)


def rows(mask):
    return set(np.flatnonzero(mask).tolist())


@pytest.mark.parametrize("inputs, absent", [
    (("frames",), {"face": NO_FACE}), (("landmarks",), {"face": NO_FACE}), (("mfcc",), {"sound": NO_SOUND}),
    (("mfcc", "landmarks"), {"face": NO_FACE, "sound": NO_SOUND}), (("frames", "mfcc", "present"), {}), ((), {})])
def test_what_a_network_that_is_not_told_lacks(records, inputs, absent):
    assert {what: rows(clips) for what, clips in lacking(records, inputs).items()} == absent


def test_a_feature_set_is_one_more_thing_to_lack(records, monkeypatch):
    monkeypatch.setattr(presence, "list_feature_sets", lambda records: ["fau"])
    monkeypatch.setattr(presence, "open_feature_set",
                        lambda records, name: type("Set", (), {"present": np.arange(20) != 4}))
    found = lacking(records, ("mfcc", "fau", "another"))
    assert {what: rows(clips) for what, clips in found.items()} == {"sound": NO_SOUND, "fau": {4}}


def test_clips_that_lack_an_input_stand_in_no_split_and_are_counted(records):
    view, said = usable(records, ("frames", "mfcc"), ("train", "val"))
    assert said == ["2 of 10 train clips have no face: left out", "1 of 6 val clips have no face: left out",
                    "1 of 10 train clips have no sound: left out", "1 of 6 val clips have no sound: left out"]
    assert view.splits == {"train": 8, "val": 4, "test": 3} and len(view) == 20
    gone = {row for row, (old, new) in enumerate(zip(records.table, view.table)) if old != new}
    assert gone == NO_FACE | NO_SOUND
    whole, said = usable(records, ("frames", "mfcc", "present"), ("train",))
    assert whole is records and said == []


def test_clips_of_which_nothing_is_known_teach_nothing(records):
    """Nor does their loss, which would be NaN; a validation clip of the kind is predicted all the same."""
    labels = records.all_labels.copy()
    labels[[3, 12]] = np.nan
    labels[[0, 5], 2] = np.nan
    labels[13, 1] = np.nan
    view, said = trainable(dataclasses.replace(records, all_labels=labels))
    assert said == ["1 of 10 train clips have no labels: left out",
                    "2 of 10 train clips lack some of their labels: the others count"]
    assert [row for row in range(20) if view.table[row] != records.table[row]] == [3]
    assert view.splits == {"train": 9, "val": 6, "test": 4}
    assert trainable(dataclasses.replace(records, all_labels=np.zeros((20, 7))))[1] == []
