# SPDX-License-Identifier: Apache-2.0
"""Records of many files: few of them are open at a time, and an epoch's order is made for that."""

import numpy as np
import pytest

from mindface_eri.datasets import pipeline, reading
from mindface_eri.datasets.parts import part_name
from mindface_eri.datasets.pipeline import create_dataset, epoch_order
from mindface_eri.datasets.reading import read_rows
from mindface_eri.datasets.records import open_records


@pytest.fixture
def opened(monkeypatch):
    """The files of each data set that MindSpore was asked to open; two at a time count as many."""
    files, read = [], reading._read_rows
    monkeypatch.setattr(reading, "OPEN", 2)
    monkeypatch.setattr(pipeline, "OPEN", 2)
    monkeypatch.setattr(reading, "_read_rows", lambda *given: files.append([*map(str, given[0])]) or read(*given))
    return files


@pytest.fixture
def parts(plan, put, pack):
    """Seven clips in files of three, two and one; the MFCCs of the third begin with 20. One failed."""
    for position in range(7):
        put(plan, position, failed=("media", "none") if position == 4 else None)
    sizes = [len(pack(plan, block)["rows"]) for block in range(3)]
    assert sizes == [3, 2, 1]
    return [str(plan.out / "records" / part_name(block)) for block in range(3)], sizes


@pytest.mark.parametrize("rows, files", [
    ([0, 2, 1, 4, 3], [[0, 1]]),  # two files
    ([5, 4, 0, 1, 5, 5], [[1, 2], [0, 2]]),  # the file of row 0 is the third one
    ([3], [[1]]), ([5, 0, 3, 1], [[0, 2], [0, 1]]), ([], [])])
def test_rows_of_many_files_come_in_their_order_with_few_open(parts, opened, rows, files):
    paths, sizes = parts
    whole = [record["mfcc"].reshape(-1)[0] for record in read_rows(paths, ["mfcc"], range(6))]
    assert whole == [0, 10, 20, 30, 50, 60] and opened == [paths], "without sizes all at once"
    opened.clear()
    found = [record["mfcc"].reshape(-1)[0] for record in read_rows(paths, ["mfcc"], rows, sizes=sizes)]
    assert found == [whole[row] for row in rows]
    assert opened == [[paths[number] for number in some] for some in files]


def test_few_files_are_opened_once(parts, opened):
    paths, sizes = parts
    list(read_rows(paths[:2], ["mfcc"], [4, 0, 3, 1], sizes=sizes[:2]))
    assert opened == [paths[:2]]


def test_an_order_leaves_files_behind_before_it_goes_on(monkeypatch):
    monkeypatch.setattr(pipeline, "OPEN", 2)
    parts = np.repeat(np.arange(5), [7, 3, 5, 4, 1])
    seen = set()
    for epoch in range(4):
        order = epoch_order(20, shuffle=True, seed=1, epoch=epoch, parts=parts)
        assert sorted(order) == list(range(20))
        groups = [tuple(sorted(set(parts[order[:count]]))) for count in range(1, 21)]
        together = [groups[0]] + [after for before, after in zip(groups, groups[1:]) if after != before]
        assert len(together) == 5
        first = order[:np.isin(parts, together[1]).sum()]
        assert set(parts[first]) == set(together[1]), "both files to their end before the third"
        seen.add(together[1])
        assert list(first) != sorted(first), "and their clips in no order"
        shares = [epoch_order(20, shuffle=True, seed=1, epoch=epoch, parts=parts, num_shards=2, shard_id=rank)
                  for rank in range(2)]
        np.testing.assert_array_equal(np.stack(shares, 1).reshape(-1), order)
    assert len(seen) > 1, "other files together in other epochs"
    few = parts.clip(max=1)
    np.testing.assert_array_equal(epoch_order(20, shuffle=True, seed=1, epoch=0, parts=few),
                                  epoch_order(20, shuffle=True, seed=1, epoch=0))
    assert list(epoch_order(20, shuffle=False, seed=1, epoch=0, parts=parts)) == list(range(20))


def test_batches_of_many_files_hold_the_clips_that_their_index_says(records_folder, opened, monkeypatch):
    records = open_records(records_folder)
    assert records.sizes == (32, 8) and sum(records.sizes) == len(records)
    monkeypatch.setattr(reading, "OPEN", 1)
    monkeypatch.setattr(pipeline, "OPEN", 1)
    dataset = create_dataset(records, "train", batch_size=24, columns=("labels", "index"))
    batch = next(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    np.testing.assert_array_equal(batch["labels"], records.labels("train")[batch["index"]])
    assert sorted(batch["index"]) == list(range(24)) and opened == [[file] for file in opened[0] + opened[-1]]
    assert len(opened) == 2
