# SPDX-License-Identifier: Apache-2.0
"""The last step of preprocessing: tables, statistics, and the data set's hash over all parts."""

from __future__ import annotations

import array
import hashlib
import json
import shutil
from typing import Iterator, List, Optional, Sequence

import numpy as np

from mindface_eri.config import to_dict
from mindface_eri.constants import SPLITS
from mindface_eri.datasets.build.plan import FORMAT, Plan
from mindface_eri.datasets.parts import COPIES, Work, part_name, read_part
from mindface_eri.datasets.statistics import mfcc_statistics
from mindface_eri.datasets.tables import write_table
from mindface_eri.files import replacing, write_json
from mindface_eri.version import versions

COLUMNS = ("present_visual", "present_acoustic", "detector", "found_share", "others", "duration", "fps", "width",
           "height", "quality", "content_hash")
_FAILURE = ("id", "split", "stage", "reason")  # columns of failures.csv


def reopen(plan: Plan) -> None:
    """Takes the mark of being whole away, before parts change."""
    (plan.out / "dataset.json").unlink(missing_ok=True)


def finish(plan: Plan) -> Optional[str]:
    """Writes failures.csv and, when all parts are there, what joins them; dataset.json comes last and marks it whole.

    Returns:
        the data set's hash, over ids, splits, labels and contents, sorted, so that no order of work can show in it;
        None while parts are missing.
    """
    whole: List[bool] = []
    write_table(plan.out / "failures.csv", _FAILURE, _failures(plan, whole))
    if not all(whole):
        return None
    if not (plan.out / "dataset.json").exists():
        _join(plan)
    return json.loads((plan.out / "dataset.json").read_text(encoding="utf-8"))["hash"]


def _failures(plan: Plan, whole: List[bool]) -> Iterator[list]:
    """The rows of failures.csv; notes of each part whether it is there."""
    for block in range(plan.blocks):
        part = read_part(plan.out, block)
        whole.append(part is not None)
        for failure in failures_of(plan, block) if part is None else part["failures"]:
            yield [failure[name] for name in _FAILURE]


def failures_of(plan: Plan, block: int) -> List[dict]:
    """Id, split, stage and reason of a block's clips that failed, of a part that is whole or still to be packed."""
    part, work = read_part(plan.out, block), Work(plan.out, block)
    if part is not None:
        return part["failures"]
    clips = [(position, plan.manifest.clips[position]) for position in plan.positions(block)]
    return [{"id": clip.id, "split": clip.split, **(work.told(position) or {"stage": "unknown", "reason": "unknown"})}
            for position, clip in clips if work.failure(position).exists()]


class _Joined:
    """What is gathered while the rows of all parts go by, one part in memory at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.lines: List[str] = []  # of the hash
        self.labels: List[Sequence[float]] = []
        self.heard = array.array("q")  # numbers of the training clips with sound
        self.splits = dict.fromkeys(SPLITS, 0)
        self.parts: List[dict] = []
        self.copies = 0

    def rows(self, kept: Sequence[str], columns: Sequence[str]) -> Iterator[list]:
        """The rows of clips.csv."""
        plan = self._plan
        for block in range(plan.blocks):
            part = read_part(plan.out, block)
            if part["rows"]:
                self.parts.append({"name": part_name(block), "rows": len(part["rows"]), "bytes": part["bytes"],
                                   "index_bytes": part["index_bytes"]})
            entries = {plan.manifest.clips[position].id: plan.manifest.clips[position]
                       for position in plan.positions(block)}
            for row in part["rows"]:
                entry = entries[row["id"]]
                self._take(row, entry.labels)
                yield [row["id"], row["split"], *(entry.extra[name] for name in kept),
                       *(row[name] for name in columns)]

    def _take(self, row: dict, labels: Sequence[float]) -> None:
        if row["split"] == "train" and row["present_acoustic"]:
            self.heard.append(len(self.lines))
        self.lines.append(_line(row, np.array(labels, np.float32)))
        self.labels.append(labels)
        self.splits[row["split"]] += 1
        self.copies += row.get(COPIES, 0)


def _join(plan: Plan) -> None:
    """Writes labels, statistics, clips.csv and dataset.json of the finished parts."""
    joined, columns = _Joined(plan), (*COLUMNS, *([COPIES] if COPIES in plan.fields else []))
    kept = [name for name in plan.manifest.extra if name not in ("id", "split", *columns)]
    write_table(plan.out / "clips.csv", ("id", "split", *kept, *columns), joined.rows(kept, columns))
    count = len(joined.lines)
    labels = np.array(joined.labels, np.float32).reshape(count, len(plan.manifest.emotions))
    files = [str(plan.out / "records" / part["name"]) for part in joined.parts]
    mean, std = mfcc_statistics(files, joined.heard, plan.config.audio.features,
                                [part["rows"] for part in joined.parts])
    with replacing(plan.out / "arrays.npz") as temporary:
        np.savez(temporary, labels=labels, mfcc_mean=mean, mfcc_std=std)
    head = {
        "format": FORMAT, "emotions": list(plan.manifest.emotions), "splits": joined.splits,
        "note": plan.manifest.note, "failed": len(plan.manifest) - count, "hash": _digest(joined.lines),
        "mfcc_statistics_clips": len(joined.heard), "extra": kept, "parts": joined.parts,
        **({COPIES: joined.copies} if COPIES in plan.fields else {}),
        "fields": list(plan.fields), "preprocess": to_dict(plan.config), "versions": versions(),
    }
    write_json(plan.out / "dataset.json", head)
    shutil.rmtree(plan.out / "work", ignore_errors=True)


def dataset_hash(rows: Sequence[dict], labels: np.ndarray) -> str:
    """sha256 over `id`, `split`, labels (N, E) float32 and `content_hash` of all clips, whatever their order."""
    return _digest([_line(row, label) for row, label in zip(rows, labels)])


def _line(row: dict, label: np.ndarray) -> str:
    return f"{row['id']}\t{row['split']}\t{label.tobytes().hex()}\t{row['content_hash']}"


def _digest(lines: List[str]) -> str:
    lines.sort()
    digest = hashlib.sha256()
    for number, line in enumerate(lines):
        digest.update(("\n" * (number > 0) + line).encode())
    return digest.hexdigest()
