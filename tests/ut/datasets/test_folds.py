# SPDX-License-Identifier: Apache-2.0
"""Folds: every labelled clip is held out once, no group straddles, nothing of the held-out part leaks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindface_eri.config import DataConfig, load_config
from mindface_eri.datasets.folds import cut_folds, cut_share, fold_view
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def records(records_folder):
    return open_records(records_folder)


def views(records, **keys):
    folds = keys.pop("folds", 4)
    return [fold_view(records, DataConfig(folds=folds, fold=fold, **keys)) for fold in range(folds)]


def of(view, split):
    return set(view.ids(split)) if split in view.splits else set()


def test_without_folds_the_records_stay_as_they_are(records):
    assert fold_view(records, DataConfig()) is records


def test_every_labelled_clip_is_held_out_once(records):
    pool = set(records.ids("train")) | set(records.ids("val"))
    cut = views(records)
    assert [view.splits["test"] for view in cut] == [8, 8, 8, 8]
    assert set.union(*(of(view, "test") for view in cut)) == pool
    for view in cut:
        assert of(view, "train") | of(view, "val") | of(view, "test") == pool
        assert sum(view.splits.values()) == len(pool) == 32  # so the three are disjoint
        assert 1 <= view.splits["val"] <= 6
        assert not of(view, "test") & set(records.ids("test"))


def test_as_table_3_the_part_is_the_validation_split_and_the_test_split_stays(records):
    cut = views(records, fold_as="val")
    assert [view.splits for view in cut] == [{"train": 24, "val": 8, "test": 8}] * 4
    assert all(view.ids("test") == records.ids("test") for view in cut)
    assert set.union(*(of(view, "val") for view in cut)) == set(records.ids("train")) | set(records.ids("val"))


def test_groups_do_not_straddle(records):
    subjects = dict(zip(records.ids(), records.column("Subject")))
    for view in views(records, folds=3, group="Subject"):
        sides = [{subjects[name] for name in view.ids(split)} for split in ("train", "val", "test")]
        assert all(sides) and sum(map(len, sides)) == len(set.union(*sides)) == 3


def test_statistics_are_of_the_folds_own_training_clips(records):
    first, second = views(records)[:2]
    heard = [name for name in first.ids("train") if int(name) % 5 != 4]
    stacks = np.concatenate([row["mfcc"] for row in first.read(heard, ["mfcc"])]).astype(np.float64)
    np.testing.assert_allclose(first.mfcc_mean, stacks.mean(0), rtol=1e-5)
    np.testing.assert_allclose(first.mfcc_std, stacks.std(0), rtol=1e-5)
    assert not np.allclose(first.mfcc_mean, second.mfcc_mean) and not np.allclose(first.mfcc_mean, records.mfcc_mean)


def test_hashes_differ_with_the_cut_and_only_with_it(records):
    keys = [{}, {"fold": 1}, {"fold_seed": 1}, {"fold_as": "val"}, {"fold_of": ("train",)}, {"fold_val": 0.5},
            {"folds": 5}]
    hashes = [fold_view(records, dataclasses.replace(DataConfig(folds=4), **key)).hash for key in keys]
    assert len({*hashes, records.hash}) == len(keys) + 1
    assert fold_view(records, DataConfig(folds=4, workers=1, flip=0.5)).hash == hashes[0]


def test_what_cannot_be_cut_is_said(records):
    with pytest.raises(DataError, match="no column 'Person'; there are id, split, Subject, Country"):
        fold_view(records, DataConfig(folds=2, group="Person"))
    with pytest.raises(DataError, match="3 groups cannot fill 4 folds"):
        fold_view(records, DataConfig(folds=4, group="Subject"))
    with pytest.raises(DataError, match="1 group is left beside"):
        views(records, folds=2, group="Subject")
    with pytest.raises(DataError, match="no labelled clip in test"):
        fold_view(records, DataConfig(folds=2, fold_of=("test",)))
    blank = tuple({**row, "Subject": "" if row["id"] == "00002" else row["Subject"]} for row in records.table)
    with pytest.raises(DataError, match="1 clips have a blank Subject, first 00002"):
        fold_view(dataclasses.replace(records, table=blank), DataConfig(folds=2, group="Subject"))
    for wrong in (["data.folds=5", "data.fold=5"], ["data.folds=1"], ["data.fold=1"]):
        with pytest.raises(ConfigError, match="data.fold"):
            load_config(None, wrong)


names = st.lists(st.sampled_from("abcdefghij"), min_size=12, max_size=60).filter(lambda groups: len(set(groups)) >= 4)


@settings(max_examples=50, deadline=None)
@given(names, st.integers(2, 4), st.integers(0, 5))
def test_any_cut_keeps_groups_whole_and_sizes_alike(groups, folds, seed):
    part = cut_folds(groups, folds, seed=seed)
    assert all(len({p for p, g in zip(part, groups) if g == name}) == 1 for name in set(groups))
    sizes, largest = np.bincount(part, minlength=folds), max(map(groups.count, groups))
    assert sizes.min() > 0 and np.ptp(sizes) <= largest
    np.testing.assert_array_equal(part, cut_folds(groups, folds, seed=seed))
    inner = cut_share(groups, 0.3, seed=(seed, 0))
    assert 0 < inner.sum() < len(groups)
    assert not {g for g, i in zip(groups, inner) if i} & {g for g, i in zip(groups, inner) if not i}
