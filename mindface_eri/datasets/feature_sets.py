# SPDX-License-Identifier: Apache-2.0
"""Feature sets: per-frame features that other programs computed (FAU, eGeMAPS, ...), aligned to the records' instants.

    features/<name>/values.npy    (N, T, F) float32 in the order of clips.csv; zeros where a clip has none
    features/<name>/present.npy   (N,) bool
    features/<name>/about.json    names of the F columns, how they were aligned, hashes of the records and the values
    features/<name>/failures.csv  id, split, stage and reason of each clip without features

`datasets.feature_import` writes them beside the records, which stay as they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import merged_statistics
from mindface_eri.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class FeatureSet:
    """One set of features beside the records, read as needed.

    Attributes:
        values: (N, T, F) float32 memory map, not normalised.
        about: how the columns came here; checkpoints carry it, so that a predictor can do the same.
    """

    name: str
    values: np.ndarray
    present: np.ndarray  # (N,) bool
    about: Mapping[str, Any]

    @property
    def width(self) -> int:
        """F."""
        return self.values.shape[2]

    @property
    def hash(self) -> str:
        """Changes with any value."""
        return self.about["hash"]

    def statistics(self, rows: Sequence[int]) -> Tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each feature over all instants of those of the given clips that have it, (F,) each."""
        return merged_statistics((self.values[row] for row in rows if self.present[row]), self.width)


def features_folder(records: Records) -> Path:
    """Where the feature sets of a record folder lie."""
    return records.path / "features"


def list_feature_sets(records: Records) -> Tuple[str, ...]:
    """Names of the feature sets beside the records."""
    return tuple(sorted(path.parent.name for path in features_folder(records).glob("[!.]*/about.json")))


def stored_hash(records: Records) -> str:
    """The hash of the records as they lie there, whatever view of them this is."""
    return json.loads((records.path / "dataset.json").read_text(encoding="utf-8"))["hash"]


def open_feature_set(records: Records, name: str) -> FeatureSet:
    """Opens a feature set of the records.

    Raises:
        DataError: there is none of that name, it was made for other records, or a file in it is missing or damaged.
    """
    folder = features_folder(records) / name
    if not (folder / "about.json").is_file():
        there = ", ".join(list_feature_sets(records)) or "none"
        raise DataError(f"{records.path}: no feature set {name!r} (there: {there}); add it with "
                        "`mindface-eri add-features`")
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
        present = np.load(folder / "present.npy", allow_pickle=False)
        whole = (about["format"] == FORMAT and len(present) == len(values) and values.dtype == np.float32
                 and values.shape[1:] == (records.preprocess.frames, len(about["columns"])))
        same = about["records"] == stored_hash(records) and len(values) == len(records)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: this is no whole feature set ({type(error).__name__}: {error}); remove the folder "
                        "and add the features again") from None
    if not whole:
        raise DataError(f"{folder}: its files do not fit together, or are of another version; remove the folder and "
                        "add the features again")
    if not same:
        raise DataError(f"{folder}: was made for other records; remove the folder and add the features again")
    return FeatureSet(name, values, present, about)
