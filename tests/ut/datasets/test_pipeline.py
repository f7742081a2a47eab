# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets.pipeline import create_dataset, epoch_order
from mindface_eri.datasets.records import Records, open_records
from mindface_eri.errors import DataError


@pytest.fixture(scope="module")
def records(records_folder):
    return open_records(records_folder)


def batches(dataset):
    return list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))


def indices(dataset):
    return [batch["index"].tolist() for batch in batches(dataset)]


def test_batches_have_the_contracts_shapes_and_types(records):
    dataset = create_dataset(records, "val", batch_size=4, columns=("frames", "mfcc", "present", "labels", "index"))
    batch = batches(dataset)[0]
    assert list(batch) == ["frames", "mfcc", "present", "labels", "index"]
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
        "frames": ((4, 4, 32, 32, 3), "uint8"), "mfcc": ((4, 4, 8), "float32"), "present": ((4, 2), "float32"),
        "labels": ((4, 2), "float32"), "index": ((4,), "int32")}


def test_evaluation_keeps_the_order_and_the_remainder(records):
    ids = records.ids("val")
    dataset = create_dataset(records, "val", batch_size=3, columns=("labels", "index"))
    rows = batches(dataset)
    assert [len(row["index"]) for row in rows] == [3] * (len(ids) // 3) + ([len(ids) % 3] if len(ids) % 3 else [])
    np.testing.assert_array_equal(np.concatenate([row["labels"] for row in rows]), records.labels("val"))
    assert dataset.get_dataset_size() == len(rows)


def test_frames_are_the_clip_of_their_index(records):
    ids = records.ids()
    wanted = {i: clip["frames"] for i, clip in enumerate(records.read(ids, ["frames"]))}
    seen = set()
    for batch in batches(create_dataset(records, ids=ids, batch_size=5, shuffle=False, columns=("frames", "index"))):
        for frames, index in zip(batch["frames"], batch["index"]):
            np.testing.assert_array_equal(frames, wanted[int(index)])
            seen.add(int(index))
    assert len(seen) == 40


def test_order_is_a_function_of_seed_and_epoch(records):
    def order(**options):
        return indices(create_dataset(records, "train", batch_size=8, columns=("index",), **options))

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)


def test_passes_over_one_dataset_are_successive_epochs(records):
    dataset = create_dataset(records, "train", batch_size=24, columns=("index",), seed=5)
    iterator = dataset.create_tuple_iterator(num_epochs=3, output_numpy=True)
    passes = [[row[0].tolist() for row in iterator] for _ in range(3)]
    alone = [indices(create_dataset(records, "train", batch_size=24, columns=("index",), seed=5, epoch=e))
             for e in range(3)]
    assert passes == alone
    assert passes[0] != passes[1]


@pytest.mark.parametrize("count", [7, 8, 24, 25])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_together_see_what_one_process_sees(count, ranks):
    options = {"shuffle": True, "seed": 3, "epoch": 1}
    alone = epoch_order(count, **options, batch_size=2 * ranks)
    shares = [epoch_order(count, **options, batch_size=2, num_shards=ranks, shard_id=r) for r in range(ranks)]
    assert len({len(share) for share in shares}) == 1, "every rank takes part in every step"
    dealt = np.stack(shares, axis=1).reshape(-1)
    np.testing.assert_array_equal(dealt[:count], alone)
    assert set(dealt[count:]) <= set(alone[:ranks]), "only what fills the last round is doubled"
    whole = np.concatenate([epoch_order(count, **options, batch_size=2, num_shards=ranks, shard_id=r,
                                        drop_remainder=True) for r in range(ranks)])
    assert len(set(whole)) == len(whole) == count // (2 * ranks) * 2 * ranks


def test_shards_of_a_dataset_lose_and_double_nothing_but_padding(records):
    seen = []
    for rank in range(3):
        rows = indices(create_dataset(records, "train", batch_size=5, columns=("mfcc", "index"), num_shards=3,
                                      shard_id=rank, pad_last=True, drop_remainder=False))
        assert all(len(row) == 5 for row in rows)
        seen += sum(rows, [])
    assert sorted(set(seen)) == list(range(len(records.ids("train"))))
    assert len(seen) == 30


def test_a_batch_far_larger_than_the_records_is_filled_up(records):
    rows = indices(create_dataset(records, "val", batch_size=100, columns=("mfcc", "index"), pad_last=True))
    assert rows == [list(np.resize(np.arange(8), 100))]


def test_any_ids_of_any_split_can_be_asked_for(records):
    ids = [records.ids("val")[1], records.ids("train")[3], records.ids("val")[0]]
    dataset = create_dataset(records, ids=ids, batch_size=2, shuffle=False, columns=("mfcc", "index"))
    got = np.concatenate([batch["mfcc"] for batch in batches(dataset)])
    wanted = np.stack([clip["mfcc"] for clip in records.read(ids, ["mfcc"])])
    np.testing.assert_array_equal(got, wanted)
    assert sum(indices(dataset), []) == [0, 1, 2]


