# SPDX-License-Identifier: Apache-2.0
"""What is said of a corpus so small that its scores need a word of caution: how many people, and what that means."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from mindface_eri.config import Config
from mindface_eri.datasets.folds import fold_splits
from mindface_eri.datasets.groups import find_group, groups_of, independent
from mindface_eri.datasets.presence import lacking
from mindface_eri.datasets.records import open_records
from mindface_eri.evaluation.runs import Scored
from mindface_eri.metrics import is_small, words_of_expectation

_SPLITS = {"train": "training", "val": "validation"}


def size_of(scored: Scored) -> Tuple[int, int]:
    """Labelled clips, and people among them: as many where each clip stands for itself."""
    known = scored.take(np.flatnonzero(scored.labelled))
    return len(known.ids), len(set(known.groups))


def caution_of_choice(scored: Scored) -> Optional[str]:
    """Of a score on the clips that chose the epoch: that it is optimistic. None where they are many."""
    clips, people = size_of(scored)
    if not is_small(clips, people):
        return None
    return (f"This score is OPTIMISTIC: the best epoch was chosen by these {_counted(clips, people, scored.group)}. "
            "Expect less of other people, and tell the score of people that nothing was chosen by.")


def words_before_training(config: Config) -> List[str]:
    """Of a recipe whose training or validation split is small: its people, and the interval to expect.

    Raises:
        DataError: the records cannot be read.
    """
    place = config.data.records
    if place is None or not Path(place).is_dir():
        return []
    records = open_records(place)
    splits, counted = np.array(fold_splits(records, config.data)), ~np.isnan(records.all_labels).all(axis=1)
    for absent in lacking(records, config.model.inputs).values():  # training leaves them out
        counted &= ~absent
    columns = {name: records.column(name) for name in records.extra}
    asked = config.data.group if config.data.group in columns or independent(config.data.group) else None
    group = find_group(columns, asked)
    groups = np.array(groups_of(records.ids(), None if group is None else columns[group]))
    sizes = {split: (int((rows := (splits == split) & counted).sum()), len(set(groups[rows]))) for split in _SPLITS}
    if not any(is_small(*size) for size in sizes.values()) or not all(clips for clips, _ in sizes.values()):
        return []
    told = "; ".join(f"{_SPLITS[split]}: {_counted(*size, group)}" for split, size in sizes.items())
    said = [f"a small corpus ({told}): {words_of_expectation(*sizes['val'], len(records.emotions))}"]
    if group is None and not independent(config.data.group):
        said.append("no column names people, so that clips count as independent; those of one person are not, and an "
                    "interval is wider then")
    return said


def _counted(clips: int, people: int, group: Optional[str]) -> str:
    return f"{clips} clips" if group is None else f"{clips} clips of {people} {'person' if people == 1 else 'people'}"
