# SPDX-License-Identifier: Apache-2.0
"""Copies of sound belong to their clips: training sees them, and nothing else ever does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import AugmentConfig, Config, DataConfig, ModelConfig, TrainConfig, load_config, to_dict
from mindface_eri.datasets import by_person
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.by_person import with_person_statistics
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.held import hold
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.datasets.presence import usable
from mindface_eri.datasets.records import open_records
from mindface_eri.datasets.statistics import thirds
from mindface_eri.device.context import Context
from mindface_eri.errors import DataError
from mindface_eri.evaluation.baseline import Baseline, read_streams, regress, with_copies
from mindface_eri.runner.batches import RecordBatches
from mindface_eri.runner.tasks import prepare_task

HERE = Path(__file__).parents[2] / "extractors"
SPEEDS = (0.8, 1.25)


@pytest.fixture(scope="module")
def build(corpus_writer, tmp_path_factory):
    """Records of 9 clips, 6 train, 2 val (3 and 7), 1 test (4); 00001, which holds the number 9, has no sound."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(HERE))

    def run(out, tiny, root=None, resume=False, **augment):
        root = root or corpus_writer(tmp_path_factory.mktemp("data"), [1, 9, 2, 3, 5, 6, 7, 8, 10])
        result = preprocess_dataset(root, out, replace(tiny, augment=AugmentConfig(**augment)), workers=1,
                                    progress=False, resume=resume, extractor="fake_extractor:extract_with_copies")
        return result, open_records(out)

    yield run
    patch.undo()


@pytest.fixture(scope="module")
def made(build, tiny, tmp_path_factory):
    return build(tmp_path_factory.mktemp("made") / "out", tiny, speeds=SPEEDS, splits=("train", "val"))


@pytest.fixture(scope="module")
def records(made):
    return made[1]


def seen(dataset):
    """(index, mfcc) of all clips of a data set, in no order."""
    found = []
    for row in dataset.create_dict_iterator(num_epochs=1, output_numpy=True):
        found += [(int(index), mfcc.tobytes()) for index, mfcc in zip(row["index"], row["mfcc"])]
    return sorted(found)


COLUMNS = ("mfcc", "labels", "index")


def test_the_folder_says_how_many_copies_there_are(made):
    result, records = made
    assert (result.done, result.copies) == (9, 14) and records.copies.tolist() == [2, 0, 2, 2, 0, 2, 2, 2, 2]
    head = json.loads((records.path / "dataset.json").read_text())
    assert head["copies"] == 14 and head["splits"] == {"train": 6, "val": 2, "test": 1} and "copies" in head["fields"]
    assert len(records) == 9 and [row["copies"] for row in records.table] == list("202202222")


def test_records_give_them_clip_by_clip(records):
    for record, count in zip(records.read(records.ids(), ("mfcc", "copies", "labels")), records.copies):
        assert record["copies"].shape == (count, *record["mfcc"].shape) and record["copies"].dtype == np.float32
        for copy, speed in zip(record["copies"], SPEEDS):
            np.testing.assert_array_equal(copy, record["mfcc"] * np.float32(speed))


def test_training_sees_each_clip_and_each_of_its_copies_once_an_epoch(records):
    wanted = []
    for index, record in enumerate(records.read(records.ids("train"), ("mfcc", "copies"))):
        if index != 1:  # it has no sound
            wanted += [(index, sound.tobytes()) for sound in (record["mfcc"], *record["copies"])]
    for epoch in (0, 1):
        found = seen(create_dataset(records, "train", columns=COLUMNS, batch_size=5, epoch=epoch))
        assert found == sorted(wanted) and len(found) == 15
    shares = [seen(create_dataset(records, "train", columns=COLUMNS, batch_size=1, epoch=0, num_shards=3, shard_id=k))
              for k in range(3)]
    assert sorted(sum(shares, [])) == sorted(wanted)


@pytest.mark.parametrize("options", [
    {"split": "val"}, {"split": "test"}, {"split": "train", "shuffle": False}, {"ids": ("00000", "00002")},
    {"split": "train", "augment": DataConfig(copies=False)},
    {"split": "val", "shuffle": True, "columns": ("mfcc", "index")}])
