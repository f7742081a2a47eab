# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""The paper's tables out of run folders whose predictions are known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import PreprocessConfig, save_config
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.predictions import read_predictions, write_predictions
from mindface_eri.datasets.records import Records
from mindface_eri.errors import DataError
from mindface_eri.metrics import pearson
from mindface_eri.report import ensemble, paper, paper_tables, reproduction, runs
from mindface_eri.report.ensemble import clips_seen, score_ensemble
from mindface_eri.report.reproduction import write_reproduction
from mindface_eri.runner.protocol import Protocol, choose_recipes

LABELS = np.random.default_rng(1).random((20, 7)).astype(np.float32)
SPLITS = ["train"] * 10 + ["val"] * 6 + ["test"] * 4


def make_records(path, splits=None, ids=None, emotions=EMOTIONS):
    splits = SPLITS if splits is None else splits
    ids = [f"{i:05d}" for i in range(len(splits))] if ids is None else ids
    table = tuple({"id": name, "split": split} for name, split in zip(ids, splits))
    labels = np.full((len(splits), len(emotions)), np.nan, np.float32)
    for row in range(min(len(splits), 20)):
        labels[row] = np.nan if splits[row] == "test" else LABELS[row, :len(emotions)]
    return Records(Path(path), emotions, PreprocessConfig(), "hash", table, (), labels, np.zeros(1), np.ones(1))


@pytest.fixture
def done(tmp_path, monkeypatch):
    """A protocol with two seeds whose every step is done: predictions are the labels plus a noise of their own."""
    records = make_records(tmp_path / "records")
    for place in (runs, ensemble):
        monkeypatch.setattr(place, "open_records", lambda path: records)
    monkeypatch.setattr(reproduction, "draw_learning_curves", lambda run: None)
    records.path.mkdir()
    protocol = Protocol(tmp_path / "out", records, choose_recipes([]), seeds=(0, 1), sets=("FAU", "both"))
    for number, step in enumerate(protocol.steps()):
        run = protocol.out / step.name
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "best.ckpt").touch()
        save_config(step.config, run / "config.yaml")
        (run / "environment.json").write_text('{"device": "CPU", "processes": 1, "mindspore": "2.10.0"}')
        (run / "done.json").write_text('{"val_pearson": 0.5, "best_epoch": 2, "epochs": 3, "seconds": 4.5}')
        (run / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 0.1, "val_pearson": 0.5, "lr": 1e-4}) + "\n")
        splits = fold_splits(records, step.config.data)
        for split in ("val", "test") if step.predicts_test else ("val",):
            rows = [row for row, name in enumerate(splits) if name == split]
            spread = 0.1 if "fusion" in step.name else 0.5
            noise = np.random.default_rng(number).random((len(rows), 7))
            write_predictions(run / f"predictions_{split}.csv", [records.table[row]["id"] for row in rows], EMOTIONS,
                              (1 - spread) * LABELS[rows] + spread * noise)
    return protocol


def rows_of(protocol, name):
    lines = [line.split(",") for line in (protocol.out / f"{name}.csv").read_text().splitlines()]
    return [dict(zip(lines[0], row)) for row in lines[1:]]


def table(protocol, name):
    return {next(iter(row.values())): row for row in rows_of(protocol, name)}


def predicted(run, split="val"):
    return read_predictions(run / f"predictions_{split}.csv").values


def test_tables_say_what_the_runs_reached(done):
    text = write_reproduction(done, draws=50).read_text()
    assert "The paper's figures are left out: these data are not Hume-Reaction" in text
    assert "it has 15806, 4657, 4604" in text and "published" not in text.split("## Table 1")[1]
    scores = [pearson(predicted(done.run(f"seed-{s}", "fusion")), LABELS[10:16]).mean() for s in (0, 1)]
    both = next(row for row in rows_of(done, "table_1") if row["input"] == "both")
    assert float(both["mean Pearson"]) == pytest.approx(np.mean(scores), abs=1e-6)
    assert float(both["deviation"]) == pytest.approx(abs(scores[0] - scores[1]) / 2 ** 0.5, abs=1e-6)
    assert float(both["seed 1"]) == pytest.approx(scores[1], abs=1e-6)
    assert float(both["low"]) <= float(both["mean Pearson"]) <= float(both["high"])
    assert "Both is above audio alone and video alone in 2 of 2 seeds." in text
    assert list(table(done, "table_2")) == ["1.0", "0.9", "0.8"]
    assert table(done, "table_2")["0.9"]["mean Pearson"] == both["mean Pearson"]
    folds = table(done, "table_3")
    assert sum(int(folds[str(k)]["clips"]) for k in range(1, 6)) == 16
    assert float(folds["mean"]["mean Pearson"]) == pytest.approx(
        np.mean([float(folds[str(k)]["mean Pearson"]) for k in range(1, 6)]), abs=1e-6)
    assert "On the validation split" in text and "It has no score: its members were trained" in text
    assert list(table(done, "table_4")) == [*EMOTIONS, "mean"]
    assert len(table(done, "runs")) == 2 * (5 + 3) + 5 * 3


