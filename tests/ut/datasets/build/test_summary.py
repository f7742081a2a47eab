# SPDX-License-Identifier: Apache-2.0
"""What joins the parts: the hash, the tables, and every number that the folder says."""

import csv
import hashlib
import importlib.metadata
import json
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri import __version__
from mindface_eri.datasets.build.summary import COLUMNS, dataset_hash, finish, reopen
from mindface_eri.datasets.parts import ARRAYS
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError


def test_the_hash_is_of_the_sorted_lines_that_earlier_versions_hashed():
    rows = [{"id": "b", "split": "val", "content_hash": "ff"}, {"id": "a", "split": "train", "content_hash": "0"}]
    labels = np.float32([[0.5, 1], [0, 0.25]])
    lines = f"a\ttrain\t{labels[1].tobytes().hex()}\t0\nb\tval\t{labels[0].tobytes().hex()}\tff"
    assert dataset_hash(rows, labels) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_folder_says_all_of_its_clips_once_the_last_part_is_there(plan, put, pack):
    for position in (0, 2, 3, 4, 5, 6):
        put(plan, position, heard=int(position != 2), detector="dlib", fps=25.0 + position, duration=position)
    put(plan, 1, failed=("media", "no sound, no picture"))
    pack(plan, 0)
    pack(plan, 2)
    assert finish(plan) is None and not (plan.out / "dataset.json").exists()
    with open(plan.out / "failures.csv", newline="") as stream:
        assert list(csv.reader(stream)) == [["id", "split", "stage", "reason"],
                                            ["c1", "val", "media", "no sound, no picture"]]
    with pytest.raises(DataError, match="preprocessing is not finished"):
        open_records(plan.out)
    pack(plan, 1)
    digest = finish(plan)
    records, head = open_records(plan.out), json.loads((plan.out / "dataset.json").read_text())
    assert digest == records.hash == head["hash"]
    assert head["splits"] == {"train": 4, "val": 1, "test": 1} and (head["failed"], head["format"]) == (1, 1)
    assert head["emotions"] == ["Joy", "Fear"] and head["extra"] == ["Country"] and records.extra == ("Country",)
    assert head["mfcc_statistics_clips"] == 3, "clips 0, 4 and 6: of training, and with sound"
    assert [(part["name"], part["rows"]) for part in head["parts"]] == [
        ("part-00000.mindrecord", 2), ("part-00001.mindrecord", 3), ("part-00002.mindrecord", 1)]
    assert head["versions"]["mindface_eri"] == __version__ and head["versions"]["numpy"] == np.__version__
    assert {"python", "mindspore"} < head["versions"].keys()
    assert list(records.table[0]) == ["id", "split", "Country", *COLUMNS]
    assert [(row["id"], row["Country"], row["duration"], row["fps"], row["split"]) for row in records.table[:2]] == [
        ("c0", "Country0", "0", "25.0", "train"), ("c2", "Country2", "2", "27.0", "train")]
    np.testing.assert_array_equal(records.all_labels, plan.manifest.labels()[[0, 2, 3, 4, 5, 6]])
    np.testing.assert_allclose(records.mfcc_mean - np.arange(8), np.mean([0, 40, 60]) + 12)  # stacks lie 8 apart
    assert not (plan.out / "work").exists()
    before = (plan.out / "dataset.json").stat().st_mtime_ns
    assert finish(plan) == digest and (plan.out / "dataset.json").stat().st_mtime_ns == before
    reopen(plan)
    assert not (plan.out / "dataset.json").exists()
    reopen(plan)
    assert finish(plan) == digest, "whole again"
    assert set(ARRAYS) == {"frames", "mfcc", "present", "timestamps", "boxes", "detected", "landmarks"}


def test_packages_that_are_not_there_are_left_out_of_the_versions(plan, put, pack, monkeypatch):
    found = importlib.metadata.version

    def version(name):
        if name == "mindspore":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    whole = replace(plan, block_size=7)
    for position in range(7):
        put(whole, position)
    pack(whole, 0)
    finish(whole)
    versions = json.loads((plan.out / "dataset.json").read_text())["versions"]
    assert "mindspore" not in versions and versions["numpy"] == np.__version__
