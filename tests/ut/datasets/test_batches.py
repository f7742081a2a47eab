# SPDX-License-Identifier: Apache-2.0
"""What each argument of create_dataset does to the batches, by known numbers."""

import atexit
import logging
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets import batching
from mindface_eri.datasets.batching import EXIT, BatchSource, Picks
from mindface_eri.datasets.pipeline import COLUMNS, create_dataset, epoch_order
from mindface_eri.datasets.records import open_records
from mindface_eri.datasets.transforms import ClipAugmenter
from mindface_eri.errors import DataError


@pytest.fixture(scope="module")
def records(records_folder):
    return open_records(records_folder)


def batches(*arguments, **options):
    return list(create_dataset(*arguments, **options).create_dict_iterator(num_epochs=1, output_numpy=True))


def indices(*arguments, **options):
    return [batch["index"].tolist() for batch in batches(*arguments, columns=("index",), **options)]


def test_the_order_is_that_of_earlier_versions():
    """A training taken up again after an update goes on where it was."""
    assert epoch_order(9, shuffle=True, seed=7, epoch=3).tolist() == [4, 3, 5, 8, 0, 2, 7, 1, 6]
    assert epoch_order(4, shuffle=False, seed=7, epoch=3).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("options, shares", [
    ({}, [[0, 2, 4, 6], [1, 3, 5, 0]]),
    ({"batch_size": 2}, [[0, 2, 4, 6], [1, 3, 5, 0]]),
    ({"batch_size": 2, "drop_remainder": True}, [[0, 2], [1, 3]]),
    ({"batch_size": 3, "pad_last": True}, [[0, 2, 4, 6, 1, 3], [1, 3, 5, 0, 2, 4]]),
    ({"batch_size": 4, "drop_remainder": True}, [[], []]),
])
def test_seven_clips_are_dealt_to_two_ranks(options, shares):
    dealt = [epoch_order(7, shuffle=False, seed=0, epoch=0, num_shards=2, shard_id=rank, **options).tolist()
             for rank in range(2)]
    assert dealt == shares


@pytest.mark.parametrize("options, rows", [
    ({"split": "val", "batch_size": 5}, [[0, 1, 2, 3, 4], [5, 6, 7]]),
    ({"split": "val", "batch_size": 5, "drop_remainder": True}, [[0, 1, 2, 3, 4]]),
    ({"split": "val", "batch_size": 5, "pad_last": True}, [[0, 1, 2, 3, 4], [5, 6, 7, 0, 1]]),
    ({"split": "val", "batch_size": 3, "num_shards": 2, "shard_id": 1}, [[1, 3, 5], [7]]),
    ({"split": "train", "batch_size": 20, "shuffle": False}, [[*range(20)], [20, 21, 22, 23]]),
    ({"ids": ["00007", "00000"], "batch_size": 5}, [[0, 1]]),
])
def test_batches_by_hand(records, options, rows):
    dataset = create_dataset(records, columns=("index",), **options)
    assert dataset.get_dataset_size() == len(rows)
    assert indices(records, **options) == rows


@pytest.mark.parametrize("options, lengths", [
    ({"split": "train", "batch_size": 10}, [10, 10]),
    ({"split": "train", "batch_size": 25}, [24]),
    ({"split": "train", "batch_size": 13, "num_shards": 2}, [12]),
    ({"split": "train", "batch_size": 5, "num_shards": 2}, [5, 5]),
    ({"split": "train", "batch_size": 10, "drop_remainder": False}, [10, 10, 4]),
    ({"split": "train", "batch_size": 10, "pad_last": True}, [10, 10, 10]),
    ({"split": "val", "batch_size": 3, "shuffle": True}, [3, 3]),
])
def test_the_remainder_is_dropped_where_clips_are_shuffled_and_a_batch_is_left(records, options, lengths):
    assert [len(row) for row in indices(records, seed=2, **options)] == lengths


def test_only_training_is_shuffled_unless_asked(records):
    assert indices(records, "train", batch_size=24, seed=3, epoch=4) == [
        epoch_order(24, shuffle=True, seed=3, epoch=4).tolist()]
    assert indices(records, "train", batch_size=24) == [epoch_order(24, shuffle=True, seed=0, epoch=0).tolist()]
    assert indices(records, "train", batch_size=24, shuffle=False) == [[*range(24)]]
    assert indices(records, "val", batch_size=8, shuffle=True, epoch=1) == [
        epoch_order(8, shuffle=True, seed=0, epoch=1).tolist()]


