# SPDX-License-Identifier: Apache-2.0
"""The baseline of statistics over time on a study's folds, fitted on all that each does not hold out."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Sequence

import numpy as np

from mindface_eri.datasets.by_person import with_person_statistics
from mindface_eri.errors import DataError, ERIError
from mindface_eri.evaluation.baseline import SOFTMAX, Baseline, modalities_of
from mindface_eri.evaluation.beside import EXCLUSIVE, Beside
from mindface_eri.evaluation.runs import Scored
from mindface_eri.study.plan import Study


def baselines_beside(study: Study, scored: Scored) -> Beside:
    """The baselines for the clips of `scored`, all folds pooled. Where there can be none, its notes say why."""
    try:
        return _beside(study, scored)
    except (ERIError, OSError) as error:
        return Beside(scored, notes=(f"no baseline beside it: {error}",))


def _beside(study: Study, scored: Scored) -> Beside:
    """The baseline fitted on each fold's own training clips, scored on those held out."""
    modalities = modalities_of(study.records, study.config.model.inputs)
    if not modalities:
        raise DataError(f"of what {study.config.model.name} takes, {', '.join(study.config.model.inputs)}, "
                        f"{study.records.path} holds no statistics")
    records = with_person_statistics(study.records, study.config.model, study.column)
    baseline, counts, place = Baseline(modalities), [], {clip: row for row, clip in enumerate(scored.ids)}
    whole: Dict[str, np.ndarray] = {}
    for fold in range(study.folds):
        splits = study.splits(fold)
        training, held = _ids(study, splits, ("train", "val")), _ids(study, splits, ("test",))
        counts.append(len(training))
        for name, values in baseline.predict(records, training, records, held).items():
            table = whole.setdefault(name, np.full(scored.predictions.shape, np.nan))
            table[[place[clip] for clip in held]] = values
    runs = tuple(dataclasses.replace(scored, name=name, predictions=values) for name, values in whole.items()
                 if np.isfinite(values).all())  # a softmax, where each fold allows one
    notes = (EXCLUSIVE,) if any(run.name.endswith(SOFTMAX) for run in runs) else ()
    return Beside(scored, runs, int(np.mean(counts)), modalities, notes)


def _ids(study: Study, splits: Sequence[str], wanted: Sequence[str]) -> List[str]:
    return [row["id"] for row, split in zip(study.records.table, splits) if split in wanted]
