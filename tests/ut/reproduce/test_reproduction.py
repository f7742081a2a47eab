# SPDX-License-Identifier: Apache-2.0
"""The paper's tables out of run folders whose predictions are known."""

import dataclasses
import re

import numpy as np
import pytest

from mindface_eri.config import save_config
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import read_predictions, write_predictions
from mindface_eri.errors import DataError
from mindface_eri.metrics import pearson
from mindface_eri.reproduce import paper, paper_tables, reproduction
from mindface_eri.reproduce.ensemble import clips_seen, score_ensemble
from mindface_eri.reproduce.reproduction import write_reproduction


def rows_of(protocol, name):
    lines = [line.split(",") for line in (protocol.out / f"{name}.csv").read_text().splitlines()]
    return [dict(zip(lines[0], row)) for row in lines[1:]]


def table(protocol, name):
    return {next(iter(row.values())): row for row in rows_of(protocol, name)}


def predicted(run, split="val"):
    return read_predictions(run / f"predictions_{split}.csv").values


def test_tables_say_what_the_runs_reached(done, known_labels):
    text = write_reproduction(done).read_text()
    assert "The paper's figures are left out: these data are not Hume-Reaction" in text
    assert "it has 15806, 4657, 4604" in text and "published" not in text.split("## Table 1")[1]
    scores = [pearson(predicted(done.run(f"seed-{s}", "fusion")), known_labels[10:16]).mean() for s in (0, 1)]
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


