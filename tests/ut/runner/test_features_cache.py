# SPDX-License-Identifier: Apache-2.0
"""Cached features of a branch: whose they are, of which clips, and when they are computed again."""

import contextlib
import dataclasses
import os
import shutil

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.files import folder_lock
from mindface_eri.runner import features as module
from mindface_eri.runner.features import branch_features, extract_features, is_valid, open_features, records_hash
from mindface_eri.runner.run_folder import load_trained

HERE = Context("CPU", "pynative")


@pytest.fixture(autouse=True)
def nothing_is_compiled(graph_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture
def config(mixed_config, replace):
    return replace(mixed_config, train={"batch_size": 4})


@pytest.fixture
def run(tmp_path, config, drawn_run):
    return drawn_run(tmp_path / "run", config, 1)


def expected(run, records, split):
    mfcc = np.stack([row["mfcc"] for row in records.read(records.ids(split), ("mfcc",))])
    return load_trained(run).build().features(Tensor(mfcc)).asnumpy()


def test_each_split_has_the_features_of_its_clips_in_their_order(run, mixed_records):
    said = []
    paths = extract_features(run, splits=("val", "train"), notify=said.append)
    assert [path.name.split("-")[0] for path in paths] == ["val", "train"]
    assert {path.parent for path in paths} == {run / "features"}
    for path, split, count in zip(paths, ("val", "train"), (5, 11)):
        found = open_features(path)
        assert found.shape == (count, 4, 8) and found.dtype == np.float32 and isinstance(found, np.memmap)
        np.testing.assert_allclose(found, expected(run, mixed_records, split), atol=1e-5)
    assert said[0] == f"features of 5 val clips by the acoustic branch -> {paths[0]}"
    assert sorted(path.suffix for path in (run / "features").iterdir() if not path.name.startswith(".")) == [".npy"] * 2
    assert [path.name.split("-")[0] for path in extract_features(run, notify=said.append)] == ["train", "val"]
    assert len(said) == 2  # found again


def test_other_weights_or_records_are_never_read_by_mistake(run, config, mixed_records, drawn_run, tmp_path):
    trained = load_trained(run)
    paths = [branch_features(trained, mixed_records, "val", config, HERE, str)]
    drawn_run(run, config, 2)  # trained anew in the same folder
    other = load_trained(run)
    assert other.path == trained.path
    paths.append(branch_features(other, mixed_records, "val", config, HERE, str))
    np.testing.assert_allclose(open_features(paths[1]), expected(run, mixed_records, "val"), atol=1e-5)
    fewer = dataclasses.replace(mixed_records, hash="of another fold")
    paths.append(branch_features(other, fewer, "val", config, HERE, str))
    assert len(set(paths)) == 3 and not np.allclose(open_features(paths[0]), open_features(paths[1]))


def test_the_fingerprint_of_records_changes_with_all_that_features_come_from(mixed_records):
    ours = records_hash(mixed_records, "val")
    assert ours == records_hash(open_records(mixed_records.path), "val") and len(ours) == 16
    swapped = list(mixed_records.table)
    swapped[11], swapped[12] = swapped[12], swapped[11]
    preprocess = dataclasses.replace(mixed_records.preprocess, jpeg_quality=80)
    others = {records_hash(dataclasses.replace(mixed_records, **fields), "val") for fields in (
        {"hash": "other"}, {"table": tuple(swapped)}, {"preprocess": preprocess})}
    assert len({ours, records_hash(mixed_records, "train"), *others}) == 5
    assert records_hash(dataclasses.replace(mixed_records, table=tuple(swapped)), "train") == records_hash(
        mixed_records, "train")


def test_the_fingerprint_changes_with_the_features_that_are_read(feature_folder, tmp_path):
    records = open_records(shutil.copytree(feature_folder / "records", tmp_path / "records"))
    found = [records_hash(records, "val"), records_hash(records, "val", ("fau",))]
    shutil.rmtree(records.path / "features")
    add_features(feature_folder / "fau", records, columns=["AU02"], progress=False)
    found.append(records_hash(records, "val", ("fau",)))
    assert len(set(found)) == 3 and records_hash(records, "val") == found[0]


def test_two_processes_fill_one_file(run, config, mixed_records, monkeypatch):
    """The second does its share while the first waits for it."""
    trained, said, waits = load_trained(run), [], []

    def wait(context):
        if context.is_main:
            waits.append(context)
            if len(waits) == 2:  # the first was for the room on the disk, this one for the rows
                assert list(run.glob("features/.*.part")) and not list(run.glob("features/val*"))
                branch_features(trained, mixed_records, "val", config, Context("CPU", "pynative", 1, 2), said.append)

    monkeypatch.setattr(module, "wait_for_all", wait)
    path = branch_features(trained, mixed_records, "val", config, Context("CPU", "pynative", 0, 2), said.append)
    assert len(said) == 1 and len(waits) == 3 and not list(run.glob("features/.*.part"))
    np.testing.assert_allclose(open_features(path), expected(run, mixed_records, "val"), atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_a_full_disk_is_an_error_before_anything_is_computed(run, config, mixed_records, monkeypatch):
    asked = []

    def allocate(descriptor, offset, size):
        asked.append((offset, size, os.fstat(descriptor).st_size))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", allocate)
    with pytest.raises(OSError, match="No space left"):
        branch_features(load_trained(run), mixed_records, "val", config, HERE, str)
    assert asked == [(0, 128 + 5 * 4 * 8 * 4, 128 + 5 * 4 * 8 * 4)] and not (run / "features").exists()


@pytest.mark.parametrize("size, world, wanted", [(4, 1, 4), (64, 1, 5), (64, 2, 2), (64, 8, 1)])
def test_a_batch_is_the_recipes_but_no_more_than_a_process_has(size, world, wanted, run, config, mixed_records, replace,
                                                               monkeypatch):
    sizes = []
    monkeypatch.setattr(module.RecordBatches, "inputs", lambda self, split, count: sizes.append(count) or [])
    monkeypatch.setattr(module, "wait_for_all", lambda context: None)
    branch_features(load_trained(run), mixed_records, "val", replace(config, train={"batch_size": size}),
                    Context("CPU", "pynative", 0, world), str)
    assert sizes == [wanted]


def test_half_a_file_is_left_nowhere(run, config, mixed_records, monkeypatch):
    def fail(*_):
        raise DataError("a record is damaged")

    monkeypatch.setattr(module.RecordBatches, "inputs", fail)
    with pytest.raises(DataError, match="damaged"):
        branch_features(load_trained(run), mixed_records, "val", config, HERE, str)
    assert not (run / "features").exists()


def test_two_trainings_do_not_compute_the_same(run, config, mixed_records, monkeypatch):
    locks = []

    @contextlib.contextmanager
    def lock(path, what):
        locks.append((path, what))
        with folder_lock(path, what):
            yield

    monkeypatch.setattr(module, "folder_lock", lock)
    monkeypatch.setattr(module, "wait_for_all", lambda context: None)
    path = branch_features(load_trained(run), mixed_records, "val", config, HERE, str)
    assert locks == [(path.parent / f".{path.stem}.lock", "computing the same features")]
    branch_features(load_trained(run), mixed_records, "val", config, HERE, str)  # is there: nothing to guard
    with pytest.raises(FileNotFoundError):  # rank 0 has the lock and makes the room; others only fill it
        branch_features(load_trained(run), mixed_records, "test", config, Context("CPU", "pynative", 1, 2), str)
    assert len(locks) == 1


def test_only_whole_features_are_taken(tmp_path):
    for name, array in (("good", np.zeros((5, 4, 8), np.float32)), ("double", np.zeros((5, 4, 8))),
                        ("short", np.zeros((4, 4, 8), np.float32))):
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "text.npy").write_text("no array")
    valid = [name for name in ("good", "double", "short", "text", "gone")
             if is_valid(tmp_path / f"{name}.npy", (5, 4, 8))]
    assert valid == ["good"]


def test_a_lone_checkpoint_keeps_its_features_beside_it(run, config, mixed_records, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "setup", lambda runtime: HERE)  # without a recipe it would compile a graph
    (tmp_path / "lone").mkdir()
    file = shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "lone" / "b.ckpt")
    with pytest.raises(ConfigError, match="no records: give --data"):  # nothing says on which it was trained
        extract_features(file, notify=str)
    (path,) = extract_features(file, mixed_records.path, splits=("test",), notify=str)
    assert path.parent == tmp_path / "lone" / "features"
    np.testing.assert_allclose(open_features(path), expected(run, mixed_records, "test"), atol=1e-5)


def test_what_has_no_features_is_said(run, config, mixed_records, drawn_run, tmp_path, replace):
    with pytest.raises(DataError, match="split 'other' has no clips in these records"):
        extract_features(run, splits=("other",), notify=str)
    with pytest.raises(ConfigError, match="runtime.device is GPU"):
        extract_features(run, device="GPU", notify=str)
    dual = drawn_run(tmp_path / "dual", replace(config, model={"name": "eri_dual_branch"}), 3)
    with pytest.raises(CheckpointError, match="holds eri_dual_branch; features come from a single branch"):
        extract_features(dual, notify=str)
    other = dataclasses.replace(mixed_records, emotions=("Joy", "Fear"))
    with pytest.raises(DataError, match="the records' emotions are Joy, Fear"):
        extract_features(run, other, notify=str)


def test_other_processes_say_nothing(run, config, mixed_records, monkeypatch):
    said = []
    monkeypatch.setattr(module, "_compute", lambda *_: None)
    branch_features(load_trained(run), mixed_records, "val", config, Context("CPU", "pynative", 1, 2), said.append)
    assert said == []
    assert os.listdir(run) and not (run / "features").exists()
