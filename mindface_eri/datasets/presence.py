# SPDX-License-Identifier: Apache-2.0
"""Clips that cannot be used: where a modality is missing its arrays are zeros, which are no measurement."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.feature_sets import list_feature_sets, open_feature_set
from mindface_eri.datasets.folds import LEFT_OUT
from mindface_eri.datasets.records import Records

_NEEDS = {"frames": ("present_visual", "face"), "landmarks": ("present_visual", "face"),
          "mfcc": ("present_acoustic", "sound")}


def lacking(records: Records, inputs: Sequence[str]) -> Dict[str, np.ndarray]:
    """What is missing ("face", "sound", a feature set's name) -> which clips lack it, (N,) bool.

    Empty where `present` is among the inputs: such a network is told what is missing, and does without.
    """
    if "present" in inputs:
        return {}
    found = {}
    for name in inputs:
        if name in _NEEDS:
            column, what = _NEEDS[name]
            found[what] = np.array([row.get(column) == "0" for row in records.table], bool)
        elif name in list_feature_sets(records):
            found[name] = ~open_feature_set(records, name).present
    return found


def trainable(records: Records) -> Tuple[Records, List[str]]:
    """A view of records without the training clips of which no label is known, and what that leaves out, as sentences.

    A validation clip without labels stays: it is predicted, and counts in no figure.
    """
    unknown = np.isnan(records.all_labels)
    here = np.array([row["split"] == "train" for row in records.table], bool)
    gone = here & unknown.all(axis=1)
    said = [f"{int(gone.sum())} of {int(here.sum())} train clips have no labels: left out"] if gone.any() else []
    partly = int((here & unknown.any(axis=1) & ~gone).sum())
    if partly:
        said.append(f"{partly} of {int(here.sum())} train clips lack some of their labels: the others count")
    return _without(records, gone), said


def usable(records: Records, inputs: Sequence[str], splits: Sequence[str]) -> Tuple[Records, List[str]]:
    """A view of records without the clips that lack an input, and what that leaves out of `splits`, as sentences."""
    gone, said = np.zeros(len(records), bool), []
    for what, absent in lacking(records, inputs).items():
        for split in splits:
            missing = sum(row["split"] == split and bool(lacks) for row, lacks in zip(records.table, absent))
            if missing:
                said.append(f"{missing} of {records.splits[split]} {split} clips have no {what}: left out")
        gone |= absent
    return _without(records, gone), said


def _without(records: Records, gone: np.ndarray) -> Records:
    """A view in which some clips, (N,) bool, stand in no split."""
    if not gone.any():
        return records
    table = tuple({**row, "split": LEFT_OUT} if left else row for row, left in zip(records.table, gone))
    return dataclasses.replace(records, table=table)
