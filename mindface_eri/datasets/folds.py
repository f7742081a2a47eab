# SPDX-License-Identifier: Apache-2.0
"""Folds: a view of records whose splits are cut anew, so that every labelled clip is held out once.

The clips of some splits are pooled and cut into `data.folds` parts of like size, by group (a column such as Subject)
where one is named: a group never stands on two sides. Part `data.fold` is held out. As "test" (nested selection) it is
the test split, and a share of the remaining groups is the validation split, by which the best epoch is chosen; as "val"
it is itself the validation split, as in the paper's table 3, and the records' test split stays. Clips without any
label are not pooled.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.config import DataConfig, to_dict
from mindface_eri.datasets.groups import find_group, independent
from mindface_eri.datasets.records import Records
from mindface_eri.datasets.statistics import mfcc_statistics
from mindface_eri.errors import ConfigError, DataError

LEFT_OUT = ""  # the split of clips that stand in none
KEYS = ("folds", "fold", "fold_as", "fold_of", "fold_seed", "fold_val", "group")


def fold_view(records: Records, data: DataConfig) -> Records:
    """The records as fold `data.fold` of `data.folds` sees them; the records themselves where `data.folds` is 0.

    Splits, MFCC statistics (over the fold's own training clips) and hash are the fold's own. The cut is a function of
    the clips and of `data.fold_seed`, not of the training's seed.

    Raises:
        DataError: no such group column, a clip without a group, or fewer groups than the cut needs.
    """
    if not data.folds:
        return records
    splits = fold_splits(records, data)
    return split_view(records, splits, [to_dict(data)[key] for key in KEYS])


def split_view(records: Records, splits: Sequence[str], told: Sequence[object] = ()) -> Records:
    """The records with another split for each clip, `LEFT_OUT` for none: MFCC statistics and hash are the view's own.

    Args:
        told: what else makes this cut another one, for the hash.
    """
    table = tuple({**row, "split": split} for row, split in zip(records.table, splits))
    heard = [number for number, row in enumerate(table) if row["split"] == "train" and row["present_acoustic"] == "1"]
    mean, std = mfcc_statistics(records.files, heard, records.preprocess.audio.features, records.sizes)
    mark = repr((records.hash, list(told), list(splits)))
    return dataclasses.replace(records, table=table, mfcc_mean=mean, mfcc_std=std,
                               hash=hashlib.sha256(mark.encode()).hexdigest())


def fold_splits(records: Records, data: DataConfig) -> List[str]:
    """The split of each clip as `fold_view` has it, without reading a clip."""
    if not data.folds:
        return [row["split"] for row in records.table]
    pooled = np.array([row["split"] in data.fold_of for row in records.table])
    rows = np.flatnonzero(pooled & ~np.isnan(records.all_labels).all(axis=1))
    groups = _groups(records, rows, data)
    part = cut_folds(groups, data.folds, seed=data.fold_seed)
    splits = [LEFT_OUT if data.fold_as == "test" or row["split"] in data.fold_of else row["split"]
              for row in records.table]
    for row, ours in zip(rows, part):
        splits[row] = data.fold_as if ours == data.fold else "train"
    if data.fold_as == "test":
        rest = part != data.fold
        inner = cut_share([groups[i] for i in np.flatnonzero(rest)], data.fold_val, seed=(data.fold_seed, data.fold))
        for row in rows[rest][inner]:
            splits[row] = "val"
    return splits


def people_column(records: Records, asked: Optional[str] = None) -> Optional[str]:
    """The column of the records that says which clips belong together; see `groups.find_group`."""
    names = records.table[0] if records.table else ()
    try:
        return find_group({name: [row[name] for row in records.table] for name in names}, asked)
    except DataError as error:
        raise DataError(f"{records.path}: {error}") from None


def check_groups(records: Records, data: DataConfig) -> None:
    """Refuses folds that would put a person on two sides because nobody named the column of people.

    Raises:
        ConfigError: `data.folds` cuts clip by clip, and the records have such a column.
    """
    column = people_column(records) if data.folds and data.group is None else None
    if column is not None:
        raise ConfigError(f"data.folds would cut clip by clip, but the column {column} of {records.path} names people, "
                          f"and a network that knows a person scores too well; set data.group={column}, or "
                          "data.group=none where clips are independent all the same")


def cut_folds(groups: Sequence[str], folds: int, *, seed: int = 0) -> np.ndarray:
    """Deals clips out to folds of like size, (N,) int64; clips of one group go to one fold.

    The largest groups go first, each to the fold that is smallest so far; groups of one size in an order drawn by
    `seed`.

    Raises:
        DataError: there are fewer groups than folds.
    """
    sizes = _sizes(groups)
    if len(sizes) < folds:
        raise DataError(f"{len(sizes)} groups cannot fill {folds} folds; lower data.folds, or name another data.group")
    drawn = _shuffled(sizes, seed)
    total, fold_of = np.zeros(folds, np.int64), {}
    for group in sorted(drawn, key=lambda name: -sizes[name]):
        fold_of[group] = int(total.argmin())
        total[fold_of[group]] += sizes[group]
    return np.array([fold_of[group] for group in groups], np.int64)


def cut_share(groups: Sequence[str], share: float, *, seed: Sequence[int] = (0,)) -> np.ndarray:
    """Which clips, (N,) bool, make up about `share` of all, in whole groups drawn by `seed`: at least one, never all.

    Raises:
        DataError: there is only one group.
    """
    sizes = _sizes(groups)
    if len(sizes) < 2:
        raise DataError(f"{len(sizes)} group is left beside the held-out part, and training and validation need one "
                        "each; raise data.folds, or name another data.group")
    wanted, taken, count = share * len(groups), set(), 0
    for group in _shuffled(sizes, seed)[:-1]:
        if not taken or count + sizes[group] / 2 <= wanted:
            taken.add(group)
            count += sizes[group]
    return np.array([group in taken for group in groups])


def _groups(records: Records, rows: np.ndarray, data: DataConfig) -> List[str]:
    """The group of each pooled clip; without a column each clip is one of its own."""
    if len(rows) == 0:
        raise DataError(f"{records.path}: no labelled clip in {', '.join(data.fold_of)} to cut folds from")
    if data.group is None or independent(data.group):
        return [records.table[row]["id"] for row in rows]
    column = records.column(data.group)
    blank = [records.table[row]["id"] for row in rows if not column[row].strip()]
    if blank:
        raise DataError(f"{records.path}: {len(blank)} clips have a blank {data.group}, first {blank[0]}; fill the "
                        "column in the label table and preprocess again, or name another data.group "
                        "(none: clips are independent)")
    return [column[row] for row in rows]


def _sizes(groups: Sequence[str]) -> Dict[str, int]:
    sizes: Dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    return sizes


def _shuffled(sizes: Dict[str, int], seed: object) -> List[str]:
    names = sorted(sizes)
    return [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