def test_a_path_and_the_usual_columns_will_do(records, records_folder):
    batch = batches(str(records_folder), "val", batch_size=8)[0]
    assert list(batch) == ["frames", "mfcc", "present", "labels"]
    stored = list(records.read(records.ids("val")))
    for name in batch:
        np.testing.assert_array_equal(batch[name], np.stack([clip[name] for clip in stored]))


STORED = tuple(name for name in COLUMNS if name != "person")  # which tests/ut/datasets/test_by_person.py asks for


@pytest.mark.parametrize("columns", [STORED, STORED[::-1], ("detected",), ("boxes", "timestamps")])
def test_each_column_is_what_the_records_hold_in_the_order_asked(records, columns):
    names = [records.ids("val")[3], records.ids("test")[1], records.ids("train")[5]]
    stored = list(records.read(names, [name for name in columns if name != "index"]))
    batch, = batches(records, ids=names, batch_size=4, columns=columns)
    assert tuple(batch) == columns
    for name in columns:
        wanted = np.arange(3) if name == "index" else np.stack([clip[name] for clip in stored])
        np.testing.assert_array_equal(batch[name], wanted)
        assert batch[name].dtype == (np.int32 if name == "index" else wanted.dtype), name


def test_a_clip_is_augmented_by_its_index_whatever_its_place(records):
    names, epoch, seed = records.ids("train")[5:12], 2, 9
    augment = DataConfig(flip=0.5, colour=0.3, time_jitter=0.2, mfcc_time_masks=1, mfcc_feature_masks=1)
    options = {"ids": names, "batch_size": 3, "shuffle": True, "seed": seed, "drop_remainder": False,
               "columns": ("frames", "mfcc", "index"), "augment": augment}
    clips = list(records.read(names, ["frames", "mfcc"]))
    for index, clip in enumerate(clips):
        ClipAugmenter(augment, records.preprocess.audio, records.mfcc_mean, seed)(clip, epoch, index)
    given = batches(records, epoch=epoch, workers=3, **options)
    assert [len(batch["index"]) for batch in given] == [3, 3, 1]
    for batch in given:
        for frames, mfcc, index in zip(batch["frames"], batch["mfcc"], batch["index"]):
            np.testing.assert_array_equal(frames, clips[index]["frames"])
            np.testing.assert_array_equal(mfcc, clips[index]["mfcc"])
    passes = create_dataset(records, **options).create_dict_iterator(num_epochs=3, output_numpy=True)
    third = [list(passes) for _ in range(3)][2]
    np.testing.assert_array_equal(third[0]["frames"], given[0]["frames"])
    plain = batches(records, **{**options, "augment": None})[0]
    np.testing.assert_array_equal(plain["mfcc"][0], next(records.read([names[plain["index"][0]]], ["mfcc"]))["mfcc"])


@pytest.mark.parametrize("options, left_out", [
    ({"split": "train"}, True), ({"split": "train", "shuffle": False}, True), ({"shuffle": True}, True),
    ({"split": "train", "columns": ("mfcc", "index")}, False), ({}, False), ({"shuffle": False}, False),
])
def test_who_has_no_label_is_left_out_where_labels_are_trained_on(records, caplog, options, left_out):
    labels = records.all_labels.copy()
    labels[records.rows(records.ids("train")[1:3])] = np.nan
    labels[records.rows(records.ids("train")[5:7]), [0, 1]] = np.nan  # one of two labels is enough
    holed = replace(records, all_labels=labels)
    given = {"columns": ("labels", "index"), "batch_size": 30, "drop_remainder": False,
             **({} if "split" in options else {"ids": records.ids("train")}), **options}
    with caplog.at_level(logging.WARNING):
        index = sorted(batches(holed, **given)[0]["index"].tolist())
    assert index == [i for i in range(24) if not left_out or i not in (1, 2)]
    assert ("2 of 24 clips have no labels" in caplog.text) == left_out
    none = replace(records, all_labels=np.full_like(labels, np.nan))
    if left_out:
        with pytest.raises(DataError, match="none of 24 clips can be trained on: they have no labels"):
            create_dataset(none, **given)


