# SPDX-License-Identifier: Apache-2.0
"""What cross-validate makes of its options, and in which order it works."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mindface_eri.errors import DataError
from mindface_eri.evaluation.scores import HEADERS

ROW = {**dict.fromkeys(HEADERS), "emotion": "mean", "Pearson": 0.25, "note": "a note"}


@pytest.fixture
def job(stand_in, tmp_path):
    """A folder of records and a recipe, and what is called to plan, train, collect and write."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "dataset.json").write_text("{}")
    (tmp_path / "recipe.yaml").write_text("train: {lr: 0.5}\n")
    result = SimpleNamespace(rows=[ROW], scored=SimpleNamespace(name="study", over="9 groups by Subject"))
    room = "mindface_eri.study"
    return SimpleNamespace(
        words=["cross-validate", tmp_path / "r", "--config", tmp_path / "recipe.yaml", "--out", tmp_path / "study"],
        result=result, opened=stand_in("mindface_eri.datasets.records.open_records", "records"),
        plans=stand_in(f"{room}.plan.plan_study", "plan"), runs=stand_in(f"{room}.run.run_study"),
        collected=stand_in(f"{room}.results.collect", result),
        written=stand_in(f"{room}.results.write_results", (Path("held_out.csv"), Path("scores.json"))),
        beside=stand_in(f"{room}.beside.baselines_beside", SimpleNamespace(said=["It is better."])),
        pages=stand_in(f"{room}.page.write_study_page", Path("index.html")),
        tables=stand_in(f"{room}.page.score_table", [("seed 0", 0.5)]))


def test_without_options_by_person_with_three_seeds(job, status, tmp_path):
    code, out, _ = status(*job.words)
    assert code == 0 and job.opened == [{"path": tmp_path / "r"}]
    assert job.plans == [{"records": "records", "recipe": tmp_path / "recipe.yaml", "out": tmp_path / "study",
                          "overrides": [], "folds": None, "by": "person", "seeds": 3, "device": None}]
    assert job.runs[0]["study"] == job.collected[0]["study"] == "plan"
    assert job.beside == [{"study": "plan", "scored": job.result.scored}] and "\nIt is better.\n" in out
    assert job.written[0]["result"] == job.pages[0]["result"] == job.tables[0]["result"] == job.result
    assert "| seed 0       |       0.5000 |" in out
    assert f"{tmp_path / 'study'}, held out: intervals at 95% by the jackknife over 9 groups by Subject\n| emo" in out
    assert out.endswith("\nwrote index.html, held_out.csv, scores.json\n")


def test_each_option_reaches_the_plan(job, status):
    status(*job.words, "--folds", "4", "--by", "Room", "--seeds", "2", "--set", "train.epochs=3", "--device", "CPU")
    plan = job.plans[0]
    assert (plan["folds"], plan["by"], plan["seeds"], plan["overrides"], plan["device"]) == (
        4, "Room", 2, ["train.epochs=3"], "CPU")


def test_the_baseline_can_be_left_out(job, status):
    assert "It is better." not in status(*job.words, "--no-baseline")[1] and not job.beside
    assert job.written[0]["beside"].baselines == () and job.pages[0]["beside"].said == []


def test_a_data_set_is_preprocessed_first_as_the_recipe_says(job, status, stand_in, tmp_path):
    calls = stand_in("mindface_eri.datasets.build.preprocessing.preprocess_dataset", SimpleNamespace(failed=0, total=9))
    words = [tmp_path / "clips" if word == tmp_path / "r" else word for word in job.words]
    status(*words, "--set", "preprocess.jpeg_quality=70", "--workers", "5")
    assert (calls[0]["root"], calls[0]["out"]) == (tmp_path / "clips", tmp_path / "study" / "records")
    assert (calls[0]["config"].jpeg_quality, calls[0]["workers"]) == (70, 5)
    assert job.opened == [{"path": tmp_path / "study" / "records"}]


def test_a_recipe_and_a_folder_are_needed(job, status):
    assert status(*job.words[:4])[0] == status(*job.words[:2], *job.words[4:])[0] == 2


def test_what_is_wrong_is_a_sentence(job, status, stand_in):
    stand_in("mindface_eri.study.plan.plan_study", DataError("3 people do not fill 5 folds"))
    code, _, shown = status(*job.words)
    assert code == 1 and shown == "mindface-eri cross-validate: error: 3 people do not fill 5 folds\n" and not job.runs
