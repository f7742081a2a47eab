# SPDX-License-Identifier: Apache-2.0
"""Trainings of a study: what they see, what they choose by, what is taken up and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mindface_eri.config import load_config
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.metrics import mean_pearson
from mindface_eri.study import run as module
from mindface_eri.study.plan import plan_study
from mindface_eri.study.run import read_done, run_study


def predictions(study, fold, seed):
    return read_predictions(module.predictions_path(study, fold, seed), study.records.emotions)


def test_each_fold_leaves_its_clips_predicted_once_for_each_seed(finished):
    study = finished.study
    for fold in range(2):
        held = tuple(row["id"] for row, part in zip(study.records.table, study.part) if part == fold)
        tables = [predictions(study, fold, seed) for seed in range(2)]
        assert tables[0].ids == tables[1].ids == held
        assert np.abs(tables[0].values - tables[1].values).max() > 1e-3  # another seed, another network
        done = read_done(study, fold)
        assert [training["seed"] for training in done] == [0, 1]
        assert all(1 <= training["epoch"] <= training["epochs"] == 5 for training in done)
    assert finished.said[0] == "3 clips of split test are neither trained on nor held out (data.fold_of)"
    assert "fold 2 of 2, seed 1 of 2: " in finished.said[3] and "on people who chose it" in finished.said[3]
    score = mean_pearson(predictions(study, 0, 1).values, study.records.labels(ids=predictions(study, 0, 1).ids))
    assert f"Pearson {score:.3f}, epoch {read_done(study, 0)[1]['epoch']} " in finished.said[2]


def test_a_stopped_study_goes_on_at_its_fold_and_comes_out_alike(finished, tmp_path):
    study = dataclasses.replace(finished.study, out=shutil.copytree(finished.study.out, tmp_path / "study"))
    (study.out / "fold-2" / "done.json").unlink()
    (study.out / "fold-2" / "predictions_seed-1.csv").unlink()
    first = (study.out / "fold-1" / "predictions_seed-0.csv").stat().st_mtime_ns
    said = []
    run_study(study, notify=lambda line: said.append(line) if line[0] != " " else None)
    assert said[1] == "fold 1 of 2 is there" and len(said) == 4
    assert (study.out / "fold-1" / "predictions_seed-0.csv").stat().st_mtime_ns == first
    for seed in range(2):
        name = f"fold-2/predictions_seed-{seed}.csv"
        assert (study.out / name).read_bytes() == (finished.study.out / name).read_bytes()
    chosen = [[done[key] for key in ("epoch", "inner_pearson")] for done in read_done(study, 1)]
    assert chosen == [[done[key] for key in ("epoch", "inner_pearson")] for done in read_done(finished.study, 1)]


def test_moved_records_another_device_and_more_workers_are_the_same_study(finished, tmp_path):
    out = shutil.copytree(finished.study.out, tmp_path / "study")
    overrides = ("data.workers=1", "data.records=elsewhere", "runtime.threads=2")
    study = plan_study(finished.study.records, finished.recipe, out, folds=2, seeds=2, device="auto",
                       overrides=overrides)
    run_study(study, notify=str)


@pytest.mark.parametrize("options, said", [
    ({"overrides": ("train.lr=0.5",)}, "train.lr: 0.05 -> 0.5"), ({"seeds": 3}, "seeds: 2 -> 3"),
    ({"folds": 3}, "data.folds: 2 -> 3; cut: .*"),
    ({"by": "clip"}, "data.group: Subject -> none; cut: .*"),
    ({"overrides": ("model.dropout=0.7",)}, "model.dropout: 0.1 -> 0.7"),
    ({"records": "other"}, "records: .* -> other")])
def test_another_study_is_refused(finished, options, said):
    options, records = {"folds": 2, "seeds": 2, **options}, finished.study.records
    if options.pop("records", None):
        records = dataclasses.replace(records, hash="other")
    study = plan_study(records, finished.recipe, finished.study.out, device="CPU", **options)
    with pytest.raises(ConfigError, match=rf"holds another study \({said}\); set that back, or choose another folder"):
        run_study(study, notify=str)


def test_other_people_are_another_study(finished):
    """The records' hash does not know the column of people: folds that these cut anew hold other clips."""
    records = finished.study.records
    names = [row["Subject"] for row in records.table]
    table = tuple({**row, "Subject": name} for row, name in zip(records.table, names[5:] + names[:5]))
    study = plan_study(dataclasses.replace(records, table=table), finished.recipe, finished.study.out, device="CPU",
                       folds=2, seeds=2)
    with pytest.raises(ConfigError, match=r"holds another study \(cut: "):
        run_study(study, notify=str)


def test_a_folder_of_something_else_is_left_alone(make, tmp_path):
    study = make()
    study.out.mkdir()
    (study.out / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="study: holds something else than a study; choose another folder"):
        run_study(study, notify=str)
    (study.out / "study.json").write_text("[]")
    with pytest.raises(DataError, match="study.json: is not what `cross-validate` wrote"):
        run_study(study, notify=str)
    assert sorted(path.name for path in study.out.iterdir()) == ["study.json", "thesis.txt"]


def test_two_processes_do_not_share_a_study(make, monkeypatch):
    locks, study, true = [], make(), module.folder_lock
    monkeypatch.setattr(module, "folder_lock", lambda path, what: locks.append((path, what)) or true(path, what))
    monkeypatch.setattr(module._Work, "fold", lambda *_: None)
    run_study(study, notify=str)
    assert locks == [(study.out / ".lock", "another `cross-validate`")]
    monkeypatch.setattr(module, "launched", lambda: (0, 2))
    with pytest.raises(ConfigError, match="cross-validate works in one process; start it without msrun"):
        run_study(study, notify=str)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"trainings": [{"seed": 0}]}', '{"trainings": 3}',
                                     '{"trainings": [{"seed": 1}, {"seed": 0}]}'])
def test_a_fold_that_is_not_whole_is_not_done(finished, tmp_path, content):
    study = dataclasses.replace(finished.study, out=shutil.copytree(finished.study.out, tmp_path / "study"))
    assert len(read_done(study, 1)) == 2
    (study.out / "fold-2" / "done.json").write_text(content)
    assert read_done(study, 1) == []
    (study.out / "fold-1" / "predictions_seed-1.csv").unlink()
    assert read_done(study, 0) == []


def test_the_environment_and_the_recipe_are_kept(finished):
    kept = load_config(finished.study.out / "config.yaml")
    assert kept.data == finished.study.config.data and kept.train == finished.study.config.train
    assert json.loads((finished.study.out / "environment.json").read_text())["device"] == "CPU"


def test_the_recipe_that_is_kept_takes_clips_apart_as_the_records_did(make, people, monkeypatch):
    audio = dataclasses.replace(people.preprocess.audio, silence=0.125)
    records = dataclasses.replace(people, preprocess=dataclasses.replace(people.preprocess, audio=audio))
    monkeypatch.setattr(module._Work, "fold", lambda *_: None)
    study = make(records=records)
    run_study(study, notify=str)
    kept = load_config(study.out / "config.yaml")
    assert kept.preprocess == records.preprocess != study.config.preprocess
