# SPDX-License-Identifier: Apache-2.0
"""What the paper published (Yu et al. 2023, tables 1 to 4), and whether records are of the data set that it used.

None of these numbers was measured with this package.
"""

from __future__ import annotations

import csv
from typing import Dict, Tuple

from mindface_eri.constants import EMOTIONS, SPLITS
from mindface_eri.datasets.records import Records

COLUMN = "paper (published)"
INPUTS = {"audio": 0.2972, "video": 0.3517, "both": 0.4439}  # table 1, validation split; both at p_m 0.9
P_BOTH = {1.0: 0.4423, 0.9: 0.4439, 0.8: 0.4435}  # table 2, validation split
FOLDS = (0.5103, 0.5186, 0.5300, 0.5310, 0.5168)  # table 3
TEST = dict(zip((*EMOTIONS, "mean"), (0.4271, 0.4668, 0.4501, 0.3770, 0.4091, 0.4950, 0.4405, 0.4380)))  # table 4
CLIPS = {"train": 15806, "val": 4657, "test": 4604}  # of Hume-Reaction


def recognise(records: Records) -> Tuple[bool, str]:
    """Whether these are the paper's data, Hume-Reaction, and the sentence that says why (not).

    They are when the emotions are its seven, ids are its five digits, and each split has its number of clips, those
    that preprocessing could not use counted in; the test split may be missing, since its clips are given out apart.
    """
    name = "Hume-Reaction, the paper's data"
    if records.emotions != EMOTIONS:
        return False, f"these data are not {name}: their emotions are {', '.join(records.emotions)}"
    odd = next((row["id"] for row in records.table if not (len(row["id"]) == 5 and row["id"].isdigit())), None)
    if odd is not None:
        return False, f"these data are not {name}: its ids have five digits, here is {odd!r}"
    counts = {split: records.splits.get(split, 0) + len(failed_ids(records, split)) for split in SPLITS}
    told = ", ".join(f"{count} {split}" for split, count in counts.items())
    wanted = {**CLIPS, "test": CLIPS["test"] if counts["test"] else 0}
    if counts != wanted:
        return False, f"these data are not {name}: {told} clips, it has {', '.join(map(str, CLIPS.values()))}"
    return True, f"these data are {name}, by their emotions, ids and clips: {told}"


def failed_ids(records: Records, split: str) -> Tuple[str, ...]:
    """Clips of a split that preprocessing could not use."""
    path = records.path / "failures.csv"
    if not path.is_file():
        return ()
    with open(path, encoding="utf-8", newline="") as stream:
        rows: Tuple[Dict[str, str], ...] = tuple(csv.DictReader(stream))
    return tuple(row["id"] for row in rows if row["split"] == split)
