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
from mindface_eri.study.results import collect, write_results
from mindface_eri.study.run import fold_folder, predictions_path

ALONE = Beside(None, notes=("no baseline beside it: it was left out",))


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
