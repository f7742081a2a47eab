# SPDX-License-Identifier: Apache-2.0
"""What `reproduce` leaves for people: report.md, one CSV a table, and each run's learning curves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import List, Optional

from mindface_eri.datasets.tables import write_table
from mindface_eri.evaluation.tables import format_table
from mindface_eri.files import write_text
from mindface_eri.report.run_figures import draw_learning_curves
from mindface_eri.reproduce import paper
from mindface_eri.reproduce.baselines import Baselines
from mindface_eri.reproduce.paper_tables import PaperTable, PaperTables
from mindface_eri.reproduce.protocol import Protocol, column_of


def write_reproduction(protocol: Protocol, *, test_labels: Optional[os.PathLike] = None,
                       baseline: bool = True) -> Path:
    """Writes the report of a protocol whose steps are done, and returns its path.

    Args:
        test_labels: CSV of the test split's labels, where its records have none.
        baseline: whether kernel ridge on statistics stands beside each score (`evaluation.baseline`).

    Raises:
        DataError: predictions and labels do not fit.
    """
    tables = PaperTables(protocol, test_labels=test_labels).build()
    if baseline:
        baselines = Baselines(protocol, test_labels=test_labels)
        tables = [baselines.added(table) for table in tables]
    tables.append(_runs(protocol))
    for table in tables:
        write_table(protocol.out / f"{table.name}.csv", table.headers, table.rows)
    for step in protocol.steps():
        draw_learning_curves(protocol.out / step.name)
    text = "\n\n".join([_head(protocol), *(table.markdown() for table in tables)])
    return write_text(protocol.out / "report.md", text + "\n")


def _head(protocol: Protocol) -> str:
    """What was trained on what, and how the numbers are to be read."""
    records, first = protocol.records, protocol.out / protocol.steps()[0].name
    machine = json.loads((first / "environment.json").read_text(encoding="utf-8"))
    recipes = sorted({str(path) if path else "the paper's values" for path in protocol.recipes.values()})
    facts = [
        ["records", records.path], ["clips", ", ".join(f"{count} {split}" for split, count in records.splits.items())],
        ["emotions", ", ".join(records.emotions)], ["recipes", ", ".join([*recipes, *protocol.overrides])],
        ["inputs", {"fusion": "audio, video", "acoustic": "audio alone: no clip to train on has a face",
                    "visual": "video alone: no clip to train on has sound"}[protocol.last]],
        ["seeds", ", ".join(map(str, protocol.seeds))],
        ["computed on", f"{machine['device']}, {machine['processes']} process(es), MindSpore {machine['mindspore']}"]]
    group = column_of(protocol)
    over = f"the groups of {group}" if group else "clips, taken as independent"
    published, reason = paper.recognise(records)
    shown = f"The column *{paper.COLUMN}* is the paper's" if published else "The paper's figures are left out"
    return "\n\n".join([
        "# The paper's protocol", format_table(["what", "of these runs"], facts),
        "Mean Pearson is the mean over emotions of Pearson's correlation over the whole split; *low* and *high* bound "
        f"it at 95% (jackknife over {over}), *deviation* is that over seeds or folds. A validation "
        "figure is that of the epoch which was best on the same clips, as in the paper.", f"{shown}: {reason}."])


def _runs(protocol: Protocol) -> PaperTable:
    """Every training: where it lies, what it reached, how long it took."""
    rows: List[list] = []
    for step in protocol.steps():
        done = json.loads((protocol.out / step.name / "done.json").read_text(encoding="utf-8"))
        rows.append([step.name, done["val_pearson"], done["best_epoch"], done["epochs"], round(done["seconds"])])
    return PaperTable("runs", "Runs", ["run", "validation Pearson", "best epoch", "epochs", "seconds since last start"],
                      rows)