def test_nothing_else_does(records, options):
    options = {"columns": COLUMNS, **options}
    ids = options.get("ids") or records.ids(options["split"])
    trained = options["columns"] == COLUMNS and "val" != options.get("split") != "test"  # not on what has no sound
    own = {(k, record["mfcc"].tobytes()) for k, record in enumerate(records.read(ids, ("mfcc", "present")))
           if record["present"][1] or not trained}
    split = options.pop("split", None)
    assert set(seen(create_dataset(records, split, batch_size=1, drop_remainder=False, **options))) == own


def test_without_sound_among_the_columns_there_is_one_of_each(records):
    dataset = create_dataset(records, "train", columns=("frames", "labels", "present"), batch_size=1)
    assert sum(1 for _ in dataset.create_dict_iterator(num_epochs=1)) == 6


def test_an_epoch_of_training_is_planned_with_the_copies(records):
    config = Config(data=DataConfig(), train=TrainConfig(batch_size=7))
    view, _ = usable(records, ("mfcc",), ("train",))
    batches = RecordBatches(view, ("mfcc",), config, Context("CPU", "graph"))
    assert batches.plan() == (7, 2) and batches.count("train") == 5, "of 15"
    assert [len(batch[0]) for batch in batches.train(0)] == [7, 7]
    assert sum(len(batch.positions) for batch in batches.inputs("train", 2)) == 5, "predictions are of clips"
    alone = RecordBatches(view, ("mfcc",), replace(config, data=DataConfig(copies=False)), Context("CPU", "graph"))
    assert alone.plan() == (5, 1)


@pytest.mark.parametrize("fold", range(3))
def test_folds_drawn_anew_keep_a_clips_copies_on_its_side(records, fold):
    data = DataConfig(folds=3, fold=fold, group="Subject", fold_as="val")
    view = fold_view(records, data)
    assert len(view.ids("train")) + len(view.ids("val")) == 8
    trained = seen(create_dataset(view, "train", columns=COLUMNS, batch_size=1, augment=data))
    heard = [row for row in view.table if row["split"] == "train" and row["present_acoustic"] == "1"]
    assert len(trained) == 3 * len(heard) > 0
    held = [sound.tobytes() for record in view.read(view.ids("val"), ("mfcc", "copies"))
            for sound in (record["mfcc"], *record["copies"])]
    assert not {sound for _, sound in trained} & set(held)
    subjects = {row["Subject"]: row["split"] for row in view.table if row["split"] in ("train", "val")}
    assert all(subjects[row["Subject"]] == row["split"] for row in view.table if row["split"] in ("train", "val"))


def test_each_copy_draws_its_own_masks(records):
    masked = DataConfig(mfcc_time_masks=1, mfcc_time_mask_width=4)
    dataset = create_dataset(records, "train", columns=COLUMNS, batch_size=15, augment=masked, epoch=0)
    (batch,) = dataset.create_dict_iterator(num_epochs=1, output_numpy=True)
    mean = records.mfcc_mean
    patterns = {index: {tuple((mfcc == mean).all(1)) for k, mfcc in zip(batch["index"], batch["mfcc"]) if k == index}
                for index in range(6) if index != 1}
    assert max(map(len, patterns.values())) > 1, "a clip and its copies are not masked alike"


def test_records_without_copies_are_as_ever(build, tiny, tmp_path, records):
    result, plain = build(tmp_path / "out", tiny)
    assert result.copies == 0 and not plain.copies.any() and "copies" not in plain.fields
    assert "copies" not in plain.table[0] and "copies" not in json.loads((plain.path / "dataset.json").read_text())
    assert plain.hash != records.hash and np.array_equal(plain.mfcc_mean, records.mfcc_mean)
    for one, other in zip(plain.read(plain.ids(), ("mfcc",)), records.read(records.ids(), ("mfcc",))):
        np.testing.assert_array_equal(one["mfcc"], other["mfcc"])
    with pytest.raises(DataError, match="hold no copies of sound; preprocess the clips again with preprocess.augment"):
        list(plain.read(plain.ids(), ("copies",)))


