# SPDX-License-Identifier: Apache-2.0
"""Each option of `data` makes a difference to the splits, or to the batches of an epoch; some must make none."""

import csv
import multiprocessing
import shutil
from types import SimpleNamespace

import mindspore.dataset as ds
import numpy as np
import pytest
from fixtures.options import Case, check, leaves, told
from fixtures.training import TINY_CONFIG

from mindface_eri.config import load_config, to_dict
from mindface_eri.datasets import records
from mindface_eri.datasets.pipeline import with_copies
from mindface_eri.device.context import Context
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.inference import resolve_records

BASES = {}


def _with_column(folder, moved=()):
    """Each of five speakers has clips in a row; `moved` clips are of the test split."""
    path = folder / "clips.csv"
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "Subject"])
        writer.writeheader()
        writer.writerows({**row, "Subject": f"s{k // 3}", "split": "test" if k in moved else row["split"]}
                         for k, row in enumerate(rows))
    return str(folder)


@pytest.fixture(scope="module")
def folders(mixed_records, tmp_path_factory):
    root = tmp_path_factory.mktemp("columns")
    return [_with_column(shutil.copytree(mixed_records.path, root / name), moved)
            for name, moved in (("one", ()), ("other", (3, 11)))]


@pytest.fixture
def made(folders):
    return SimpleNamespace(bases=BASES, records=folders[0], others=folders[1])


def splits(config, made):
    """Where each clip stands, and the statistics that go with it."""
    records = resolve_records(None, config)
    return [[(row["id"], row["split"]) for row in records.table], records.mfcc_mean, records.mfcc_std]


def batches(config, made):
    """Of two epochs."""
    records = resolve_records(None, config)
    source = RecordBatches(records, ("frames", "mfcc", "present"), config, Context("CPU", "graph"))
    return [[list(batch) for batch in source.train(epoch)] for epoch in (0, 1)]


def _options(tree, where):
    for name, value in tree.items():
        yield from _options(value, f"{where}.{name}") if isinstance(value, dict) else [(f"{where}.{name}", value)]


def sounds(config, made):
    """What training takes of three clips, whose records hold two, none and one copies of the sound."""
    return with_copies(np.array([2, 0, 1]), ("mfcc", "labels"), config.data)


START = {**dict(_options(to_dict(TINY_CONFIG.preprocess), "preprocess")), "model.emotions": ("Amusement", "Fear"),
         "train.batch_size": 8, "data.records": lambda made: made.records}
CUT = {"data.folds": 3}
TIMES, BANDS = {"data.mfcc_time_masks": 2}, {"data.mfcc_feature_masks": 2}
CASES = {
    "data.records": [Case(splits, [lambda made: made.others])],
    "data.folds": [Case(splits, [2, 3])],
    "data.fold": [Case(splits, [1, 2], CUT)],
    "data.group": [Case(splits, ["Subject"], CUT)],
    "data.fold_as": [Case(splits, ["val"], CUT)],
    "data.fold_of": [Case(splits, [("train",)], CUT)],
    "data.fold_val": [Case(splits, [0.5], CUT)],
    "data.fold_seed": [Case(splits, [1, 2], CUT)],
    "data.flip": [Case(batches, [0.5, 1.0])],
    "data.turn": [Case(batches, [5.0, 30.0])],
    "data.scale": [Case(batches, [0.1, 0.4])],
    "data.erase": [Case(batches, [0.5, 1.0])],
    "data.copies": [Case(sounds, [False])],
    "data.colour": [Case(batches, [0.3, 0.9])],
    "data.time_jitter": [Case(batches, [0.5])],
    "data.mfcc_time_masks": [Case(batches, [1, 3])],
    "data.mfcc_time_mask_width": [Case(batches, [1], TIMES)],
    "data.mfcc_feature_masks": [Case(batches, [1, 3])],
    "data.mfcc_feature_mask_width": [Case(batches, [1], BANDS)]}
WITHOUT = {"data.workers": "only time may depend on it", "data.prefetch": "only time and memory may depend on it"}


@pytest.mark.parametrize("name", [name for name in leaves("data") if name not in WITHOUT])
def test_an_option_changes_splits_or_batches(name, made):
    check(name, CASES, made, START)


@pytest.mark.parametrize("name", WITHOUT)
def test_an_option_that_changes_no_batch_reaches_mindata(name, made, monkeypatch):
    read, asked = records.read_rows, []
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)  # MindData refuses more
    monkeypatch.setattr(records, "read_rows", lambda *rest: asked.append(rest[3]) or read(*rest))
    before, found = ds.config.get_prefetch_size(), []
    try:
        for value in (1, 2):
            config = load_config(values={**START, "data.records": made.records, "data.colour": 0.5, name: value})
            asked.clear()
            answer = told(batches(config, made))
            found.append((answer, {"data.workers": asked[0], "data.prefetch": ds.config.get_prefetch_size()}[name]))
    finally:
        ds.config.set_prefetch_size(before)
    assert found[0][0] == found[1][0] and [given for _, given in found] == [1, 2]


def test_no_case_is_of_an_option_that_is_gone():
    assert {*CASES, *WITHOUT} <= set(leaves("data"))