@pytest.mark.parametrize("columns, clips", [
    (("mfcc", "labels"), 9), (("mfcc", "present", "labels"), 11), (("frames", "labels"), 11), (("mfcc",), 11)])
def test_who_has_no_sound_is_left_out_where_nothing_tells_the_network(mixed_records, caplog, columns, clips):
    """Two of eleven clips have none; without labels nothing is trained on."""
    with caplog.at_level(logging.WARNING):
        (batch,) = batches(mixed_records, "train", batch_size=20, columns=(*columns, "index"))
    assert len(batch["index"]) == clips and ("2 of 11 clips have no sound" in caplog.text) == (clips == 9)
    if clips == 9:
        assert set(range(11)) - set(batch["index"].tolist()) == {3, 8}


def test_workers_and_prefetch_reach_the_pipeline(records, monkeypatch):
    import mindspore.dataset as ds

    before, threads = ds.config.get_prefetch_size(), []
    start = BatchSource.__init__
    monkeypatch.setattr(BatchSource, "__init__", lambda self, *a: (threads.append(a[5]), start(self, *a))[1])
    cores = multiprocessing.cpu_count()
    try:
        for workers, prefetch in ((1, 3), (0, 5), (10 ** 6, 7)):
            create_dataset(records, "val", batch_size=8, workers=workers, prefetch=prefetch)
            assert ds.config.get_prefetch_size() == prefetch
        create_dataset(records, "val", batch_size=8)
        assert threads == [1, 1, cores, min(2, cores)] and ds.config.get_prefetch_size() == 4
    finally:
        ds.config.set_prefetch_size(before)


@pytest.mark.parametrize("options, message", [
    ({"columns": ()}, r"columns \[\]: expected different ones among frames, .*, detected"),
    ({"columns": ("mfcc", "mfcc")}, "expected different ones"),
    ({"ids": ["00000"]}, "either a split or ids, not both"),
    ({"shard_id": -1}, "shard -1 is outside 0 to 0"),
    ({"batch_size": -2}, "batch size -2 is below 1"),
    ({"batch_size": 13, "num_shards": 2, "drop_remainder": True},
     "24 clips do not fill one batch of 13 on each of 2 ranks; lower the batch size"),
])
def test_refusals_name_the_value(records, options, message):
    with pytest.raises(DataError, match=message):
        create_dataset(records, "train", **{"batch_size": 2, **options})


def test_at_the_interpreters_end_nobody_asks_for_rows_any_more(monkeypatch):
    registered, ended = [], []
    monkeypatch.setattr(atexit, "register", registered.append)

    def source(name):
        try:
            yield from (1, 2, 3)
        finally:
            ended.append(name)

    guard = type(EXIT)()
    assert list(guard.guard(source("whole"))) == [1, 2, 3] and ended == ["whole"]
    left = guard.guard(source("left"))
    assert next(left) == 1
    left.close()
    assert ended == ["whole", "left"], "an epoch given up stops what it reads at once"
    rows = guard.guard(source("open"))
    assert next(rows) == 1
    guard.register()
    guard.register()
    close, = registered
    close()
    assert list(rows) == [] and list(guard.guard(source("late"))) == []
    assert "open" not in ended, "at the interpreter's end MindSpore alone stops what is being read"


def test_a_closed_guard_ends_an_epoch_without_an_error(records, monkeypatch):
    guard = type(EXIT)()
    monkeypatch.setattr(batching, "EXIT", guard)
    rows = np.arange(9)
    source = BatchSource(records, Picks(rows, rows, 0 * rows), ("index", "frames"), lambda epoch: rows, 2, 1, None,
                         lambda *_: None)
    assert len(source) == 5
    epoch = iter(source)
    first, second = next(epoch), next(epoch)
    assert (first[0].tolist(), second[0].tolist()) == ([0, 1], [2, 3])
    guard._close()
    assert list(epoch) == []
    monkeypatch.setattr(batching, "EXIT", type(EXIT)())
    assert [batch[0].tolist() for batch in source] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