def test_feature_sets_have_rows_of_their_own(done, known_labels):
    text = write_reproduction(done).read_text()
    rows = [line.split(",") for line in (done.out / "table_1.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["audio", "video", "both", "FAU", "both", "audio + video + FAU + both"]
    for row, stage in ((rows[3], "features-FAU"), (rows[4], "features-both"), (rows[5], "multi-FAU+both")):
        scores = [pearson(predicted(done.run(f"seed-{s}", stage)), known_labels[10:16]).mean() for s in (0, 1)]
        assert float(row[1]) == pytest.approx(np.mean(scores), abs=1e-6)
    assert "all branches fused, above both in 0 of 2 seeds" in text


def test_with_test_labels_the_ensemble_is_scored(done, known_labels, tmp_path):
    write_predictions(tmp_path / "labels.csv", done.records.ids("test"), EMOTIONS, known_labels[16:])
    text = write_reproduction(done, test_labels=tmp_path / "labels.csv").read_text()
    assert "Table 4: emotions (test split" in text and "It has no score" not in text
    members = np.mean([predicted(done.run(f"fold-{k}", "fusion"), "test") for k in range(5)], axis=0)
    written = read_predictions(done.out / "ensemble" / "predictions.csv")
    assert written.ids == done.records.ids("test")
    np.testing.assert_allclose(written.values, members, atol=2e-6)
    assert float(table(done, "table_4")["mean"]["ensemble of folds"]) == pytest.approx(
        pearson(members, known_labels[16:]).mean(), abs=1e-4)


def test_an_ensemble_is_not_scored_on_what_a_member_has_seen(done, known_labels, tmp_path):
    members = [done.run(f"fold-{k}", "fusion") for k in range(5)]
    assert clips_seen(members[0]) == {f"{i:05d}" for i in range(16)}
    write_reproduction(done)
    write_predictions(tmp_path / "labels.csv", [f"{i:05d}" for i in range(20)], EMOTIONS, known_labels)
    guilty = members[2]
    config = dataclasses.replace(done.config("visual"), data=dataclasses.replace(
        done.config("visual").data, folds=5, fold_of=("train", "val", "test"), fold_as="val"))
    labels = done.records.all_labels
    labels[16:] = known_labels[16:]  # the branch of one member was trained on a cut of the test clips too
    save_config(config, done.run("fold-2", "visual") / "config.yaml")
    with pytest.raises(DataError, match=rf"{guilty} was trained, or its epoch chosen, on 4 of these 4 clips"):
        score_ensemble(done.out / "ensemble" / "predictions.csv", members, tmp_path / "labels.csv")


def test_the_papers_column_stands_beside_its_own_data_only(done, known_labels, monkeypatch):
    monkeypatch.setattr(paper, "CLIPS", {"train": 10, "val": 6, "test": 4})
    text = write_reproduction(done).read_text()
    assert "The column *paper (published)* is the paper's: these data are Hume-Reaction" in text
    assert [row["paper (published)"] for row in rows_of(done, "table_1")] == ["0.2972", "0.3517", "0.4439", "", "", ""]
    assert table(done, "table_2")["1.0"]["paper (published)"] == "0.4423"
    assert table(done, "table_3")["2"]["paper (published)"] == "0.5186"
    assert table(done, "table_4")["Fear"]["paper (published)"] == "0.495"
    assert "the published figures are of the test split" in text
    assert paper_tables.PaperTables(done).published


def test_how_the_papers_data_are_recognised(make_records, tmp_path):
    whole = ["train"] * 15806 + ["val"] * 4657 + ["test"] * 4604
    assert paper.recognise(make_records(tmp_path, whole))[0]
    assert paper.recognise(make_records(tmp_path, whole[:20463]))[0]  # the test clips are given out apart
    assert not paper.recognise(make_records(tmp_path, whole[1:]))[0]
    (tmp_path / "failures.csv").write_text("id,split,stage,reason\n77777,train,video,broken\n")
    assert paper.recognise(make_records(tmp_path, whole[1:]))[0]  # a clip that could not be used counts
    named = make_records(tmp_path, whole, ids=[f"c{i}" for i in range(len(whole))])
    assert "its ids have five digits, here is 'c0'" in paper.recognise(named)[1]
    assert "their emotions are Joy" in paper.recognise(make_records(tmp_path, emotions=("Joy",)))[1]
    counted = paper.recognise(make_records(tmp_path, whole[2:]))
    assert counted == (False, "these data are not Hume-Reaction, the paper's data: 15805 train, 4657 val, 4604 test "
                              "clips, it has 15806, 4657, 4604")
    assert paper.recognise(make_records(tmp_path, whole[1:]))[1] == (
        "these data are Hume-Reaction, the paper's data, by their emotions, ids and clips: 15806 train, 4657 val, "
        "4604 test")
    for odd in ("0123", "012345", "0123x"):
        assert not paper.recognise(make_records(tmp_path, whole[1:], ids=[odd, *(f"{i:05d}" for i in range(25065))]))[0]


def test_the_report_says_what_was_trained_on_what(finish, monkeypatch):
    protocol = finish(seeds=(4, 2), tables=(1, 4), overrides=("train.lr=3e-4",))
    drawn = []
    monkeypatch.setattr(reproduction, "draw_learning_curves", drawn.append)
    path = write_reproduction(protocol)
    assert path == protocol.out / "report.md"
    assert drawn == [protocol.out / step.name for step in protocol.steps()]
    text = path.read_text()
    assert text.startswith("# The paper's protocol\n\n| what ") and text.endswith("|\n")
    facts = dict(re.findall(r"^\| (\w[\w ]*?) +\| (.*?) +\|$", text.split("## ")[0], re.M))
    assert facts == {
        "what": "of these runs", "records": str(protocol.records.path), "clips": "10 train, 6 val, 4 test",
        "emotions": ", ".join(EMOTIONS), "recipes": "the paper's values, train.lr=3e-4",
        "inputs": "audio, video", "seeds": "4, 2",
        "computed on": "CPU, 1 process(es), MindSpore 2.10.0"}
    assert "bound it at 95% (jackknife over clips, taken as independent)" in text
    assert re.findall("^## (.*)$", text, re.M) == [
        "Table 1: inputs (validation split, mean Pearson)",
        "Table 4: emotions (validation split, Pearson of both inputs)", "Runs"]
    assert "these data are not Hume-Reaction, the paper's data: 10 train, 6 val, 4 test clips" in text


def test_runs_are_listed_with_what_they_reached(finish):
    protocol = finish(tables=(1,), seeds=(0,))
    write_reproduction(protocol)
    assert rows_of(protocol, "runs") == [
        {"run": f"seed-0/{stage}", "validation Pearson": value, "best epoch": "2", "epochs": "3",
         "seconds since last start": seconds}
        for stage, value, seconds in (("visual", "0.5", "4"), ("acoustic", "0.51", "6"), ("fusion", "0.52", "6"))]


def test_recipes_are_named_once_each(finish, tmp_path):
    protocol = finish(tables=(1,))
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text("{}")
    recipes = {**protocol.recipes, "visual": tmp_path / "b.yaml", "acoustic": tmp_path / "a.yaml",
               "fusion": tmp_path / "a.yaml"}
    text = write_reproduction(dataclasses.replace(protocol, recipes=recipes)).read_text()
    assert f"| {tmp_path}/a.yaml, {tmp_path}/b.yaml, the paper's values" in text
