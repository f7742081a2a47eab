# SPDX-License-Identifier: Apache-2.0
"""Parts and what joins them: order, stale files, and every number that the folder says."""

import csv
import hashlib
import importlib.metadata
import json
import math
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri import __version__
from mindface_eri.datasets import parts
from mindface_eri.datasets.build.plan import make_plan
from mindface_eri.datasets.build.summary import COLUMNS, dataset_hash, finish, merged_statistics, reopen
from mindface_eri.datasets.parts import ARRAYS, Work, read_part, read_rows, save_clip, save_failure, write_part
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError


def put(plan, position, *, heard=1, failed=None, **row):
    """What a worker leaves of a clip."""
    work = Work(plan.out, plan.block_of(position))
    work.folder.mkdir(parents=True, exist_ok=True)
    if failed:
        save_failure(work.failure(position), *failed)
        return
    count, size, config = plan.config.frames, plan.config.face.size, plan.config
    arrays = {"frames": np.full(count * size * size * 3, position, np.uint8), "present": np.float32([1, heard]),
              "mfcc": np.arange(count * config.audio.features, dtype=np.float32).reshape(count, -1) + 10 * position,
              "timestamps": np.arange(count), "boxes": np.zeros((count, 4)), "detected": np.full(count, 3)}
    found = {**dict.fromkeys(COLUMNS, "0"), "present_acoustic": heard, "content_hash": f"{position:x}", **row}
    save_clip(work.clip(position), arrays, found)


def pack(plan, block):
    clips = [(p, plan.manifest.clips[p]) for p in plan.positions(block)]
    return write_part(plan.out, block, [(p, clip.id, clip.split, clip.labels) for p, clip in clips])


@pytest.fixture
def plan(tmp_path, tiny, manifest_of):
    """Seven clips in blocks of three; nothing is done yet."""
    config = replace(tiny, storage="raw")
    made = make_plan(tmp_path / "out", manifest_of(7, ("Country", "duration", "split")), config, resume=False,
                     num_shards=1)
    return replace(made, block_size=3)


def test_a_part_holds_the_clips_and_failures_of_its_block_in_their_order(plan):
    put(plan, 5, quality="last")
    put(plan, 4, failed=("media", "no picture"))
    put(plan, 3, quality="first")
    assert [Work(plan.out, 1).has(p) for p in (2, 3, 4, 5)] == [False, True, True, True]
    assert read_part(plan.out, 1) is None
    part = pack(plan, 1)
    assert part == read_part(plan.out, 1)
    assert [(row["id"], row["split"], row["quality"]) for row in part["rows"]] == [("c3", "test", "first"),
                                                                                  ("c5", "val", "last")]
    assert part["failures"] == [{"id": "c4", "split": "train", "stage": "media", "reason": "no picture"}]
    file = plan.out / "records" / "part-00001.mindrecord"
    assert (part["bytes"], part["index_bytes"]) == (file.stat().st_size, os.stat(f"{file}.db").st_size)
    assert not list((plan.out / "work").iterdir()) and file.stat().st_mode & 0o777 == (
        plan.out / "plan.json").stat().st_mode & 0o777
    rows = list(read_rows([str(file)], ["mfcc", "labels", "frames"], [1, 0, 1, 1]))
    assert [float(row["mfcc"][0, 0]) for row in rows] == [50, 30, 50, 50]
    assert [row["labels"].tolist()[0] for row in rows] == [np.float32(0.05), np.float32(0.03)] + [np.float32(0.05)] * 2
    assert rows[1]["frames"].dtype == np.uint8 and set(rows[1]["frames"].tolist()) == {3}


def test_a_part_of_failures_alone_has_no_file(plan):
    for position in (3, 4, 5):
        put(plan, position, failed=("missing", f"nothing of {position}"))
    pack(plan, 1)
    part = read_part(plan.out, 1)
    assert part["rows"] == [] and [failure["id"] for failure in part["failures"]] == ["c3", "c4", "c5"]
    assert [path.name for path in (plan.out / "records").iterdir()] == ["part-00001.json"]


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "part-00000.mindrecord").unlink(),
    lambda folder: (folder / "part-00000.mindrecord.db").unlink(),
    lambda folder: (folder / "part-00000.mindrecord").open("ab").write(b"x"),
    lambda folder: (folder / "part-00000.mindrecord.db").open("ab").write(b"x"),
    lambda folder: (folder / "part-00000.json").unlink(),
    lambda folder: (folder / "part-00000.json").write_text("{}"),
    lambda folder: (folder / "part-00000.json").write_text("["),
    lambda folder: (folder / "part-00000.json").write_text("[]"),
])
def test_a_part_that_is_not_whole_is_none(plan, damage):
    for position in range(3):
        put(plan, position)
    assert pack(plan, 0) and read_part(plan.out, 0)
    damage(plan.out / "records")
    assert read_part(plan.out, 0) is None


