# SPDX-License-Identifier: Apache-2.0
"""Batches of records and of cached features: which clips, in which order, for which process, filled up how."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.config import Config, DataConfig, TrainConfig
from mindface_eri.datasets.pipeline import epoch_order
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.runner import batches as module
from mindface_eri.runner.batches import (
    EpochPlan,
    FeatureBatches,
    RecordBatches,
    fill_up,
    label_noise,
    labelled,
    plan_epoch,
    shard_order,
)

ONE = Context("CPU", "graph")


def rank(number, of):
    return Context("CPU", "graph", number, of)


def stored(records, split, column="mfcc"):
    return np.stack([row[column] for row in records.read(records.ids(split), (column,))])


@pytest.fixture
def gaps(mixed_records):
    """Train clips 2 and 7 (counted from 0) have no label."""
    labels = mixed_records.all_labels.copy()
    labels[[2, 7]] = np.nan
    return dataclasses.replace(mixed_records, all_labels=labels)


@pytest.fixture(params=["records", "features"])
def make(request, gaps):
    """`make(context, seed, ...)`: the MFCC stacks of the records, or the same as cached features of a branch."""
    def build(context=ONE, *, batch_size=4, seed=3, label_noise=0.0):
        config = dataclasses.replace(Config(), train=TrainConfig(batch_size=batch_size, label_noise=label_noise))
        config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, seed=seed))
        if request.param == "records":
            return RecordBatches(gaps, ("mfcc", "present"), config, context)
        features = {split: (stored(gaps, split), stored(gaps, split, "present")) for split in ("train", "val", "test")}
        return FeatureBatches(gaps, features, config, context)

    return build


@pytest.mark.parametrize("there, error", [(True, RuntimeError), (False, DataError)])
def test_records_that_are_removed_meanwhile_are_a_sentence(gaps, tmp_path, monkeypatch, there, error):
    class Broken:
        def create_dict_iterator(self, **_):
            yield {"mfcc": np.zeros((2, 4, 8)), "present": np.ones((2, 2))}
            raise RuntimeError("Exception thrown from user defined Python function in dataset.\n and a page more")

    monkeypatch.setattr(module, "create_dataset", lambda *_, **__: Broken())
    if there:
        (tmp_path / "dataset.json").touch()
    batches = RecordBatches(dataclasses.replace(gaps, path=tmp_path), ("mfcc", "present"), Config(), ONE)
    found = batches.inputs("val", 2)
    assert next(found).positions.tolist() == [0, 1]
    with pytest.raises(error, match="in dataset" if there else f"{tmp_path}: the records were removed while they were"):
        next(found)


def test_inference_covers_a_split_in_batches_of_one_size(make, gaps):
    found = list(make().inputs("val", 2))
    assert [batch.positions.tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    mfcc, present = stored(gaps, "val"), stored(gaps, "val", "present")
    for batch in found:
        assert [len(x) for x in batch.inputs] == [2, 2]
        np.testing.assert_array_equal(batch.inputs[0][:len(batch.positions)], mfcc[batch.positions])
        np.testing.assert_array_equal(batch.inputs[1][:len(batch.positions)], present[batch.positions])
    np.testing.assert_array_equal(found[-1].inputs[0][1], mfcc[4])  # the last one is repeated
    assert present[2].tolist() == [1, 0]


def test_processes_share_a_split_without_overlap(make, gaps):
    shares = [list(make(rank(number, 2)).inputs("val", 2)) for number in (0, 1)]
    assert [[batch.positions.tolist() for batch in share] for share in shares] == [[[0, 2], [4]], [[1, 3]]]
    mfcc = stored(gaps, "val")
    for batch in (batch for share in shares for batch in share):
        np.testing.assert_array_equal(batch.inputs[0][:len(batch.positions)], mfcc[batch.positions])
    assert list(make(rank(3, 4)).inputs("test", 2)) == []  # three clips for four processes


def test_training_draws_labelled_clips_by_seed_and_epoch(make, gaps):
    mfcc, labels, known = stored(gaps, "train"), gaps.labels("train"), np.array([0, 1, 3, 4, 5, 6, 8, 9, 10])
    for seed, epoch in ((3, 0), (3, 1), (4, 0)):
        order = known[epoch_order(9, shuffle=True, seed=seed, epoch=epoch, batch_size=4, drop_remainder=True)]
        found = list(make(seed=seed).train(epoch))
        assert [len(batch[-1]) for batch in found] == [4, 4]  # the ninth waits for another epoch
        np.testing.assert_array_equal(np.concatenate([batch[0] for batch in found]), mfcc[order])
        np.testing.assert_array_equal(np.concatenate([batch[-1] for batch in found]), labels[order])
        assert [len(batch) for batch in found] == [3, 3] and found[0][-1].dtype == np.float32


def test_processes_train_together_on_what_one_would(make):
    whole = list(make().train(1))
    shares = [list(make(rank(number, 2)).train(1)) for number in (0, 1)]
    for one, *parts in zip(whole, *shares):
        assert [len(part[-1]) for part in parts] == [2, 2]
        np.testing.assert_array_equal(np.stack([part[-1] for part in parts], axis=1).reshape(4, 2), one[-1])


def test_label_noise_is_drawn_anew_but_again_the_same(make):
    def noise(context=ONE, epoch=0, **options):
        options = {"label_noise": 0.05, "seed": 3, **options}
        noisy = np.concatenate([batch[-1] for batch in make(context, **options).train(epoch)])
        return noisy - np.concatenate([batch[-1] for batch in make(context, seed=options["seed"]).train(epoch)])

    assert not noise(label_noise=0.0).any()
    drawn = noise()
    assert 0.02 < np.std(drawn) < 0.08 and np.unique(drawn).size > 12
    np.testing.assert_array_equal(drawn, noise())
    for other in (noise(epoch=1), noise(seed=4)):
        assert not np.allclose(drawn[:4], other[:4])
    shares = [noise(rank(number, 2)) for number in range(2)]
    np.testing.assert_array_equal(np.stack(shares, axis=1).reshape(drawn.shape), drawn)  # as one process draws it


def test_an_epoch_is_planned_over_labelled_clips(make):
    assert make().plan() == (4, 2) and make(rank(0, 2)).plan() == (2, 2) and make(batch_size=64).plan() == (9, 1)
    batches = make()
    assert [batches.count(split) for split in ("train", "val", "other")] == [11, 5, 0]
    assert batches.ids["val"] == ["00012", "00013", "00014", "00015", "00016"]
    assert batches.labels("val").shape == (5, 2) and batches.labels("train").dtype == np.float32
    assert np.isnan(batches.labels("train")[[5, 7]]).tolist() == [[False, False], [True, True]]


def test_plans_share_the_batch_evenly():
    assert plan_epoch(20, 8, ONE) == EpochPlan(8, 2) and plan_epoch(20, 8, rank(1, 4)) == EpochPlan(2, 2)
    assert plan_epoch(5, 8, rank(0, 2)) == EpochPlan(2, 1) and plan_epoch(5, 5, ONE) == EpochPlan(5, 1)
    assert plan_epoch(20, 8, rank(1, 4)).total(rank(1, 4)) == 16 and EpochPlan(8, 2).total(ONE) == 16
    with pytest.raises(ConfigError, match="train.batch_size is 10, the global batch, and 4 processes cannot share it"):
        plan_epoch(20, 10, rank(0, 4))
    with pytest.raises(DataError, match="has 3 clips with labels for 4 processes; need at least one each"):
        plan_epoch(3, 8, rank(0, 4))
    assert plan_epoch(4, 8, rank(0, 4)) == EpochPlan(1, 1)


def test_small_parts():
    assert labelled(np.array([[1, 2], [np.nan, 1], [np.nan, np.nan], [1, np.nan]])).tolist() == [0, 1, 3]
    assert shard_order(7, rank(1, 3)).tolist() == [1, 4] and shard_order(3, ONE).tolist() == [0, 1, 2]
    assert fill_up(np.array([[5], [6]]), 5).tolist() == [[5], [6], [5], [6], [5]]
    whole = np.zeros((2, 1))
    assert fill_up(whole, 2) is whole


def test_noisy_labels_stay_labels():
    labels = np.array([[0.0, 1.0, 0.5]] * 200, np.float32)
    assert label_noise(0, 0, 0, ONE)(labels) is labels
    add = label_noise(0.25, 0, 0, ONE)
    noisy = add(labels)
    assert noisy.dtype == np.float32 and (noisy.min(), noisy.max()) == (0, 1)
    assert np.std(noisy[:, 2]) == pytest.approx(0.25, abs=0.03) and noisy[:, 2].mean() == pytest.approx(0.5, abs=0.05)
    assert not np.allclose(add(labels), noisy)  # the next batch's is another


def test_training_is_augmented_and_inference_is_not(mixed_records):
    config = dataclasses.replace(Config(), data=DataConfig(flip=1.0), train=TrainConfig(batch_size=11))
    batches = RecordBatches(mixed_records, ("frames",), config, ONE)
    frames = stored(mixed_records, "train", "frames")
    assert not np.array_equal(frames, frames[:, :, :, ::-1])  # a mirrored clip would show
    (batch,), (seen,) = batches.train(0), batches.inputs("train", 11)
    order = epoch_order(11, shuffle=True, seed=0, epoch=0)
    np.testing.assert_array_equal(batch[0], frames[order][:, :, :, ::-1])
    np.testing.assert_array_equal(seen.inputs[0], frames)


def test_mindata_is_told_the_recipes_settings(mixed_records, monkeypatch):
    told, create = [], module.create_dataset
    monkeypatch.setattr(module, "create_dataset", lambda *words, **options: told.append(options) or create(
        *words, **options))
    config = dataclasses.replace(Config(), data=DataConfig(workers=1, prefetch=7), train=TrainConfig(batch_size=4))
    batches = RecordBatches(mixed_records, ("mfcc",), config, rank(1, 2))
    next(batches.train(6))
    next(batches.inputs("val", 2))
    assert [(options["workers"], options["prefetch"], options["batch_size"]) for options in told] == [(1, 7, 2)] * 2
    assert told[0]["augment"] is config.data and told[0]["drop_remainder"]
