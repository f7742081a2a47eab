# SPDX-License-Identifier: Apache-2.0
"""The paper's tables 1 to 4 out of the runs that `reproduce.protocol` left.

No network is needed: predictions that lie in the run folders are read beside their labels.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.evaluation.runs import Scored, read_scored
from mindface_eri.evaluation.tables import format_table
from mindface_eri.metrics import Jackknife, pearson
from mindface_eri.reproduce import paper
from mindface_eri.reproduce.ensemble import score_ensemble, write_ensemble
from mindface_eri.reproduce.inputs import possible_tables
from mindface_eri.reproduce.protocol import P_BOTH, Protocol, column_of

INPUTS = {"audio": "acoustic", "video": "visual", "both": "fusion"}  # rows of table 1


@dataclass
class PaperTable:
    """One table and what must be said about it."""

    name: str  # of its CSV file
    title: str
    headers: List[str]
    rows: List[list]
    notes: List[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Title, table, notes."""
        return "\n\n".join([f"## {self.title}", format_table(self.headers, self.rows), *self.notes])


class PaperTables:
    """Builds the tables of a protocol whose steps are done.

    Args:
        test_labels: CSV of the test split's labels, where its records have none.
    """

    def __init__(self, protocol: Protocol, *, test_labels: Optional[os.PathLike] = None) -> None:
        self.protocol, self.records, self.group = protocol, protocol.records, column_of(protocol)
        self.test_labels = test_labels
        self.published = paper.recognise(protocol.records)[0]
        self.fused = protocol.last == "fusion"
        self.parts = [f"seed-{seed}" for seed in protocol.seeds]
        self.folds = [protocol.run(f"fold-{fold}", protocol.last) for fold in range(protocol.folds)]

    def build(self) -> List[PaperTable]:
        """The tables that the protocol asks for, in order."""
        builders = {1: self._inputs, 2: self._dropout, 3: self._folds, 4: self._emotions}
        return [builders[number]() for number in sorted(possible_tables(self.records, self.protocol.tables))]

    def _inputs(self) -> PaperTable:
        """Table 1: each input alone, and both."""
        trained = (*self.protocol.branches, self.protocol.last)
        scored = {name: self._seeds(stage) for name, stage in INPUTS.items() if stage in trained}
        rows = [self._row(name, runs, paper.INPUTS[name]) for name, runs in scored.items()]
        score = {name: [_mean(run) for run in runs] for name, runs in scored.items()}
        notes = []
        if self.fused:
            wins = sum(both > max(others) for both, *others in zip(score["both"], score["audio"], score["video"]))
            notes = [f"Both is above audio alone and video alone in {wins} of {len(self.parts)} seeds."]
        clips = {name: len(runs[0].ids) for name, runs in scored.items()}
        if len(set(clips.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in clips.items())
            notes.append(f"Clips: {told}. A branch alone leaves out those that lack its modality.")
        rows += [self._row(name, self._seeds(f"features-{name}")) for name in self.protocol.sets]
        if self.protocol.sets and self.fused:
            joined = self._seeds(self.protocol.multi)
            rows.append(self._row(" + ".join(("audio", "video", *self.protocol.sets)), joined))
            wins = sum(_mean(run) > both for run, both in zip(joined, score["both"]))
            notes.append("The rows after *both* are of feature sets, which other programs computed: a branch of each "
                         f"alone, then all branches fused, above both in {wins} of {len(self.parts)} seeds.")
        return PaperTable("table_1", "Table 1: inputs (validation split, mean Pearson)", self._headers("input"), rows,
                          notes)

    def _dropout(self) -> PaperTable:
        rows = [self._row(p, self._seeds(self.protocol.fusion(p)), paper.P_BOTH[p]) for p in P_BOTH]
        return PaperTable("table_2", "Table 2: modality dropout (validation split, mean Pearson)",
                          self._headers("p_m"), rows)

    def _folds(self) -> PaperTable:
        """Table 3: one row a fold."""
        rows, scores = [], []
        published = paper.FOLDS if len(self.folds) == len(paper.FOLDS) and self.fused else (None,) * len(self.folds)
        for fold, run in enumerate(self.folds):
            scored = self._read(run, "val")
            low, high = self._interval([scored])
            scores.append(_mean(scored))
            rows.append([str(fold + 1), len(scored.ids), scores[-1], None, low, high, published[fold]])
        rows.append(["mean", None, float(np.mean(scores)), _deviation(scores), None, None,
                     None if None in published else float(np.mean(published))])
        headers = ["fold", "clips", "mean Pearson", "deviation", "low", "high", paper.COLUMN]
        notes = ["The clips of the training and validation splits, " + (
            f"cut so that no {self.group} stands on two sides." if self.group
            else "cut clip by clip: the recipe says so." if self.protocol.group
            else "cut clip by clip: no column names people."),
            "As in the paper a fold is the validation split of its training, by which its epoch was chosen."]
        return PaperTable("table_3", "Table 3: folds (held-out fold, mean Pearson)",
                          *self._shown(headers, rows), notes)

    def _emotions(self) -> PaperTable:
        """Table 4: one column an emotion."""
        split = "test" if self._test_is_labelled() else "val"
        runs = self._seeds(self.protocol.last, split)
        ensemble, notes = self._ensemble(split)
        rows = []
        for e, name in enumerate((*self.records.emotions, "mean")):
            one = None if name == "mean" else e
            values = [_mean(run, one) for run in runs]
            rows.append([name, float(np.mean(values)), _deviation(values), *self._interval(runs, one),
                         *([_mean(ensemble, one)] if ensemble else []),
                         paper.TEST.get(name) if self.fused else None])
        headers = ["emotion", "Pearson", "deviation", "low", "high", *(["ensemble of folds"] if ensemble else []),
                   paper.COLUMN]
        if split == "val":
            notes.insert(0, "On the validation split, for the labels of the test split are not known here"
                         + ("; the published figures are of the test split." if self.published else "."))
        name = {"test": "test", "val": "validation"}[split]
        inputs = {"fusion": "both inputs", "acoustic": "audio alone", "visual": "video alone"}[self.protocol.last]
        return PaperTable("table_4", f"Table 4: emotions ({name} split, Pearson of {inputs})",
                          *self._shown(headers, rows), notes)

    def _ensemble(self, split: str) -> Tuple[Optional[Scored], List[str]]:
        """The folds' ensemble with its scores, if it can have any, and what there is to say about it."""
        if 3 not in self.protocol.tables or "test" not in self.records.splits:
            return None, []
        path = self.protocol.out / "ensemble" / "predictions.csv"
        path.parent.mkdir(exist_ok=True)
        failed = paper.failed_ids(self.records, "test")
        filled = write_ensemble(path, self.folds, (*self.records.ids("test"), *failed), self.records.emotions,
                                missing="mean")
        notes = [f"`{path.relative_to(self.protocol.out)}` holds the mean of the {len(self.folds)} folds' predictions "
                 "of the test split, in the form of a submission." + (
            f" {len(filled)} clips that preprocessing could not use have the mean of the others." if filled else "")]
        if split == "val":
            return None, [*notes, "It has no score: its members were trained on the validation clips."]
        return score_ensemble(path, self.folds, self.test_labels), notes

    def _test_is_labelled(self) -> bool:
        if "test" not in self.records.splits:
            return False
        return self.test_labels is not None or bool(np.isfinite(self.records.labels("test")).any())

    def _seeds(self, stage: str, split: str = "val") -> List[Scored]:
        labels = self.test_labels if split == "test" else None
        return [self._read(self.protocol.run(part, stage), split, labels) for part in self.parts]

    def _read(self, run: os.PathLike, split: str, labels: Optional[os.PathLike] = None) -> Scored:
        """A run's predictions, grouped by the records' column: a table of test labels need not have it."""
        scored = read_scored(run, split, labels)
        column = {} if self.group is None else {self.group: self.records.column(self.group, ids=scored.ids)}
        return dataclasses.replace(scored, columns={**scored.columns, **column}, group=self.group)

    def _row(self, name: object, runs: Sequence[Scored], published: Optional[float] = None) -> list:
        values = [_mean(run) for run in runs]
        each = values if len(values) > 1 else []
        return [str(name), float(np.mean(values)), _deviation(values), *self._interval(runs), *each,
                *([published] if self.published else [])]

    def _headers(self, first: str) -> List[str]:
        each = [part.replace("-", " ") for part in self.parts] if len(self.parts) > 1 else []
        return [first, "mean Pearson", "deviation", "low", "high", *each, *([paper.COLUMN] if self.published else [])]

    def _shown(self, headers: List[str], rows: List[list]) -> Tuple[List[str], List[list]]:
        """Headers and rows, without their last, published, column where it is not of these data."""
        return (headers, rows) if self.published else (headers[:-1], [row[:-1] for row in rows])

    def _interval(self, runs: Sequence[Scored], emotion: Optional[int] = None) -> List[float]:
        """95% interval, by the jackknife, of the mean over runs (of one emotion, or of the mean over emotions)."""
        columns = slice(None) if emotion is None else slice(emotion, emotion + 1)
        predictions = np.concatenate([run.predictions[:, columns] for run in runs], axis=1)  # (N, runs * emotions)
        labels = np.concatenate([run.labels[:, columns] for run in runs], axis=1)
        low, high = Jackknife(predictions, labels, runs[0].groups).interval()
        return [float(low[-1]), float(high[-1])]


def _mean(run: Scored, emotion: Optional[int] = None) -> float:
    values = pearson(run.predictions, run.labels)
    return float(values.mean() if emotion is None else values[emotion])


def _deviation(values: Sequence[float]) -> Optional[float]:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
