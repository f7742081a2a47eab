# SPDX-License-Identifier: Apache-2.0
"""What a finished study says: held-out predictions, their scores, and how far folds and seeds lie apart."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

from mindface_eri.datasets.labels import bracketed
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.errors import DataError
from mindface_eri.evaluation.beside import Beside
from mindface_eri.evaluation.runs import HELD_OUT, Scored
from mindface_eri.evaluation.scores import score_rows
from mindface_eri.files import write_json, write_text
from mindface_eri.metrics import mean_pearson
from mindface_eri.study.plan import Study
from mindface_eri.study.run import predictions_path, read_done

SCORES = "scores.json"


@dataclass(frozen=True)
class StudyResult:
    """Every clip predicted by networks that never saw its person.

    Attributes:
        scored: the mean over seeds beside the labels, all folds pooled, in the order of the records.
        parts: (N,) the fold of each clip, from 0.
        by_seed: (S, N, E) what each seed's trainings predicted.
        rows: of `score_rows`: one an emotion, then their mean, with intervals by person.
        seeds: (S,) mean Pearson of each seed, all folds pooled.
        grid: (F, S) mean Pearson of each training on the clips that it was held from.
        trainings: F lists of S, what `done.json` says.
    """

    study: Study
    scored: Scored
    parts: np.ndarray
    by_seed: np.ndarray
    rows: List[dict]
    seeds: np.ndarray
    grid: np.ndarray
    trainings: List[List[dict]]

    @property
    def folds(self) -> List[dict]:
        """A row a fold: clips, people, and mean Pearson of the mean over seeds."""
        study, found = self.study, []
        for fold in range(study.folds):
            rows = np.flatnonzero(self.parts == fold)
            held = self.scored.take(rows)
            found.append({"fold": fold + 1, "clips": len(rows), "people": len(set(held.groups)),
                          "pearson": _finite(mean_pearson(held.predictions, held.labels))})
        return found


def collect(study: Study) -> StudyResult:
    """Reads what the folds left.

    Raises:
        DataError: a fold is not done, or does not hold the clips of its part.
    """
    rows = np.flatnonzero(study.part >= 0)
    ids = [study.records.table[row]["id"] for row in rows]
    place = {clip: number for number, clip in enumerate(ids)}
    values = np.full((study.seeds, len(rows), len(study.records.emotions)), np.nan)
    trainings = [read_done(study, fold) for fold in range(study.folds)]
    for fold, done in enumerate(trainings):
        if not done:
            raise DataError(f"{study.out}: fold {fold + 1} is not done; run `mindface-eri cross-validate` again")
        for seed in range(study.seeds):
            table = read_predictions(predictions_path(study, fold, seed), study.records.emotions)
            if set(table.ids) != {ids[number] for number in np.flatnonzero(study.part[rows] == fold)}:
                raise DataError(f"{study.out}: fold {fold + 1} does not hold the clips of its part; choose another "
                                "folder")
            values[seed, [place[clip] for clip in table.ids]] = table.values
    if not np.isfinite(values).all():
        raise DataError(f"{study.out}: some clips have no prediction of some seed; choose another folder")
    return _result(study, rows, values, trainings)


def _result(study: Study, rows: np.ndarray, values: np.ndarray, trainings: List[List[dict]]) -> StudyResult:
    ids = tuple(study.records.table[row]["id"] for row in rows)
    labels = np.asarray(study.records.labels(ids=ids), np.float64)
    columns = {study.column: study.records.column(study.column, ids=ids)} if study.column else {}
    scored = Scored(study.config.model.name, ids, study.records.emotions, values.mean(0), labels, columns, study.notes,
                    study.column)
    parts = study.part[rows]
    grid = [[mean_pearson(seed[parts == fold], labels[parts == fold]) for seed in values]
            for fold in range(study.folds)]
    return StudyResult(study, scored, parts, values, score_rows(scored),
                       np.array([mean_pearson(seed, labels) for seed in values]), np.array(grid), trainings)


def write_results(result: StudyResult, beside: Beside) -> Tuple[Path, Path]:
    """Writes held_out.csv, a table that `evaluate` and `compare` read, and scores.json; their paths."""
    baselines = [{key: value for key, value in row.items() if key != "note"} for row in beside.rows()]
    return _write_held_out(result), write_json(result.study.out / SCORES, {
        **_scores(result), "baselines": baselines, "beside": beside.said})


def _write_held_out(result: StudyResult) -> Path:
    scored, column = result.scored, result.study.column
    people = scored.columns[column] if column else [""] * len(scored.ids)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["File_ID", "fold", "person", *scored.emotions])
    for clip, part, person, row in zip(scored.ids, result.parts, people, scored.predictions):
        writer.writerow([bracketed(clip), part + 1, person, *(f"{value:.6f}" for value in row)])
    return write_text(result.study.out / HELD_OUT, text.getvalue())


def _scores(result: StudyResult) -> Dict[str, object]:
    study, emotions = result.study, result.scored.emotions
    pooled = {row["emotion"]: {key: value for key, value in row.items() if key != "emotion"} for row in result.rows}
    return {"clips": len(result.scored.ids), "over": result.scored.over, "by": study.column or "clip",
            "network": study.config.model.name, "emotions": list(emotions), "pooled": pooled,
            "seeds": [{"seed": seed, "pearson": _finite(value)} for seed, value in enumerate(result.seeds)],
            "folds": result.folds,
            "trainings": [{"fold": fold + 1, **done, "pearson": _finite(result.grid[fold, done["seed"]])}
                          for fold, trainings in enumerate(result.trainings) for done in trainings]}


def _finite(value: float):
    return float(value) if np.isfinite(value) else None
