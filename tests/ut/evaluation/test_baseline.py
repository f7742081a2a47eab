# SPDX-License-Identifier: Apache-2.0
"""Kernel ridge and ridge, beside the formulas; what is read of records; what is kept beside them."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest

from mindface_eri.datasets.records import Records, open_records
from mindface_eri.errors import DataError, MissingDependencyError
from mindface_eri.evaluation import baseline as module
from mindface_eri.evaluation.baseline import Baseline, modalities_of, read_streams, regress
from mindface_eri.evaluation.statistics import exclusive, laid_on, mean_shape, thirds

pytest.importorskip("sklearn")
RANDOM = np.random.default_rng(3)
X, Y = RANDOM.normal(size=(14, 4)) * [1, 5, 0.1, 1] + 7, RANDOM.random((10, 2))
Z = (X - X[:10].mean(0)) / X[:10].std(0)


def kernel_ridge(kernel, labels=Y):
    """Of a kernel between all clips and the training clips."""
    count, mean = len(labels), labels.mean(0)
    return kernel[count:] @ np.linalg.solve(kernel[:count] + 0.3 * np.eye(count), labels - mean) + mean


def rbf(z, count=10):
    return np.exp(-0.3 / z.shape[1] * ((z[:, None] - z[None, :count]) ** 2).sum(-1))


def test_both_regressions_are_their_formulas():
    found = regress({"mfcc": list(X)}, Y)
    assert list(found) == ["kernel ridge", "ridge"]
    np.testing.assert_allclose(found["kernel ridge"], kernel_ridge(rbf(Z)), atol=1e-5)
    weights = np.linalg.solve(Z[:10].T @ Z[:10] + 10 * np.eye(4), Z[:10].T @ (Y - Y.mean(0)))
    np.testing.assert_allclose(found["ridge"], Z[10:] @ weights + Y.mean(0), atol=1e-9)


def test_modalities_are_averaged_and_what_a_clip_lacks_says_nothing():
    other = RANDOM.normal(size=(14, 3))
    missing = [1, 4, 12]
    streams = {"mfcc": list(X), "fau": [None if row in missing else value for row, value in enumerate(other)]}
    has = np.array([row not in missing for row in range(14)])
    known = other[:10][has[:10]]
    z = np.where(has[:, None], (other - known.mean(0)) / known.std(0), 0)
    kernel = (rbf(Z) + rbf(z) * np.outer(has, has[:10])) / 2
    found = regress(streams, Y)
    np.testing.assert_allclose(found["kernel ridge"], kernel_ridge(kernel), atol=1e-5)
    alone = regress({"fau": streams["fau"]}, Y)  # clip 12 has nothing at all: the mean of the labels
    np.testing.assert_allclose([alone["kernel ridge"][2], alone["ridge"][2]], [Y.mean(0)] * 2, atol=1e-6)
    unheard = regress({"mfcc": list(X), "fau": [None] * 14}, Y)  # a modality that no training clip has
    np.testing.assert_allclose(unheard["kernel ridge"], kernel_ridge(rbf(Z)), atol=1e-5)
    with pytest.raises(DataError, match="none of the 10 training clips has fau or mfcc"):
        regress({"fau": [None] * 14, "mfcc": [None] * 10 + list(X[:4])}, Y)


def test_a_feature_that_never_changes_in_training_says_nothing():
    constant = np.column_stack([X, np.full(14, 3.3)])
    constant[12, 4] = 1e9
    wide = np.column_stack([Z, np.zeros(14)])  # its width counts all the same
    np.testing.assert_allclose(regress({"mfcc": list(constant)}, Y)["kernel ridge"], kernel_ridge(rbf(wide)), atol=1e-5)


def test_landmarks_are_laid_on_the_training_clips_mean_shape():
    marks = RANDOM.normal(size=(14, 5, 68, 2)) + np.arange(68)[:, None]
    mean = mean_shape(marks[:10])
    moved = [thirds(laid_on(clip, mean).reshape(5, -1), movement=True) for clip in marks]
    by_hand, found = regress({"fau": moved}, Y), regress({"landmarks": list(marks)}, Y)
    np.testing.assert_allclose(found["kernel ridge"], by_hand["kernel ridge"], atol=1e-6)
    changed = marks.copy()
    changed[10:] *= 3  # another clip to predict is no other mean
    np.testing.assert_allclose(regress({"landmarks": list(changed)}, Y)["ridge"], found["ridge"], atol=1e-6)


def test_labels_that_exclude_each_other_get_a_softmax():
    labels = np.eye(2)[RANDOM.integers(0, 2, 10)]
    found = regress({"mfcc": list(X)}, labels)
    assert list(found) == ["kernel ridge", "ridge", "kernel ridge, softmax", "ridge, softmax"]
    np.testing.assert_array_equal(found["ridge, softmax"], exclusive(found["ridge"], labels))


def test_each_emotion_is_fitted_on_the_clips_that_it_is_known_of():
    labels = np.column_stack([Y, Y[:, 0], RANDOM.random(10)])
    labels[[2, 5], 1] = np.nan
    labels[1:, 3] = np.nan
    found, rest = regress({"mfcc": list(X)}, labels), [row for row in range(14) if row not in (2, 5)]
    for name in ("kernel ridge", "ridge"):
        whole = regress({"mfcc": list(X)}, Y)[name]
        np.testing.assert_allclose(found[name][:, [0, 2]], whole[:, [0, 0]], atol=1e-6)
        part = regress({"mfcc": list(X[rest])}, Y[rest[:8], 1:])[name]
        np.testing.assert_allclose(found[name][:, 1:2], part, atol=1e-6)
        assert not np.allclose(found[name][:, 1], whole[:, 1], atol=1e-3)
        assert (found[name][:, 3] == 0).all()


def test_a_kernel_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 9)
    assert list(regress({"mfcc": list(X)}, Y)) == ["ridge"]


def test_what_is_read_of_records(mixed_records, monkeypatch):
    """Clips without sound have none, ids keep their order, and stacks are their frames one by one."""
    ids = list(mixed_records.ids("val"))[::-1]
    streams = read_streams(mixed_records, ids, ["mfcc"])
    assert [value is None for value in streams["mfcc"]] == [clip == "00014" for clip in ids]
    record = next(mixed_records.read(ids[:1], ("mfcc",)))["mfcc"]  # (4, 8): two frames of four coefficients a stack
    np.testing.assert_allclose(streams["mfcc"][0], thirds(np.concatenate(np.split(record, 2, 1), 1).reshape(8, 4)))
    assert modalities_of(mixed_records)[-1:] == ("mfcc",) and modalities_of(mixed_records, ["frames", "fau"]) in (
        (), ("landmarks",))


def test_landmarks_are_read_where_records_hold_them(make_records, monkeypatch, tmp_path):
    marks = RANDOM.normal(size=(20, 4, 68, 2)).astype(np.float32)
    marks[2] = 0
    monkeypatch.setattr(Records, "read", lambda self, ids, columns: (
        dict.fromkeys(columns, marks[row]) for row in self.rows(ids)))
    monkeypatch.setattr(module, "holds_landmarks", lambda records: True)
    seen = ["0"] + ["1"] * 19
    records = make_records(tmp_path, columns={"present_visual": seen, "present_acoustic": ["0"] * 20})
    assert modalities_of(records) == ("landmarks",)
    streams = read_streams(records, ["00002", "00003"], ["landmarks"])
    assert streams["landmarks"][0] is None
    np.testing.assert_array_equal(streams["landmarks"][1], marks[3])


def test_feature_sets_are_a_modality(feature_folder):
    records = open_records(feature_folder / "records")
    assert modalities_of(records, ["mfcc", "fau", "present"]) == ("mfcc", "fau")
    first, second = read_streams(records, records.ids("train")[:2], ["fau"])["fau"]
    assert first is None and second.shape == (12,)


@pytest.fixture
def copy(record_folder, tmp_path):
    shutil.copytree(record_folder, tmp_path / "records", ignore=shutil.ignore_patterns("baseline"))
    return open_records(tmp_path / "records")


def test_what_was_computed_is_kept_and_found_by_what_it_is_of(copy, monkeypatch):
    train, val = copy.ids("train"), copy.ids("val")
    found = Baseline(["mfcc"]).predict(copy, train, copy, val)
    assert {name: value.shape for name, value in found.items()} == {"kernel ridge": (7, 2), "ridge": (7, 2)}
    calls, true = [], module.regress
    monkeypatch.setattr(module, "regress", lambda *asked: calls.append(1) or true(*asked))
    again = Baseline(["mfcc"]).predict(copy, train, copy, val)
    assert not calls and all(np.array_equal(again[name], found[name]) for name in found)
    for training, fitted_on, records, ids in (
            (copy, train[1:], copy, val), (copy, train, copy, val[::-1]),
            (dataclasses.replace(copy, hash="other"), train, copy, val),
            (copy, train, dataclasses.replace(copy, hash="other"), val)):
        Baseline(["mfcc"]).predict(training, fitted_on, records, ids)
    monkeypatch.setattr(module, "DEFINITION", 2)
    Baseline(["mfcc"]).predict(copy, train, copy, val)
    assert len(calls) == 5


@pytest.mark.parametrize("fault", ["cut", "empty", "shape", "nan", "folder"])
def test_a_broken_cache_is_never_believed(copy, fault):
    train, val = copy.ids("train"), copy.ids("val")
    found = Baseline(["mfcc"]).predict(copy, train, copy, val)
    path, = (copy.path / "baseline").iterdir()
    if fault == "folder":
        path.unlink()
        path.mkdir()
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        np.savez(path, **{"empty": {}, "shape": {"ridge": np.zeros((6, 2))},
                          "nan": {"ridge": np.full((7, 2), np.nan)}}[fault])
    again = Baseline(["mfcc"]).predict(copy, train, copy, val)
    assert all(np.array_equal(again[name], found[name]) for name in found)


def test_records_that_cannot_be_written_to_serve_all_the_same(copy, monkeypatch):
    def refuse(path):
        raise OSError(30, "Read-only file system", str(path))
    monkeypatch.setattr(module, "replacing", refuse)
    assert Baseline(["mfcc"]).predict(copy, copy.ids("train"), copy, copy.ids("val"))
    assert not (copy.path / "baseline").exists()


def test_clips_that_nothing_can_be_fitted_on_are_told(copy):
    for ids in ([], copy.ids("train")[:1], copy.ids("test")):  # none, one, and without labels
        with pytest.raises(DataError, match="needs two training clips, all of them labelled"):
            Baseline(["mfcc"]).predict(copy, ids, copy, copy.ids("val"))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.kernel_ridge", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mindface_eri\[baseline\]'"):
        regress({"mfcc": list(X)}, Y)


def test_a_kernel_that_does_not_fit_for_one_emotion_answers_for_none(monkeypatch):
    labels = Y.copy()
    labels[:len(Y) // 2, 0] = np.nan  # few clips know the first
    monkeypatch.setattr(module, "LARGEST", len(Y) - 1)
    assert list(regress({"mfcc": list(X)}, labels)) == ["ridge"]
