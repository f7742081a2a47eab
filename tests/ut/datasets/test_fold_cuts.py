# SPDX-License-Identifier: Apache-2.0
"""Cuts worked out by hand: who is pooled, which group goes where, what the seed, the share and the part change."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets.folds import cut_folds, cut_share, fold_splits, fold_view
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError


@pytest.fixture(scope="module")
def records(records_folder):
    return open_records(records_folder)


def without_labels(records, *clip_ids):
    """The records where both labels of these clips are unknown; of all others one is."""
    labels = records.all_labels.copy()
    labels[:, 1] = np.nan
    labels[records.rows(clip_ids)] = np.nan
    return dataclasses.replace(records, all_labels=labels)


def by_split(records, splits):
    return {split: {row["id"] for row, its in zip(records.table, splits) if its == split} for split in set(splits)}


def test_the_largest_groups_go_first_each_to_the_smallest_fold():
    groups = ["d", *"bab", "a", *"caacba", "c"]  # 5 a, 3 b, 3 c, 1 d
    part = dict(zip(groups, cut_folds(groups, 2).tolist()))
    assert part == {"a": 0, "b": 1, "c": 1, "d": 0}
    sizes = np.bincount(cut_folds([f"g{i:02d}" for i in range(10)], 3))
    assert sizes.tolist() == [4, 3, 3], "the first of equally small folds is filled first"


def test_the_cut_is_that_of_earlier_versions():
    """Runs of several versions are compared fold by fold."""
    names = [str(i) for i in range(10)]
    assert cut_folds(names, 3).tolist() == [1, 0, 2, 1, 0, 2, 1, 0, 2, 0]
    assert cut_folds(names, 3, seed=1).tolist() == [0, 1, 2, 0, 1, 0, 2, 2, 0, 1]
    assert np.flatnonzero(cut_share(names, 0.3)).tolist() == [2, 4, 6]
    assert cut_folds(names[::-1], 3).tolist() == cut_folds(names, 3).tolist()[::-1], "names count, not their order"


@pytest.mark.parametrize("groups, share, taken", [
    ("abcdefghij", 0.3, 3), ("abcdefghij", 0.34, 3), ("abcdefghij", 0.36, 4), ("abcdefghij", 0.0, 1),
    ("abcdefghij", 0.9, 9), ("ab", 0.9, 1), ("abc", 1.0, 2),
])
def test_a_share_is_the_nearest_number_of_groups_at_least_one_and_never_all(groups, share, taken):
    assert cut_share(list(groups), share).sum() == taken
    assert len({tuple(cut_share(list(groups), share, seed=(seed, 0))) for seed in range(9)}) > 1


def test_a_share_counts_clips_not_groups():
    groups = ["big"] * 8 + ["s1", "s2", "s3", "s4"]
    for seed in range(20):
        inner = cut_share(groups, 0.25, seed=(seed,))
        assert inner.sum() in (2, 3, 8) and inner[:8].sum() in (0, 8)
    assert {cut_share(groups, 0.25, seed=(seed,)).sum() for seed in range(20)} >= {3, 8}


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_groups_are_counted(count):
    with pytest.raises(DataError, match=f"{count} group is left .*; raise data.folds"):
        cut_share(["a"] * count, 0.5)
    with pytest.raises(DataError, match=f"^{count} groups cannot fill 2 folds; lower data.folds"):
        cut_folds(["a"] * count, 2)
    assert sorted(cut_folds(["a", "b"], 2)) == [0, 1]


def test_splits_need_no_folds(records):
    assert fold_splits(records, DataConfig()) == [row["split"] for row in records.table]


def test_the_held_out_part_is_the_asked_one_and_the_rest_is_cut_by_its_share(records):
    pool = records.rows([*records.ids("train"), *records.ids("val")])
    pool.sort()
    part = cut_folds([records.table[row]["id"] for row in pool], 4, seed=3)
    for fold in range(4):
        splits = by_split(records, fold_splits(records, DataConfig(folds=4, fold=fold, fold_seed=3)))
        assert splits["test"] == {records.table[row]["id"] for row in pool[part == fold]}
        assert len(splits["val"]) == 4 and len(splits["train"]) == 20, "0.15 of 24 is 3.6"
        assert splits[""] == set(records.ids("test"))
        shares = by_split(records, fold_splits(records, DataConfig(folds=4, fold=fold, fold_seed=3, fold_val=0.5)))
        assert len(shares["val"]) == 12 and shares["test"] == splits["test"]
        table3 = by_split(records, fold_splits(records, DataConfig(folds=4, fold=fold, fold_seed=3, fold_as="val",
                                                                   fold_val=0.5)))
        assert table3["val"] == splits["test"] and table3["test"] == set(records.ids("test")) and "" not in table3


def test_the_seed_changes_the_cut_and_the_fold_changes_the_validation_clips(records):
    def of(split, **keys):
        return frozenset(by_split(records, fold_splits(records, DataConfig(folds=2, **keys)))[split])

    assert len({of("test", fold_seed=seed) for seed in range(5)}) == 5
    assert len({of("val", fold_as="val", fold_seed=seed) for seed in range(5)}) == 5
    assert of("test", fold=0) | of("test", fold=1) == set(records.ids("train")) | set(records.ids("val"))
    ranks = [sorted(of("train", fold=fold) | of("val", fold=fold)) for fold in range(2)]
    places = [[rank.index(name) for name in sorted(of("val", fold=fold))] for fold, rank in enumerate(ranks)]
    assert places[0] != places[1], "each fold draws its own"


def test_clips_without_all_labels_are_in_no_part(records):
    holed = without_labels(records, "00000", "00003", "00020")
    for fold_as in ("test", "val"):
        for fold in range(3):
            splits = by_split(holed, fold_splits(holed, DataConfig(folds=3, fold=fold, fold_as=fold_as)))
            assert {"00000", "00003", "00020"} <= splits[""]
            assert sum(len(splits[name]) for name in splits if name) == (29 if fold_as == "test" else 37)


def test_only_the_named_splits_are_pooled(records):
    for fold in range(3):
        splits = by_split(records, fold_splits(records, DataConfig(folds=3, fold=fold, fold_of=("train",))))
        assert set().union(*(splits[name] for name in ("train", "val", "test"))) == set(records.ids("train"))
        assert splits[""] == set(records.ids("val")) | set(records.ids("test"))
    with pytest.raises(DataError, match="no labelled clip in test, val"):
        holed = without_labels(records, *records.ids("val"))
        fold_splits(holed, DataConfig(folds=3, fold_of=("test", "val")))


def test_groups_are_those_of_the_pooled_clips(records):
    """Clips that are not pooled stand between the others in the table; each keeps its own group."""
    holed = without_labels(records, "00000", "00001", "00010")
    subjects = dict(zip(records.ids(), records.column("Subject")))
    held_out = []
    for fold in range(3):
        splits = by_split(holed, fold_splits(holed, DataConfig(folds=3, fold=fold, group="Subject")))
        sides = [{subjects[name] for name in splits[split]} for split in ("train", "val", "test")]
        assert [len(side) for side in sides] == [1, 1, 1] and len(set().union(*sides)) == 3
        held_out.append(sides[2].pop())
    assert sorted(held_out) == ["s0", "s1", "s2"]


def test_a_blank_group_matters_where_the_clip_is_pooled_only(records):
    for clip_id, said in (("00004", False), ("00005", True)):  # a test clip, and one of training
        table = tuple({**row, "Subject": " " if row["id"] == clip_id else row["Subject"]} for row in records.table)
        blank = dataclasses.replace(records, table=table)
        if said:
            with pytest.raises(DataError, match="1 clips have a blank Subject, first 00005; fill the column"):
                fold_splits(blank, DataConfig(folds=3, group="Subject"))
        else:
            assert fold_splits(blank, DataConfig(folds=3, group="Subject"))


def test_a_views_table_keeps_everything_but_the_split(records):
    view = fold_view(records, DataConfig(folds=3, fold=2))
    for before, after in zip(records.table, view.table):
        assert {**after, "split": ""} == {**before, "split": ""}
    assert [row["split"] for row in view.table] == fold_splits(records, DataConfig(folds=3, fold=2))
    assert (view.files, view.emotions, view.path) == (records.files, records.emotions, records.path)
    other = fold_view(dataclasses.replace(records, hash="x"), DataConfig(folds=3, fold=2))
    assert other.hash != view.hash and len(view.hash) == 64
