# SPDX-License-Identifier: Apache-2.0
"""The page of a study: its score with its interval, emotions, folds and seeds, and how they came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from mindface_eri.config import to_dict
from mindface_eri.evaluation.beside import Beside, told
from mindface_eri.files import write_text
from mindface_eri.metrics import mean_pearson, pearson
from mindface_eri.report.figures import ablation_figure, scatter_figure
from mindface_eri.report.html import page, stored_picture
from mindface_eri.report.provenance import flat
from mindface_eri.report.study_figure import folds_figure
from mindface_eri.report.style import save_figure
from mindface_eri.study.plan import Study
from mindface_eri.study.results import StudyResult

RESPONSIBLE = ("A score ranks clips by how strongly a reaction is shown; it is no measurement of what a person feels. "
               "Nothing is to be decided about anybody by it, and people who are unlike those in this corpus may be "
               "served worse: score each group of yours apart (evaluate --by COLUMN).")


def write_study_page(result: StudyResult, beside: Beside) -> Path:
    """Draws the figures, writes index.html, which asks the network for nothing, and returns its path."""
    study, mean = result.study, result.rows[-1]
    figures = {name: stored_picture(path) for name, path in _draw(result, beside).items()}
    text = page(
        "study.html", title=f"{study.config.model.name} on {study.records.path.name}", chips=_chips(result),
        notes=study.notes, mean=mean, over=result.scored.over, readings=[_reading(result), *beside.said],
        rows=score_table(result, beside),
        emotions=result.rows[:-1], unit="people" if study.column else "independent clips",
        heading=f"On {'people' if study.column else 'clips'} never seen",
        seeds=[f"seed {seed}" for seed in range(study.seeds)],
        folds=[(fold, list(map(_known, values))) for fold, values in zip(result.folds, result.grid)],
        figures=figures, how=_how(study), responsible=RESPONSIBLE, facts=_facts(study))
    return write_text(study.out / "index.html", text)


def score_table(result: StudyResult, beside: Beside) -> List[Tuple[str, Optional[float]]]:
    """(who answered, mean Pearson over all clips held out), for the page and the terminal."""
    seeds = [(f"seed {seed}", _known(value)) for seed, value in enumerate(result.seeds)]
    name, folds = result.study.config.model.name, [fold["pearson"] for fold in result.folds]
    rows = [(f"{name}, mean of {len(seeds)} seeds' predictions", result.rows[-1]["Pearson"]), *seeds]
    each = None if None in folds else float(np.mean(folds))
    baselines = [(f"baseline on statistics of {told(beside.modalities)}: {run.name}",
                  _known(mean_pearson(run.predictions, run.labels))) for run in beside.baselines]
    return [*(rows if len(seeds) > 1 else [(name, seeds[0][1])]), ("each fold by itself, their mean", each),
            *baselines]


def _draw(result: StudyResult, beside: Beside) -> Dict[str, Path]:
    """Draws the figures; name -> file."""
    scored, mean, folder = result.scored, result.rows[-1], result.study.out / "figures"
    bars = {row["emotion"]: (row["Pearson"], row["low"], row["high"]) for row in result.rows
            if row["Pearson"] is not None}
    counts = [f"{fold['clips']} clips" for fold in result.folds]
    drawn = {
        "pearson": ablation_figure(bars or {"mean": (0.0, None, None)}, reference=_reference(beside),
                                   reference_name="baseline", label=f"Pearson ρ, 95% interval over {scored.over}"),
        "folds": folds_figure(result.grid, counts, float(mean["Pearson"] or 0.0), low=mean["low"], high=mean["high"]),
        "scatter": scatter_figure(scored.predictions, scored.labels, scored.emotions,
                                  title=f"{len(scored.ids)} clips held out")}
    return {name: save_figure(figure, folder / name, ("png",))[0] for name, figure in drawn.items()}


def _reference(beside: Beside) -> Dict[str, float]:
    """Of the first baseline, the one to be compared with, its correlation for each emotion and their mean."""
    if not beside.baselines:
        return {}
    run = beside.baselines[0]
    values = pearson(run.predictions, run.labels)
    named = zip((*run.emotions, "mean"), (*values, values.mean()))
    return {name: float(value) for name, value in named if np.isfinite(value)}


def _chips(result: StudyResult) -> List[str]:
    study, scored = result.study, result.scored
    people = f"{len(set(scored.groups))} people ({study.column})" if study.column else "clips taken as independent"
    return [f"{len(scored.ids)} clips", people, f"{study.folds} folds",
            f"{study.seeds} seed{'s' * (study.seeds > 1)} a fold"]


def _reading(result: StudyResult) -> str:
    """What the interval allows to say."""
    mean = result.rows[-1]
    if mean["Pearson"] is None:
        return "An emotion has no value, so that their mean has none."
    if mean["low"] is None:
        return "With so few groups there is no interval: this number may be anything on other people."
    if mean["high"] < 0:
        return ("The whole interval is below 0, worse than none: networks of different folds answer at different "
                "levels, or the labels mean something else in different people. Look at each fold by itself, below.")
    if mean["low"] <= 0:
        return ("The interval holds 0: on other people this recipe may well know nothing. More people help, more clips "
                "of the same people hardly do.")
    return (f"On other people recorded like these expect {mean['low']:.2f} to {mean['high']:.2f}. The command compare "
            "puts another recipe's study beside this one, with the interval of their difference.")


def _how(study: Study) -> List[str]:
    by = f"folds were cut so that no {study.column} stands on two sides" if study.column else \
        ("folds were cut clip by clip, taken as independent: if a person is in several clips, this score is too high")
    chosen = ("No clip chose anything: the last weights of each training were taken." if study.keeps_last else
              "The epoch of each training was chosen by a part of its own training "
              + ("people" if study.column else "clips") + ", never by those held out.")
    return [f"Every clip was predicted {'once for each seed ' if study.seeds > 1 else ''}by a network that never saw "
            f"{'its person' if study.column else 'it'}: {by}. {chosen} All clips held out are scored together, so "
            "that networks which answer at different levels count against each other; each fold by itself stands "
            "beside it.",
            "It is the score of the recipe, not of one network, and only if the recipe was not chosen by it: of ten "
            "recipes tried on the same folds the best looks better than it is. It says nothing of other cameras, "
            "rooms, languages and ages than this corpus holds."]


def _facts(study: Study) -> Dict[str, object]:
    machine = json.loads((study.out / "environment.json").read_text(encoding="utf-8"))
    config = to_dict(study.config)
    return {"records": study.records.path, "hash": study.records.hash,
            **{name: flat(config[name]) for name in ("model", "data", "train", "runtime")},
            "software": flat(machine)}


def _known(value: float) -> Optional[float]:
    return float(value) if np.isfinite(value) else None
