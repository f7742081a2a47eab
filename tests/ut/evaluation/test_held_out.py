# SPDX-License-Identifier: Apache-2.0
"""The baseline on splits and on folds: who is fitted, who is scored, and that nobody is both."""

import numpy as np
import pytest

from mindface_eri.errors import DataError
from mindface_eri.evaluation import held_out as module
from mindface_eri.evaluation.held_out import HeldOut, heading, score_folds, score_splits, shown
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import Jackknife, pearson

PEOPLE = [f"s{i // 2}" for i in range(20)]


@pytest.fixture
def calls(monkeypatch):
    """Stands for the regressions: the label of each clip, turned about for one of two; notes what it was asked."""
    noted = []

    def predict(self, training, fitted_on, records, ids):
        noted.append((self.modalities, list(fitted_on), list(ids)))
        labels = np.nan_to_num(records.labels(ids=ids)).astype(float)
        return {"first": labels, "second, softmax": -labels + len(fitted_on)}

    monkeypatch.setattr(module.Baseline, "predict", predict)
    there = {"frames": "landmarks", "landmarks": "landmarks", "mfcc": "mfcc"}
    monkeypatch.setattr(module, "modalities_of", lambda records, names: tuple(there[n] for n in names if n in there))
    return noted


@pytest.fixture
def records(make_records, tmp_path):
    return make_records(tmp_path, columns={"Subject": PEOPLE})


def test_the_training_split_is_fitted_and_the_others_are_scored(records, calls):
    found = score_splits(records)
    train, val = list(records.ids("train")), list(records.ids("val"))
    assert calls == [((names), train, val) for names in (("landmarks",), ("mfcc",), ("landmarks", "mfcc"))]
    assert len(found) == 6 and {one.where for one in found} == {"val"}  # the test split has no labels
    row = found[4].row()
    assert (row["statistics of"], row["regression"], row["scored on"]) == ("landmarks and sound", "first", "val")
    assert (row["mean Pearson"], row["clips"], row["people"], row["mean of folds"]) == (pytest.approx(1), 6, 3, None)
    assert found[5].row()["mean Pearson"] == pytest.approx(-1)
    assert shown(found) == [name for name in module.HEADERS if name != "mean of folds"]
    said = heading(found).splitlines()
    assert said[0] == "Intervals at 95% by the jackknife over 3 groups by Subject (val)"
    assert said[1].startswith("In no training clip is more than one emotion acted")


def test_every_clip_is_held_out_once_and_nobody_stands_on_two_sides(records, calls):
    found = score_folds(records, 4, modalities=["mfcc"])
    assert len(calls) == 4 and len(found) == 2
    person = dict(zip(records.ids(), PEOPLE))
    for names, fitted_on, ids in calls:
        assert names == ("mfcc",) and not set(fitted_on) & set(ids)
        assert not {person[clip] for clip in fitted_on} & {person[clip] for clip in ids}
    assert sorted(clip for *_, ids in calls for clip in ids) == sorted(records.ids("train") + records.ids("val"))
    assert (found[0].row()["scored on"], found[0].row()["clips"], found[0].row()["people"]) == ("4 folds", 16, 8)
    np.testing.assert_allclose(found[0].scored.predictions, found[0].scored.labels)  # each at its own place
    calls.clear()
    score_folds(records, 2, by="none", modalities=["mfcc"], pool=["val"], seed=1)
    assert sorted(clip for *_, ids in calls for clip in ids) == sorted(records.ids("val"))


def test_a_row_has_the_pooled_score_its_interval_and_the_mean_of_folds():
    random = np.random.default_rng(0)
    predictions, labels = random.random((8, 1)), random.random((8, 1))
    people, part = tuple("aabbccdd"), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    row = HeldOut(("mfcc",), "2 folds", Scored("ridge", tuple("abcdefgh"), ("Joy",), predictions, labels,
                                               {"Who": people}, group="Who"), part).row()
    low, high = Jackknife(predictions, labels, people).interval()
    assert (row["low"], row["high"], row["people"]) == (pytest.approx(low[-1]), pytest.approx(high[-1]), 4)
    assert row["mean Pearson"] == pytest.approx(pearson(predictions, labels)[0])
    halves = [pearson(predictions[s], labels[s])[0] for s in (slice(0, 4), slice(4, 8))]
    assert row["mean of folds"] == pytest.approx(np.mean(halves))


def test_what_cannot_be_done_is_told(records, make_records, calls, monkeypatch, tmp_path):
    with pytest.raises(DataError, match="no column 'Wer'"):
        score_folds(records, 2, by="Wer")
    with pytest.raises(DataError, match="8 groups cannot fill 9 folds"):
        score_folds(records, 9)
    with pytest.raises(DataError, match="needs labelled clips in train and in test"):
        score_splits(records, ["test"])
    with pytest.raises(DataError, match="0 labelled clips in test; folds need more"):
        score_folds(records, 2, pool=["test"])
    with pytest.raises(DataError, match="holds no fau; there are landmarks, mfcc"):
        score_splits(records, modalities=["mfcc", "fau"])
    assert calls == []
    row = score_splits(make_records(tmp_path))[0].row()  # nobody is named
    assert row["people"] is None and row["clips"] == 6
