# SPDX-License-Identifier: Apache-2.0
"""Scores of predictions against labels, as rows that a table, a CSV, JSON or a figure can show."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np

from mindface_eri.errors import DataError
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import METRICS, Jackknife

HEADERS = ("emotion", "Pearson", "low", "high", "CCC", "MSE", "MAE", "clips", "over", "note")
_COLUMNS = {"pearson": "Pearson", "ccc": "CCC", "mse": "MSE", "mae": "MAE"}


def score(scored: Scored, *, by: Optional[str] = None) -> List[dict]:
    """Rows of `score_rows` over all labelled clips and, with `by`, over each group of them, marked with `group`.

    Args:
        by: a column beside the labels, such as Country or Subject.

    Raises:
        DataError: no clip has a label, or there is no such column.
    """
    known = scored.labelled
    if not known.any():
        raise DataError(f"{scored.name}: none of the {len(scored.ids)} predicted clips has a label; name a table that "
                        "has them with --labels")
    groups = {"all": known}
    if by is not None:
        if by not in scored.columns:
            raise DataError(f"{scored.name}: there is no column {by} to group by; there are "
                            f"{', '.join(scored.columns) or 'none'}")
        member = np.array([name.strip() or "(blank)" for name in scored.columns[by]])
        groups.update({f"{by} = {name}": known & (member == name) for name in sorted(set(member[known]))})
    return [{"group": group, **row} for group, of in groups.items()
            for row in score_rows(scored.take(np.flatnonzero(of)))]


def score_rows(scored: Scored) -> List[dict]:
    """One row an emotion, then one of their mean, each with the keys `HEADERS`; what cannot be said is None.

    NaN labels are left out of their emotion; `low` and `high` bound Pearson at 95% by the jackknife, `over` says over
    how many groups of which column, or clips.
    """
    predictions, labels, emotions = scored.predictions, scored.labels, scored.emotions
    values = {_COLUMNS[name]: metric(predictions, labels) for name, metric in METRICS.items()}
    jackknife = Jackknife(predictions, labels, scored.groups)
    values["low"], values["high"] = jackknife.interval()
    over = [f"{scored.group or 'clips'}: {count}" for count in jackknife.counts]
    rows = [{"emotion": emotion, **{name: _known(column[e]) for name, column in values.items()},
             "clips": int((~np.isnan(labels[:, e])).sum()), "over": over[e],
             "note": _note(predictions[:, e], labels[:, e])}
            for e, emotion in enumerate(emotions)]
    mean = {name: _known(column[-1] if len(column) > len(emotions) else np.mean(column))
            for name, column in values.items()}
    unsaid = sum(row["Pearson"] is None for row in rows)
    note = f"{unsaid} of {len(rows)} emotions have no value" if unsaid else ""
    return [*rows, {"emotion": "mean", **mean, "clips": len(labels), "over": over[-1], "note": note}]


def group_rows(rows: Sequence[dict]) -> List[dict]:
    """Rows of `score` side by side: one a group, with its clips, its means and Pearson of each emotion."""
    shown = {"clips": "clips", "mean": "Pearson", "low": "low", "high": "high", "over": "over", "MSE": "MSE",
             "MAE": "MAE"}
    table: Dict[str, dict] = {}
    for row in rows:
        line = table.setdefault(row["group"], {"group": row["group"], **dict.fromkeys(shown)})
        if row["emotion"] == "mean":
            line.update({name: row[column] for name, column in shown.items()})
        else:
            line[row["emotion"]] = row["Pearson"]
    return list(table.values())


def _known(value: float) -> Optional[float]:
    return float(value) if np.isfinite(value) else None


def _note(predictions: np.ndarray, labels: np.ndarray) -> str:
    known = ~np.isnan(labels)
    if known.sum() < 2:
        return "fewer than two labels"
    constant = [name for name, column in (("predictions", predictions), ("labels", labels))
                if np.ptp(column[known]) < 1e-12]
    return f"constant {' and '.join(constant)}" if constant else ""