def test_without_frames_no_picture_is_decoded(records, monkeypatch):
    def refuse(*_):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(Records, "crops", refuse)
    assert batches(create_dataset(records, "train", batch_size=8, columns=("mfcc", "labels")))
    with pytest.raises(RuntimeError, match="a picture was decoded"):
        batches(create_dataset(records, "train", batch_size=8, columns=("frames",)))


def test_unlabelled_clips_are_left_out_of_training_with_a_notice(records, caplog):
    labels = records.all_labels.copy()
    position = int(records.rows(records.ids("train"))[2])
    labels[position] = np.nan
    holed = replace(records, all_labels=labels)
    dataset = create_dataset(holed, "train", batch_size=1, columns=("labels", "index"))
    assert 2 not in sum(indices(dataset), [])
    assert "1 of 24 clips have no labels" in caplog.text
    assert np.isnan(batches(create_dataset(records, "test", batch_size=8, columns=("labels",)))[0]["labels"]).all()


def test_augmentation_is_the_same_for_any_number_of_ranks_and_threads(records):
    augment = DataConfig(flip=0.5, colour=0.5, mfcc_time_masks=1, mfcc_time_mask_width=2, mfcc_feature_masks=1,
                         mfcc_feature_mask_width=2)

    def clips(**options):
        dataset = create_dataset(records, "train", batch_size=4, columns=("frames", "mfcc", "index"), epoch=3, seed=9,
                                 augment=augment, **options)
        return {int(i): (f, m) for b in batches(dataset) for f, m, i in zip(b["frames"], b["mfcc"], b["index"])}

    alone, shared = clips(workers=1), {**clips(num_shards=2, shard_id=0), **clips(num_shards=2, shard_id=1)}
    assert alone.keys() == shared.keys()
    for index, (frames, mfcc) in alone.items():
        np.testing.assert_array_equal(frames, shared[index][0])
        np.testing.assert_array_equal(mfcc, shared[index][1])
    plain = next(iter(create_dataset(records, "train", batch_size=24, columns=("frames",), epoch=3, seed=9)
                      .create_tuple_iterator(num_epochs=1, output_numpy=True)))[0]
    assert not np.array_equal(plain, np.stack([frames for frames, _ in alone.values()]))


def test_time_jitter_gives_crops_sound_and_time_stamps_of_the_same_instants(records):
    columns = ("frames", "mfcc", "timestamps", "index")
    stored = dict(enumerate(records.read(records.ids("train"), columns[:3])))
    moved = 0
    for batch in batches(create_dataset(records, "train", batch_size=4, columns=columns, epoch=1, seed=9,
                                        augment=DataConfig(time_jitter=0.3))):
        for frames, mfcc, times, index in zip(*(batch[name] for name in columns)):
            clip = stored[int(index)]
            instants = [clip["timestamps"].tolist().index(time) for time in times]
            np.testing.assert_array_equal(frames, clip["frames"][instants])
            np.testing.assert_array_equal(mfcc, clip["mfcc"][instants])
            moved += instants != [0, 1, 2, 3]
    assert moved > 0


@pytest.mark.parametrize("options, message", [
    ({"split": "train", "batch_size": 64, "drop_remainder": True}, "do not fill one batch of 64"),
    ({"split": "dev", "batch_size": 1}, "no clip in split 'dev'; there are 24 in 'train'"),
    ({"batch_size": 1}, "either a split or ids"),
    ({"split": "train", "batch_size": 1, "columns": ("sound",)}, "columns"),
    ({"split": "train", "batch_size": 1, "num_shards": 2, "shard_id": 2}, "outside 0 to 1"),
    ({"ids": ["nobody"], "batch_size": 1}, "'nobody'"),
    ({"split": "train", "batch_size": 0}, "below 1"),
    ({"split": "train", "batch_size": 1, "pad_last": True, "drop_remainder": True}, "contradict"),
])
def test_what_cannot_be_made_is_refused(records, options, message):
    with pytest.raises(DataError, match=message):
        create_dataset(records, **options)


def test_works_with_model_train(records):
    """Model.train takes the dataset for several epochs."""
    import mindspore as ms
    from mindspore import nn

    dataset = create_dataset(records, "train", batch_size=6, columns=("present", "labels"))
    network = nn.Dense(2, 2)
    before = network.weight.asnumpy().copy()
    ms.train.Model(network, nn.MSELoss(), nn.SGD(network.trainable_params(), 0.1)).train(
        2, dataset, dataset_sink_mode=False)
    assert not np.array_equal(before, network.weight.asnumpy())


def test_an_abandoned_epoch_does_not_keep_the_interpreter(records_folder):
    code = ("from mindface_eri.datasets.pipeline import create_dataset\n"
            f"data = create_dataset({str(records_folder)!r}, 'train', batch_size=2, columns=('frames', 'labels'))\n"
            "iterator = data.create_tuple_iterator(num_epochs=9)\n"
            "next(iterator)\nraise SystemExit(3)")
    done = subprocess.run([sys.executable, "-c", code], timeout=60, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3 and "RuntimeError" not in done.stderr
