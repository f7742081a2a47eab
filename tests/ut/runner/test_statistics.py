# SPDX-License-Identifier: Apache-2.0
"""What the network on statistics keeps of its training clips, and the cached statistics that its head trains on."""

import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.datasets.statistics import landmark_statistics
from mindface_eri.device.context import Context
from mindface_eri.runner.batches import FeatureBatches, RecordBatches
from mindface_eri.runner.tasks import complete, frozen_names, prepare_task

LONE = Context("CPU", "pynative")
SMALL = {"name": "eri_statistics", "mfcc_stack": 2}


@pytest.fixture
def prepare(mixed_records, mixed_config, replace, eager):
    def made(data=None, **model):
        config = complete(replace(mixed_config, model={**SMALL, **model}, data=data or {}), mixed_records)
        return prepare_task(config, mixed_records, LONE, told.append)

    told = made.told = []
    return made


def _all(records, split, column):
    return np.stack([record[column] for record in records.read(records.ids(split), (column,))])


def test_means_and_deviations_are_those_of_the_training_clips_that_have_it(prepare, mixed_records):
    """Train clips 4 and 9 have no sound: zeros that are no measurement."""
    network = prepare().network
    heard = _all(mixed_records, "train", "present")[:, 1] == 1
    assert heard.sum() == 9
    frames = _all(mixed_records, "train", "mfcc")[heard].reshape(9, 8, 4)
    sound, face = network.streams
    np.testing.assert_allclose(sound.statistics_mean.asnumpy()[0], frames.mean(axis=(0, 1)), rtol=1e-4)
    np.testing.assert_allclose(sound.statistics_std.asnumpy()[1], frames.std(axis=1).std(axis=0), rtol=1e-3)
    mean, scale = landmark_statistics(mixed_records.files, mixed_records.rows(mixed_records.ids("train")))
    np.testing.assert_allclose(face.alignment.landmark_mean.asnumpy(), mean, atol=1e-5)
    np.testing.assert_allclose(face.alignment.landmark_scale.asnumpy(), scale)
    measured = network.measure(Tensor(_all(mixed_records, "train", "mfcc")),
                               Tensor(_all(mixed_records, "train", "landmarks")))[1].asnumpy()
    np.testing.assert_allclose(face.statistics_mean.asnumpy(), measured.mean(axis=0), atol=1e-4)


def test_the_head_trains_on_what_the_network_would_give_it(prepare, mixed_records):
    task = prepare()
    assert task.trained_part is task.network.head and isinstance(task.batches, FeatureBatches)
    inputs = [Tensor(_all(mixed_records, "val", name)) for name in ("mfcc", "landmarks", "present")]
    batch = next(iter(task.batches.inputs("val", 5)))
    answers = task.trained_part.set_train(False)(*(Tensor(x) for x in batch.inputs)).asnumpy()
    np.testing.assert_allclose(task.network.set_train(False)(*inputs).asnumpy(), answers, atol=1e-5)
    assert "head.hidden.weight" not in frozen_names(task)
    assert "streams.1.alignment.landmark_mean" in frozen_names(task)
    *_, labels = next(iter(task.batches.train(0)))
    assert labels.shape == (8, 2)


def test_of_one_modality_clips_without_it_are_left_out(prepare, mixed_records):
    task = prepare(takes=("mfcc",))
    assert prepare.told == ["2 of 11 train clips have no sound: left out", "1 of 5 val clips have no sound: left out"]
    assert (task.batches.count("train"), task.batches.count("val")) == (9, 4)
    assert len(next(iter(task.batches.inputs("val", 4))).inputs) == 1


def test_augmentation_changes_the_clips_each_epoch(prepare):
    task = prepare({"time_jitter": 0.2})
    assert task.trained_part is task.network and isinstance(task.batches, RecordBatches)
    assert np.ptp(task.network.streams[0].statistics_mean.asnumpy()) > 0


def test_mirror_images_are_cached_and_drawn_as_those_of_the_clips(prepare):
    plain = prepare().batches
    task = prepare({"flip": 0.5})
    assert task.trained_part is task.network.head and isinstance(task.batches, FeatureBatches)
    config, turned = task.batches.config, 0
    clips = RecordBatches(task.batches.records, config.model.inputs, config, LONE)
    for epoch in (0, 1):
        for ours, theirs, straight in zip(task.batches.train(epoch), clips.train(epoch), plain.train(epoch)):
            for values, stream, given in zip(ours, task.network.streams, theirs):
                np.testing.assert_allclose(values, stream(Tensor(given)).asnumpy(), atol=2e-3)
            np.testing.assert_array_equal(ours[2], theirs[2])
            np.testing.assert_array_equal(ours[3], theirs[3])
            np.testing.assert_array_equal(ours[0], straight[0])
            turned += int((ours[1] != straight[1]).any(axis=1).sum())
    assert 0 < turned < 16