def test_a_clip_that_changed_takes_its_copies_with_it(build, corpus_writer, tiny, tmp_path):
    root = corpus_writer(tmp_path / "data", [1, 2, 3])
    _, before = build(tmp_path / "out", tiny, root, speeds=(0.8,))
    old = list(before.read(before.ids(), ("copies",)))
    (root / "train/mp4/00001.mp4").write_text("77")
    _, after = build(tmp_path / "out", tiny, root, resume=True, speeds=(0.8,))
    new = list(after.read(before.ids(), ("copies",)))
    assert [np.array_equal(one["copies"], other["copies"]) for one, other in zip(old, new)] == [True, False, True]
    with pytest.raises(DataError, match=r"preprocess.augment.speeds is \(0.9,\) now, was \[0.8\]|was begun with other"):
        build(tmp_path / "out", tiny, root, resume=True, speeds=(0.9,))


@pytest.mark.parametrize("person", [False, True])
def test_the_head_of_a_network_on_statistics_trains_on_the_copies_too(records, person, eager, monkeypatch):
    monkeypatch.setattr(by_person, "LEAST", 1)
    model = {"name": "eri_statistics", "takes": ["mfcc"], "emotions": records.emotions, "normalise_by_person": person}
    config = load_config(values={"preprocess": to_dict(records.preprocess), "model": model, "train.batch_size": 15})
    task = prepare_task(config, records, Context("CPU", "pynative"), lambda text: None)
    assert task.trained_part is task.network.head and task.batches.plan() == (15, 1)
    view = with_person_statistics(records, config.model)
    stream, wanted = task.network.streams[0], []
    for row, label in zip(records.rows(records.ids("train")), records.labels("train")):
        clip = next(records.read([records.table[row]["id"]], ("mfcc", "copies")))
        for number, sound in enumerate([clip["mfcc"], *clip["copies"]] if records.copies[row] else []):
            given = (view.by_person.of(np.array([row]), np.array([number])),) if person else ()
            measured = thirds(sound.reshape(-1, 4)).reshape(1, 6, 4)
            wanted.append((*label, *stream.standardised(measured, *given)[0]))
    (found,) = task.batches.train(0)
    order = [np.argsort(rows[:, 0] * 100 + rows[:, 2]) for rows in (np.array(wanted), np.hstack(found[::-1]))]
    np.testing.assert_allclose(np.hstack(found[::-1])[order[1]], np.array(wanted)[order[0]], rtol=1e-3, atol=2e-3)
    assert [len(batch.positions) for batch in task.batches.inputs("train", 5)] == [5], "predictions are of clips"
    alone = prepare_task(replace(config, data=DataConfig(copies=False)), records, Context("CPU", "pynative"), print)
    assert alone.batches.plan() == (5, 1)


def test_the_baseline_may_be_fitted_on_the_copies_too(records):
    pytest.importorskip("sklearn")
    view, ids, asked = with_person_statistics_of_all(records), records.ids("train"), records.ids("val")
    for one in (records, view):
        streams, sources = with_copies(one, ids, read_streams(one, ids, ("mfcc",)))
        assert sources.tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 2, 2, 3, 3, 4, 4, 5, 5] and streams["mfcc"][1] is None
        copy = thirds(list(one.read(ids, ("copies",)))[2]["copies"][1].reshape(-1, 4))
        if one is view:
            mean, deviation = view.by_person.of(view.rows(ids[2:3]), np.array([2]))[0].reshape(2, -1)
            copy = (copy - mean) / deviation
        np.testing.assert_allclose(streams["mfcc"][9], copy, rtol=1e-4, atol=1e-5)
        wanted = regress({"mfcc": [*streams["mfcc"], *read_streams(one, asked, ("mfcc",))["mfcc"]]},
                         one.labels(ids=ids)[sources].astype(float))
        found = Baseline(("mfcc",), copies=True).predict(one, ids, one, asked)
        np.testing.assert_allclose(found["ridge"], wanted["ridge"])
        alone = Baseline(("mfcc",)).predict(one, ids, one, asked)
        assert np.abs(alone["ridge"] - found["ridge"]).max() > 1e-4, "not what was kept of the other"


def with_person_statistics_of_all(records):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_person, "LEAST", 1)
        return with_person_statistics(records, ModelConfig("eri_statistics", takes=("mfcc",), normalise_by_person=True))


def test_records_held_in_memory_give_copies_again_and_again(records):
    held = hold(records, ("mfcc", "labels"))
    for _ in range(2):
        for ids in (records.ids(), records.ids("val")):
            for one, other in zip(held.read(ids, ("mfcc", "copies")), records.read(ids, ("mfcc", "copies"))):
                np.testing.assert_array_equal(one["copies"], other["copies"])