def test_a_clip_larger_than_a_page_is_stored_and_one_too_large_refused(plan):
    large = replace(plan, config=replace(plan.config, frames=24, face=replace(plan.config.face, size=320)))
    for position in range(3):
        put(large, position)  # 7 MB each
    pack(large, 0)
    row, = read_rows([str(plan.out / "records/part-00000.mindrecord")], ["frames"], [2])
    assert len(row["frames"]) == 24 * 320 * 320 * 3 and set(row["frames"][:9].tolist()) == {2}
    for position in range(3, 6):
        put(plan, position)
    os.truncate(Work(plan.out, 1).clip(4), 130 << 20)
    with pytest.raises(DataError, match="one clip takes 130 MB, a record may take 128 MB; store crops as jpeg"):
        pack(plan, 1)
    assert read_part(plan.out, 1) is None


def test_a_clip_of_128_mb_is_not_refused_for_its_size(plan):
    for position in range(3):
        put(plan, position)
    os.truncate(Work(plan.out, 0).clip(1), 128 << 20)  # a hole in place of what it held
    with pytest.raises(zipfile.BadZipFile):
        pack(plan, 0)


@pytest.mark.parametrize("told, said", [
    ("chatter\n[ERROR] no space left\nmore", "[ERROR] no space left"), (" plain \nmore", "plain"), ("", "unknown"),
])
def test_a_part_that_cannot_be_written_says_why_and_what_is_free(plan, monkeypatch, told, said):
    for position in range(3):
        put(plan, position)

    def fail(*_):
        raise RuntimeError(told)

    monkeypatch.setattr(parts, "_write_mindrecord", fail)
    with pytest.raises(DataError) as caught:
        pack(plan, 0)
    assert f"part-00000.mindrecord: cannot be written ({said}); " in str(caught.value)
    assert int(str(caught.value).split("; ")[1].split()[0]) > 0 and str(caught.value).endswith(" MB are free there")


def test_what_a_killed_process_of_the_same_number_left_does_not_count(plan):
    for position in range(3):
        put(plan, position)
    left = plan.out / "work" / f"pack-00000-{os.getpid()}"
    left.mkdir()
    (left / "part-00000.mindrecord").write_text("half")
    assert len(pack(plan, 0)["rows"]) == 3 and not left.exists()


def test_statistics_by_hand():
    clips = [np.float32([[1, 5, 2]]), np.float32([[2, 5, 4], [6, 5, 0], [7, 5, 2]]), np.float32([[4, 5, 7]] * 4)]
    mean, std = merged_statistics(clips, 3)
    np.testing.assert_allclose(mean, [4, 5, 4.5], rtol=1e-6)
    np.testing.assert_allclose(std, [math.sqrt(26 / 8), 1, np.std([2, 4, 0, 2, 7, 7, 7, 7])], rtol=1e-6)
    assert (mean.dtype, std.dtype) == (np.float32, np.float32), "a feature that never changes has deviation 1"
    nearly = merged_statistics([np.array([[0, 0], [3e-5, 1e-5]])], 2)[1]
    np.testing.assert_allclose(nearly, [1.5e-5, 1], rtol=1e-5)


def test_the_hash_is_of_the_sorted_lines_that_earlier_versions_hashed():
    rows = [{"id": "b", "split": "val", "content_hash": "ff"}, {"id": "a", "split": "train", "content_hash": "0"}]
    labels = np.float32([[0.5, 1], [0, 0.25]])
    lines = f"a\ttrain\t{labels[1].tobytes().hex()}\t0\nb\tval\t{labels[0].tobytes().hex()}\tff"
    assert dataset_hash(rows, labels) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_folder_says_all_of_its_clips_once_the_last_part_is_there(plan):
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
    assert set(ARRAYS) == {"frames", "mfcc", "present", "timestamps", "boxes", "detected"}


def test_packages_that_are_not_there_are_left_out_of_the_versions(plan, monkeypatch):
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