def test_feature_sets_have_rows_of_their_own(done):
    text = write_reproduction(done, draws=5).read_text()
    rows = [line.split(",") for line in (done.out / "table_1.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["audio", "video", "both", "FAU", "both", "audio + video + FAU + both"]
    for row, stage in ((rows[3], "features-FAU"), (rows[4], "features-both"), (rows[5], "multi-FAU+both")):
        scores = [pearson(predicted(done.run(f"seed-{s}", stage)), LABELS[10:16]).mean() for s in (0, 1)]
        assert float(row[1]) == pytest.approx(np.mean(scores), abs=1e-6)
    assert "all branches fused, above both in 0 of 2 seeds" in text


def test_with_test_labels_the_ensemble_is_scored(done, tmp_path):
    write_predictions(tmp_path / "labels.csv", done.records.ids("test"), EMOTIONS, LABELS[16:])
    text = write_reproduction(done, test_labels=tmp_path / "labels.csv", draws=20).read_text()
    assert "Table 4: emotions (test split" in text and "It has no score" not in text
    members = np.mean([predicted(done.run(f"fold-{k}", "fusion"), "test") for k in range(5)], axis=0)
    written = read_predictions(done.out / "ensemble" / "predictions.csv")
    assert written.ids == done.records.ids("test")
    np.testing.assert_allclose(written.values, members, atol=2e-6)
    assert float(table(done, "table_4")["mean"]["ensemble of folds"]) == pytest.approx(
        pearson(members, LABELS[16:]).mean(), abs=1e-4)


def test_an_ensemble_is_not_scored_on_what_a_member_has_seen(done, tmp_path):
    members = [done.run(f"fold-{k}", "fusion") for k in range(5)]
    assert clips_seen(members[0]) == {f"{i:05d}" for i in range(16)}
    write_reproduction(done, draws=5)
    write_predictions(tmp_path / "labels.csv", [f"{i:05d}" for i in range(20)], EMOTIONS, LABELS)
    guilty = members[2]
    config = dataclasses.replace(done.config("visual"), data=dataclasses.replace(
        done.config("visual").data, folds=5, fold_of=("train", "val", "test"), fold_as="val"))
    labels = done.records.all_labels
    labels[16:] = LABELS[16:]  # the branch of one member was trained on a cut of the test clips too
    save_config(config, done.run("fold-2", "visual") / "config.yaml")
    with pytest.raises(DataError, match=rf"{guilty} was trained, or its epoch chosen, on 4 of these 4 clips"):
        score_ensemble(done.out / "ensemble" / "predictions.csv", members, tmp_path / "labels.csv")


def test_the_papers_column_stands_beside_its_own_data_only(done, monkeypatch):
    monkeypatch.setattr(paper, "CLIPS", {"train": 10, "val": 6, "test": 4})
    text = write_reproduction(done, draws=5).read_text()
    assert "The column *paper (published)* is the paper's: these data are Hume-Reaction" in text
    assert [row["paper (published)"] for row in rows_of(done, "table_1")] == ["0.2972", "0.3517", "0.4439", "", "", ""]
    assert table(done, "table_2")["1.0"]["paper (published)"] == "0.4423"
    assert table(done, "table_3")["2"]["paper (published)"] == "0.5186"
    assert table(done, "table_4")["Fear"]["paper (published)"] == "0.495"
    assert "the published figures are of the test split" in text
    assert paper_tables.PaperTables(done).published


def test_how_the_papers_data_are_recognised(tmp_path):
    whole = ["train"] * 15806 + ["val"] * 4657 + ["test"] * 4604
    assert paper.recognise(make_records(tmp_path, whole))[0]
    assert paper.recognise(make_records(tmp_path, whole[:20463]))[0]  # the test clips are given out apart
    assert not paper.recognise(make_records(tmp_path, whole[1:]))[0]
    (tmp_path / "failures.csv").write_text("id,split,stage,reason\n77777,train,video,broken\n")
    assert paper.recognise(make_records(tmp_path, whole[1:]))[0]  # a clip that could not be used counts
    named = make_records(tmp_path, whole, ids=[f"c{i}" for i in range(len(whole))])
    assert "its ids have five digits, here is 'c0'" in paper.recognise(named)[1]
    assert "their emotions are Joy" in paper.recognise(make_records(tmp_path, emotions=("Joy",)))[1]
