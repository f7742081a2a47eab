# SPDX-License-Identifier: Apache-2.0
"""What a study says, out of folds whose predictions are known."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from mindface_eri.errors import DataError
from mindface_eri.evaluation.beside import Beside
from mindface_eri.evaluation.compare import compare
from mindface_eri.evaluation.runs import evaluate_run, is_study, read_scored
from mindface_eri.metrics import Jackknife, pearson
from mindface_eri.study import page as page_module
from mindface_eri.study.page import score_table, write_study_page
from mindface_eri.study.results import collect, write_results
from mindface_eri.study.run import fold_folder, predictions_path

ALONE = Beside(None, notes=("no baseline beside it: it was left out",))


@pytest.fixture
def result(make, fill):
    return collect(fill(make()))


def test_every_clip_has_the_mean_of_its_seeds_beside_its_label(result):
    study, scored = result.study, result.scored
    assert scored.ids == tuple(row["id"] for row in study.records.table[:31])
    np.testing.assert_allclose(scored.predictions, result.by_seed.mean(0))
    np.testing.assert_allclose(scored.labels, study.records.all_labels[:31], rtol=1e-6)
    assert result.parts.tolist() == study.part[:31].tolist()
    assert scored.group == "Subject" and scored.over == "9 groups by Subject"


def test_scores_are_of_all_clips_together_and_of_each_fold_and_seed(result):
    labels = result.scored.labels
    np.testing.assert_allclose(result.seeds, [pearson(seed, labels).mean() for seed in result.by_seed])
    for fold in range(3):
        rows = result.parts == fold
        np.testing.assert_allclose(result.grid[fold], [pearson(seed[rows], labels[rows]).mean()
                                                       for seed in result.by_seed])
        told = result.folds[fold]
        assert told["pearson"] == pytest.approx(pearson(result.scored.predictions[rows], labels[rows]).mean())
        assert (told["fold"], told["clips"], told["people"]) == (fold + 1, rows.sum(), 3)
    mean, jackknife = result.rows[-1], Jackknife(result.scored.predictions, labels, result.study.people[:31])
    low, high = jackknife.interval()
    assert (mean["emotion"], mean["clips"], mean["over"]) == ("mean", 31, "Subject: 9")
    assert (mean["Pearson"], mean["low"], mean["high"]) == pytest.approx((jackknife.values[-1], low[-1], high[-1]))


def test_the_table_is_read_by_evaluate_and_compare(result, tmp_path, people):
    held, scores = write_results(result, ALONE)
    with open(held, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["File_ID", "fold", "person", "Amusement", "Fear"] and len(rows) == 31
    assert [(row["File_ID"], int(row["fold"]) - 1, row["person"]) for row in rows] == [
        (f"[{i:05d}]", result.parts[i], f"P{i % 9}") for i in range(31)]
    labels = tmp_path / "labels.csv"
    lines = ["File_ID,Split,Amusement,Fear,Subject"]
    lines += [f"[{row['id']}],train,{values[0]},{values[1]},{row['Subject'][1:]}"  # people named by numbers
              for row, values in zip(people.table[:31], people.all_labels)]
    labels.write_text("\n".join(lines))
    held.write_text(held.read_text().replace(",P", ","))
    scored = read_scored(held, labels=labels)
    assert scored.emotions == ("Amusement", "Fear") and scored.over == "9 groups by Subject"
    assert pearson(scored.predictions, scored.labels).mean() == pytest.approx(result.rows[-1]["Pearson"], abs=1e-5)
    again = evaluate_run(result.study.out, labels=labels)  # without a network
    assert is_study(result.study.out) and again.name == "study"
    table = compare([scored, dataclasses.replace(again, predictions=again.predictions[:, ::-1])])
    assert table.clips == 31
    told = json.loads(scores.read_text())
    assert told["pooled"]["mean"]["Pearson"] == pytest.approx(result.rows[-1]["Pearson"])
    assert [(t["fold"], t["seed"], t["epoch"]) for t in told["trainings"]] == [
        (fold, seed, 3) for fold in (1, 2, 3) for seed in (0, 1)]
    assert told["trainings"][3]["pearson"] == pytest.approx(result.grid[1, 1])
    assert (told["clips"], told["by"], told["over"]) == (31, "Subject", "9 groups by Subject")
    assert [seed["pearson"] for seed in told["seeds"]] == pytest.approx(list(result.seeds))


def test_a_studys_own_records_tell_labels_and_people(finished, tmp_path, monkeypatch):
    """In a study that ran, no table of labels is needed; the records in its recipe name them."""
    from mindface_eri.evaluation import runs

    monkeypatch.setattr(runs, "open_records", lambda path: finished.study.records)
    write_results(collect(finished.study), ALONE)
    scored = read_scored(finished.study.out)
    assert scored.over == "9 groups by Subject" and len(scored.ids) == 31 and scored.notes == ()


def test_a_study_that_is_not_whole_has_no_score(make, fill):
    study = fill(make())
    (fold_folder(study, 1) / "done.json").unlink()
    with pytest.raises(DataError, match="fold 2 is not done; run `mindface-eri cross-validate` again"):
        collect(study)
    study = fill(make(out=study.out.with_name("other")))
    path = predictions_path(study, 2, 1)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="fold 3 does not hold the clips of its part"):
        collect(study)


def test_a_fold_of_other_clips_has_no_score(make, fill):
    study = fill(make())
    first, second = (predictions_path(study, fold, 0) for fold in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="fold 2 does not hold the clips of its part"):
        collect(study)


def test_the_page_shows_what_the_scores_say(result):
    text = write_study_page(result, ALONE).read_text(encoding="utf-8")
    mean = result.rows[-1]
    assert f"<b>{mean['Pearson']:.3f}</b>" in text and f"{mean['low']:.3f} to {mean['high']:.3f}" in text
    assert "<title>toy_study on records</title>" in text and "31 clips" in text and "9 people (Subject)" in text
    for row in result.grid:
        assert all(f'<td class="number">{value:.3f}</td>' in text for value in row)
    assert text.count("data:image/png;base64,") == 3 and "<script" not in text and "script-src" not in text
    assert "On people never seen" in text
    assert "no Subject stands on two sides" in text and "the last weights of each training were taken" in text
    assert "Nothing is to be decided about anybody by it" in text
    assert "3 clips of split test are neither trained on nor held out" in text
    assert "no baseline beside it: it was left out" in text
    assert {path.name for path in (result.study.out / "figures").iterdir()} == {
        "pearson.png", "folds.png", "scatter.png"}


def test_the_page_says_how_folds_were_cut_and_epochs_chosen(make, fill, monkeypatch):
    monkeypatch.setattr(page_module, "_draw", lambda *_: {})
    monkeypatch.setattr(page_module, "page", lambda template, **shown: json.dumps(shown, default=str))

    def told(study):
        return json.loads(write_study_page(collect(fill(study)), ALONE).read_text())

    clips = told(make(by="clip", train={"schedule": "plateau"}, seeds=1))
    assert "if a person is in several clips, this score is too high" in clips["how"][0]
    assert "chosen by a part of its own training clips, never by those held out" in clips["how"][0]
    assert clips["heading"] == "On clips never seen"
    assert clips["unit"] == "independent clips" and clips["chips"][1] == "clips taken as independent"
    assert [name for name, _ in clips["rows"]] == ["toy_study", "each fold by itself, their mean"]
    people = told(make(out=make().out.with_name("other"), train={"schedule": "plateau"}))
    assert "chosen by a part of its own training people" in people["how"][0]
    assert [name for name, _ in people["rows"]] == ["toy_study, mean of 2 seeds' predictions", "seed 0", "seed 1",
                                                    "each fold by itself, their mean"]


def test_rows_of_the_table_are_the_scores(result):
    rows = dict(score_table(result, ALONE))
    assert rows["seed 1"] == pytest.approx(result.seeds[1])
    assert rows["each fold by itself, their mean"] == pytest.approx(np.mean([fold["pearson"] for fold in result.folds]))
    assert rows["toy_study, mean of 2 seeds' predictions"] == result.rows[-1]["Pearson"]


@pytest.mark.parametrize("mean, said", [
    ({"Pearson": 0.4, "low": 0.2, "high": 0.6}, "expect 0.20 to 0.60"),
    ({"Pearson": 0.1, "low": -0.1, "high": 0.3}, "may well know nothing"),
    ({"Pearson": -0.3, "low": -0.5, "high": -0.1}, "worse than none"),
    ({"Pearson": 0.4, "low": None, "high": None}, "there is no interval"),
    ({"Pearson": None, "low": None, "high": None}, "has no value")])
def test_what_the_interval_allows_to_say(result, mean, said):
    assert said in page_module._reading(dataclasses.replace(result, rows=[mean]))


def test_a_network_that_always_says_the_same_has_a_page_too(make, fill):
    result = collect(fill(make(), flat=True))
    assert result.rows[-1]["Pearson"] == 0.0 and (result.grid == 0).all()
    assert "constant predictions" in write_study_page(result, ALONE).read_text(encoding="utf-8")
