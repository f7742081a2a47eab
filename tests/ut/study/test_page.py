# SPDX-License-Identifier: Apache-2.0
"""What the page of a study shows and says."""

import dataclasses
import json

import numpy as np
import pytest

from mindface_eri.evaluation.beside import Beside
from mindface_eri.study import page as page_module
from mindface_eri.study.page import score_table, write_study_page
from mindface_eri.study.results import collect

ALONE = Beside(None, notes=("no baseline beside it: it was left out",))


def test_the_page_shows_what_the_scores_say(result):
    path = write_study_page(result, ALONE)
    text = path.read_text(encoding="utf-8")
    assert path == result.study.out / "index.html"
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
