# SPDX-License-Identifier: Apache-2.0
"""The baseline on a corpus, before any network: on its own splits, or on folds that keep people apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.feature_sets import list_feature_sets
from mindface_eri.datasets.folds import cut_folds, people_column
from mindface_eri.datasets.groups import groups_of
from mindface_eri.datasets.records import Records
from mindface_eri.errors import DataError, readable
from mindface_eri.evaluation.baseline import SOFTMAX, Baseline, modalities_of
from mindface_eri.evaluation.beside import told
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import Jackknife, mean_pearson

BY_PERSON = "person"  # the column that names people, whatever it is called
HEADERS = ("statistics of", "regression", "scored on", "mean Pearson", "low", "high", "mean of folds", "clips",
           "people")


@dataclass(frozen=True)
class HeldOut:
    """Predictions of one regression for clips that it was not fitted on."""

    modalities: Tuple[str, ...]
    where: str  # the split, or "5 folds"
    scored: Scored
    part: np.ndarray  # (N,) the fold of each clip; zeros of a split

    def row(self) -> dict:
        """Keys as `HEADERS`; what cannot be said is None. People are None where clips stand for themselves."""
        predictions, labels = self.scored.predictions, self.scored.labels
        jackknife = Jackknife(predictions, labels, self.scored.groups)
        low, high = jackknife.interval()
        parts = [mean_pearson(predictions[self.part == p], labels[self.part == p]) for p in np.unique(self.part)]
        known = [float(value) if np.isfinite(value) else None for value in
                 (jackknife.values[-1], low[-1], high[-1], np.mean(parts) if len(parts) > 1 else np.nan)]
        people = None if self.scored.group is None else len(set(self.scored.groups))
        return dict(zip(HEADERS, (told(self.modalities), self.scored.name, self.where, *known, len(labels), people)))


def score_splits(records: Records, splits: Sequence[str] = ("val", "test"), by: str = BY_PERSON,
                 modalities: Optional[Sequence[str]] = None, copies: bool = False) -> List[HeldOut]:
    """Fits the training split and scores the others where they are labelled: each modality alone, then all together.

    Args:
        by: column whose values intervals leave out one at a time; "person": the one of people, if there is one.
        modalities: some of "landmarks", "mfcc" and the records' feature sets; None: the first two, where they are.
        copies: whether the records' copies of sound are fitted, too.

    Raises:
        DataError: there is nothing to fit or to score, no such column, or no such modality.
    """
    choices = _choices(records, modalities, copies)
    fitted_on = _labelled(records, ("train",))
    asked = {split: _labelled(records, (split,)) for split in splits}
    if not fitted_on or not any(asked.values()):
        raise DataError(f"{records.path}: needs labelled clips in train and in {' or '.join(splits)}; with --folds "
                        "they are cut anew")
    found = []
    for chosen, baseline in choices:
        for split, ids in asked.items():
            predicted = baseline.predict(records, fitted_on, records, ids) if ids else {}
            found += [HeldOut(chosen, split, _scored(records, ids, name, values, by), np.zeros(len(ids), int))
                      for name, values in predicted.items()]
    return found


def score_folds(records: Records, folds: int = 5, by: str = BY_PERSON, modalities: Optional[Sequence[str]] = None,
                pool: Sequence[str] = ("train", "val"), seed: int = 0, copies: bool = False) -> List[HeldOut]:
    """Every labelled clip of the pooled splits predicted once, by what was fitted on the other folds.

    Args:
        by, copies: as of `score_splits`; no value of `by` straddles two folds (`datasets.folds.cut_folds`).

    Raises:
        DataError: there are too few clips or people, no such column, or no such modality.
    """
    choices = _choices(records, modalities, copies)
    ids = _labelled(records, pool)
    if len(ids) < 2:
        raise DataError(f"{records.path}: {len(ids)} labelled clips in {' and '.join(pool)}; folds need more")
    part = cut_folds(groups_of(ids, _cells(records, ids, _column(records, by))), folds, seed=seed)
    found = []
    for chosen, baseline in choices:
        whole: Dict[str, np.ndarray] = {}
        for fold in range(folds):
            held = part == fold
            predicted = baseline.predict(records, _where(ids, ~held), records, _where(ids, held))
            for name, values in predicted.items():
                whole.setdefault(name, np.full((len(ids), values.shape[1]), np.nan))[held] = values
        found += [HeldOut(chosen, f"{folds} folds", _scored(records, ids, name, values, by), part)
                  for name, values in whole.items() if np.isfinite(values).all()]  # softmax: where each fold has it
    return found


def shown(found: Sequence[HeldOut]) -> List[str]:
    """Those of `HEADERS` that say something."""
    rows = [one.row() for one in found]
    return [name for name in HEADERS if any(row[name] is not None for row in rows)]


def heading(found: Sequence[HeldOut]) -> str:
    """What there is to say above the rows."""
    over = " and ".join(dict.fromkeys(f"{one.scored.over} ({one.where})" for one in found))
    said = [f"Intervals at 95% by the jackknife over {over}"]
    if any(one.scored.name.endswith(SOFTMAX) for one in found):
        said.append("In no training clip is more than one emotion acted: rows with softmax make use of that")
    return readable("\n".join(said))


def _choices(records: Records, modalities: Optional[Sequence[str]], copies: bool
             ) -> List[Tuple[Tuple[str, ...], Baseline]]:
    """Each modality alone, then all together, and the baseline of each."""
    there = modalities_of(records, modalities or ("frames", "mfcc"))
    lacking = [name for name in modalities or () if name not in there]
    if lacking or not there:
        every = modalities_of(records, ("landmarks", "mfcc", *list_feature_sets(records)))
        raise DataError(f"{records.path}: holds no {' and no '.join(lacking) or 'sound and no landmarks'}; there are "
                        f"{', '.join(every) or 'none'}")
    alone = [(name,) for name in there]
    return [(names, Baseline(names, copies)) for names in (*alone, *([there] if len(alone) > 1 else []))]


def _labelled(records: Records, splits: Sequence[str]) -> List[str]:
    known = ~np.isnan(records.all_labels).all(axis=1)
    return [row["id"] for row, labelled in zip(records.table, known) if row["split"] in splits and labelled]


def _where(ids: Sequence[str], mask: np.ndarray) -> List[str]:
    return [clip for clip, taken in zip(ids, mask) if taken]


def _column(records: Records, by: str) -> Optional[str]:
    return people_column(records, None if by == BY_PERSON else by)


def _cells(records: Records, ids: Sequence[str], column: Optional[str]) -> Optional[Sequence[str]]:
    return None if column is None else records.column(column, ids=ids)


def _scored(records: Records, ids: Sequence[str], name: str, values: np.ndarray, by: str) -> Scored:
    column = _column(records, by)
    cells = _cells(records, ids, column)
    columns = {} if column is None or cells is None else {column: tuple(cells)}
    return Scored(name, tuple(ids), records.emotions, values, np.asarray(records.labels(ids=ids), np.float64), columns,
                  group=column)
