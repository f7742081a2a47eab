# SPDX-License-Identifier: Apache-2.0
"""Parts of the records: their order, stale files, and what cannot be stored."""

import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.datasets import parts
from mindface_eri.datasets.parts import Work, read_part, read_rows
from mindface_eri.errors import DataError


def test_a_part_holds_the_clips_and_failures_of_its_block_in_their_order(plan, put, pack):
    put(plan, 5, quality="last")
    put(plan, 4, failed=("media", "no picture"))
    put(plan, 3, quality="first")
    assert Work(plan.out, 1).dealt_with() == {3, 4, 5} and Work(plan.out, 9).dealt_with() == set()
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


def test_a_part_of_failures_alone_has_no_file(plan, put, pack):
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
def test_a_part_that_is_not_whole_is_none(plan, put, pack, damage):
    for position in range(3):
        put(plan, position)
    assert pack(plan, 0) and read_part(plan.out, 0)
    damage(plan.out / "records")
    assert read_part(plan.out, 0) is None


def test_a_clip_larger_than_a_page_is_stored_and_one_too_large_refused(plan, put, pack):
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


def test_a_clip_of_128_mb_is_not_refused_for_its_size(plan, put, pack):
    for position in range(3):
        put(plan, position)
    os.truncate(Work(plan.out, 0).clip(1), 128 << 20)  # a hole in place of what it held
    with pytest.raises(zipfile.BadZipFile):
        pack(plan, 0)


@pytest.mark.parametrize("told, said", [
    ("chatter\n[ERROR] no space left\nmore", "[ERROR] no space left"), (" plain \nmore", "plain"), ("", "unknown"),
])
def test_a_part_that_cannot_be_written_says_why_and_what_is_free(plan, put, pack, monkeypatch, told, said):
    for position in range(3):
        put(plan, position)

    def fail(*_):
        raise RuntimeError(told)

    monkeypatch.setattr(parts, "_write_mindrecord", fail)
    with pytest.raises(DataError) as caught:
        pack(plan, 0)
    assert f"part-00000.mindrecord: cannot be written ({said}); " in str(caught.value)
    assert int(str(caught.value).split("; ")[1].split()[0]) > 0 and str(caught.value).endswith(" MB are free there")


def test_what_a_killed_process_of_the_same_number_left_does_not_count(plan, put, pack):
    for position in range(3):
        put(plan, position)
    left = plan.out / "work" / f"pack-00000-{os.getpid()}"
    left.mkdir()
    (left / "part-00000.mindrecord").write_text("half")
    assert len(pack(plan, 0)["rows"]) == 3 and not left.exists()
