# SPDX-License-Identifier: Apache-2.0
"""The last step of preprocessing: tables, statistics, and the data set's hash over all parts."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import List, Optional, Sequence

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


def reopen(plan: Plan) -> None:
    """Takes the mark of being whole away, before parts change."""
    (plan.out / "dataset.json").unlink(missing_ok=True)


def finish(plan: Plan) -> Optional[str]:
    """Writes failures.csv and, when all parts are there, what joins them; dataset.json comes last and marks it whole.

    Returns:
        the data set's hash, over ids, splits, labels and contents, sorted, so that no order of work can show in it;
        None while parts are missing.
    """
    failures = [failure for block in range(plan.blocks) for failure in failures_of(plan, block)]
    write_table(plan.out / "failures.csv", ("id", "split", "stage", "reason"),
                [[failure[name] for name in ("id", "split", "stage", "reason")] for failure in failures])
    parts = [read_part(plan.out, block) for block in range(plan.blocks)]
    if not all(parts):
        return None
    if not (plan.out / "dataset.json").exists():
        _join(plan, parts)
    return json.loads((plan.out / "dataset.json").read_text(encoding="utf-8"))["hash"]


def failures_of(plan: Plan, block: int) -> List[dict]:
    """Id, split, stage and reason of a block's clips that failed, of a part that is whole or still to be packed."""
    part, work = read_part(plan.out, block), Work(plan.out, block)
    if part is not None:
        return part["failures"]
    clips = [(position, plan.manifest.clips[position]) for position in plan.positions(block)]
    return [{"id": clip.id, "split": clip.split, **(work.told(position) or {"stage": "unknown", "reason": "unknown"})}
            for position, clip in clips if work.failure(position).exists()]


def _join(plan: Plan, parts: List[dict]) -> None:
    """Writes labels, statistics, clips.csv and dataset.json of the finished parts."""
    rows = [row for part in parts for row in part["rows"]]
    entries = {clip.id: clip for clip in plan.manifest.clips}
    labels = np.array([entries[row["id"]].labels for row in rows], np.float32).reshape(-1, len(plan.manifest.emotions))
    columns = (*COLUMNS, *([COPIES] if COPIES in plan.fields else []))
    kept = [name for name in plan.manifest.extra if name not in ("id", "split", *columns)]
    write_table(plan.out / "clips.csv", ("id", "split", *kept, *columns),
                [[row["id"], row["split"], *(entries[row["id"]].extra[name] for name in kept),
                  *(row[name] for name in columns)] for row in rows])
    files = [str(plan.out / "records" / part_name(block)) for block, part in enumerate(parts) if part["rows"]]
    heard = [number for number, row in enumerate(rows) if row["split"] == "train" and row["present_acoustic"]]
    mean, std = mfcc_statistics(files, heard, plan.config.audio.features)
    with replacing(plan.out / "arrays.npz") as temporary:
        np.savez(temporary, labels=labels, mfcc_mean=mean, mfcc_std=std)
    head = {
        "format": FORMAT, "emotions": list(plan.manifest.emotions),
        "splits": {split: sum(row["split"] == split for row in rows) for split in SPLITS},
        "note": plan.manifest.note, "failed": len(plan.manifest) - len(rows), "hash": dataset_hash(rows, labels),
        "mfcc_statistics_clips": len(heard), "extra": kept,
        "parts": [{"name": part_name(block), "rows": len(part["rows"]), "bytes": part["bytes"],
                   "index_bytes": part["index_bytes"]} for block, part in enumerate(parts) if part["rows"]],
        **({COPIES: sum(row[COPIES] for row in rows)} if COPIES in plan.fields else {}),
        "fields": list(plan.fields), "preprocess": to_dict(plan.config), "versions": versions(),
    }
    write_json(plan.out / "dataset.json", head)
    shutil.rmtree(plan.out / "work", ignore_errors=True)


def dataset_hash(rows: Sequence[dict], labels: np.ndarray) -> str:
    """sha256 over `id`, `split`, labels (N, E) float32 and `content_hash` of all clips, whatever their order."""
    lines = sorted(f"{row['id']}\t{row['split']}\t{label.tobytes().hex()}\t{row['content_hash']}"
                   for row, label in zip(rows, labels))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
