# SPDX-License-Identifier: Apache-2.0
"""A column of the baseline in the paper's tables: beside every score, what statistics reach on the same clips."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.evaluation.beside import Beside, baseline_beside, told
from mindface_eri.evaluation.runs import Scored, read_scored
from mindface_eri.metrics import Jackknife, pearson
from mindface_eri.reproduce.paper_tables import INPUTS, PaperTable
from mindface_eri.reproduce.protocol import P_BOTH, Protocol, column_of


class Baselines:
    """The baseline of each run of a protocol whose steps are done.

    Args:
        test_labels: CSV of the test split's labels, where its records have none.
    """

    def __init__(self, protocol: Protocol, *, test_labels: Optional[os.PathLike] = None) -> None:
        self.protocol, self.records, self.group = protocol, protocol.records, column_of(protocol)
        self.test_labels = test_labels
        self.trained = {step.name for step in protocol.steps()}
        self.parts = [f"seed-{seed}" for seed in protocol.seeds]
        self.known: Dict[Tuple[Path, str], Beside] = {}

    def added(self, table: PaperTable) -> PaperTable:
        """The table with the baseline's column, and sentences of what the two come to."""
        rows = [[self._beside(run, split) for run in runs] for runs, split in self._runs(table.name)]
        notes = list(dict.fromkeys(note for row in rows for one in row for note in one.notes))
        first = next((one for row in rows for one in row if one.baselines), None)
        if first is None:
            return dataclasses.replace(table, notes=[*table.notes, *notes])
        name, emotions = first.baselines[0].name, [*range(len(self.records.emotions)), None]
        if table.name == "table_4":  # one row of runs, whose emotions are the table's rows
            values = [_value(rows[0][0], emotion) for emotion in emotions]
        else:
            values = [_value(row[0]) for row in rows]
        if table.name == "table_3":  # its last row is their mean
            values.append(None if None in values else float(np.mean(values)))
        place = next(i for i, head in enumerate(table.headers) if head.endswith("Pearson")) + 1
        labels = ["mean"] if table.name == "table_4" else [str(row[0]) for row in table.rows]
        what = f"*{name}* is fitted on each network's own training clips, from statistics over time of what it sees " \
               f"and hears ({told(first.modalities)} in the first row)."
        return dataclasses.replace(
            table, headers=[*table.headers[:place], name, *table.headers[place:]],
            rows=[[*row[:place], value, *row[place:]] for row, value in zip(table.rows, values)],
            notes=[*table.notes, what, *_verdict(name, labels, rows), *notes])

    def _runs(self, table: str) -> List[Tuple[List[Path], str]]:
        """Of each row of a table, or of all rows of table 4, the runs whose mean it is, and their split."""
        if table == "table_3":
            last = self._last("fold-0")
            return [([self.protocol.run(f"fold-{fold}", last)], "val") for fold in range(self.protocol.folds)]
        if table == "table_1":
            stages = [*INPUTS.values(), *(f"features-{name}" for name in self.protocol.sets)]
            stages += [self.protocol.multi] if self.protocol.sets else []
        elif table == "table_2":
            stages = [self.protocol.fusion(p) for p in P_BOTH]
        else:
            stages = [self._last(self.parts[0])]
        split = "test" if table == "table_4" and self._test_is_labelled() else "val"
        return [([self.protocol.run(part, stage) for part in self.parts], split) for stage in stages
                if f"{self.parts[0]}/{stage}" in self.trained]

    def _last(self, part: str) -> str:
        """The stage that tables 3 and 4 are of: both inputs fused, or the only one."""
        return next(stage for stage in ("fusion", "acoustic", "visual") if f"{part}/{stage}" in self.trained)

    def _test_is_labelled(self) -> bool:
        return "test" in self.records.splits and (
            self.test_labels is not None or bool(np.isfinite(self.records.labels("test")).any()))

    def _beside(self, run: Path, split: str) -> Beside:
        if (run, split) not in self.known:
            scored = read_scored(run, split, self.test_labels if split == "test" else None)
            cells = {} if self.group is None else {self.group: self.records.column(self.group, ids=scored.ids)}
            scored = dataclasses.replace(scored, columns={**scored.columns, **cells}, group=self.group)
            self.known[run, split] = baseline_beside(run, scored)
        return self.known[run, split]


def _value(beside: Beside, emotion: Optional[int] = None) -> Optional[float]:
    """The baseline's mean Pearson, or that of one emotion; None where there is none."""
    if not beside.baselines:
        return None
    values = pearson(beside.baselines[0].predictions, beside.baselines[0].labels)
    return float(values.mean() if emotion is None else values[emotion])


def _verdict(name: str, labels: Sequence[str], rows: Sequence[Sequence[Beside]]) -> List[str]:
    """Which rows are not better than the baseline by more than chance allows, and by how much."""
    poor = []
    for label, row in zip(labels, rows):
        if not row[0].baselines:
            continue
        networks, baselines = ([run(one) for one in row] for run in (lambda b: b.network, lambda b: b.baselines[0]))
        gap, low, high = _difference(networks, baselines)
        if low <= 0 or np.isnan(low):
            interval = "one person cannot tell" if np.isnan(low) else f"{low:+.4f} to {high:+.4f}"
            poor.append(f"{label} ({gap:+.4f}, {interval})")
    if not poor:
        return [f"Every row is better than *{name}* by more than chance allows (95%)."]
    return [f"NOT better than *{name}* by more than chance allows (95%): {'; '.join(poor)}."]


def _difference(networks: Sequence[Scored], baselines: Sequence[Scored]) -> Tuple[float, float, float]:
    """The mean over runs minus the baseline's, and its interval by the jackknife over people."""
    ours, theirs = (Jackknife(np.concatenate([run.predictions for run in runs], axis=1),
                              np.concatenate([run.labels for run in runs], axis=1), runs[0].groups)
                    for runs in (networks, baselines))
    low, high, _ = ours.difference(theirs)
    return float(ours.values[-1] - theirs.values[-1]), float(low[-1]), float(high[-1])
