# SPDX-License-Identifier: Apache-2.0
"""The baseline of a study's folds is fitted on what the networks of each learnt from, and on nothing else."""

import json

import numpy as np
import pytest

from mindface_eri.errors import MissingDependencyError
from mindface_eri.evaluation.beside import Beside
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import mean_pearson
from mindface_eri.study import beside as module
from mindface_eri.study.beside import baselines_beside
from mindface_eri.study.page import score_table, write_study_page
from mindface_eri.study.results import collect, write_results


@pytest.fixture
def asked(monkeypatch):
    """Stands for the regressions: what each was fitted on and asked for; one gives a clip's number, a softmax only in
    the first fold."""
    calls = []

    class Regressions:
        def __init__(self, modalities):
            self.modalities = modalities

        def predict(self, training, fitted_on, records, ids):
            calls.append((self.modalities, fitted_on, ids))
            values = np.array([[int(clip), -int(clip)] for clip in ids], float)
            return {"kernel ridge": values, **({"softmax": values} if len(calls) == 1 else {})}

    monkeypatch.setattr(module, "Baseline", Regressions)
    return calls


def scored_of(study):
    rows = np.flatnonzero(study.part >= 0)
    ids = tuple(study.records.table[row]["id"] for row in rows)
    return Scored("toy", ids, study.records.emotions, np.zeros((len(ids), 2)), study.records.labels(ids=ids))


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_each_fold_is_fitted_on_all_that_is_not_held_out(make, asked, schedule):
    study = make(train={"schedule": schedule})
    found = baselines_beside(study, scored_of(study))
    ids = [row["id"] for row in study.records.table]
    for fold, (modalities, fitted_on, held) in enumerate(asked):
        assert modalities == ("mfcc",)
        assert held == [clip for clip, part in zip(ids, study.part) if part == fold]
        assert sorted([*fitted_on, *held]) == ids[:31]
    assert len(asked) == 3 and [run.name for run in found.baselines] == ["kernel ridge"]
    assert found.baselines[0].predictions[:, 0].tolist() == [int(clip) for clip in ids[:31]]


def test_what_stands_in_the_way_is_a_note(make, monkeypatch):
    def missing(*_):
        raise MissingDependencyError("the baseline needs scikit-learn")

    study = make()
    monkeypatch.setattr(module, "Baseline", missing)
    found = baselines_beside(study, scored_of(study))
    assert found.said == ["no baseline beside it: the baseline needs scikit-learn"] and found.baselines == ()
    study = make(model={"name": "eri_visual"})
    monkeypatch.setattr(module, "modalities_of", lambda *_: ())
    assert "eri_visual takes, frames, " in baselines_beside(study, scored_of(study)).said[0].replace("of what ", "")


def test_its_row_stands_in_table_scores_and_page(make, fill):
    result = collect(fill(make()))
    half = Scored("kernel ridge", result.scored.ids, result.scored.emotions, result.by_seed[1], result.scored.labels)
    beside = Beside(result.scored, (half,), 20, ("mfcc",))
    rows = dict(score_table(result, beside))
    value = mean_pearson(half.predictions, half.labels)
    assert rows["baseline on statistics of sound: kernel ridge"] == pytest.approx(value)
    told = json.loads(write_results(result, beside)[1].read_text())
    assert told["baselines"][-1]["group"] == "baseline: kernel ridge" and told["beside"] == beside.said
    assert told["baselines"][-1]["Pearson"] == pytest.approx(value)
    text = write_study_page(result, beside).read_text(encoding="utf-8")
    assert f'<td>baseline on statistics of sound: kernel ridge</td><td class="number">{value:.3f}</td>' in text
    assert "better than kernel ridge" in text
