# SPDX-License-Identifier: Apache-2.0
"""The folder of a generated corpus: claimed for one set of arguments, and filled clip by clip, by processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List, Mapping

from mindface_eri.datasets.build.workers import WorkerPool
from mindface_eri.errors import DataError, ERIError
from mindface_eri.files import write_json
from mindface_eri.progress import progress_bar

SETTINGS_FILE = "corpus.json"
SHARES = (("Train", 0.65), ("Val", 0.20), ("Test", 0.15))


def split_of(index: int, count: int) -> str:
    """`Train`, `Val` or `Test`: consecutive blocks of 65, 20 and 15 percent, each of at least one."""
    val = max(1, round(SHARES[1][1] * count))
    test = max(1, round(SHARES[2][1] * count))
    return "Train" if index < count - val - test else "Val" if index < count - test else "Test"


def claim(root: Path, settings: Mapping[str, Any], note: str) -> None:
    """Makes the folder this corpus's own, or refuses one that holds something else.

    Args:
        settings: all that decides what the corpus holds.
        note: what people should know of it, written beside them.
    """
    record = root / SETTINGS_FILE
    wanted = json.loads(json.dumps(settings))
    if record.exists():
        try:
            found = {k: v for k, v in json.loads(record.read_text(encoding="utf-8")).items() if k != "note"}
        except (ValueError, AttributeError):
            raise DataError(f"{record}: is not this corpus's settings; delete {root} to start anew") from None
        differing = [k for k in wanted if found.get(k) != wanted[k]]
        if differing:
            was = ", ".join(f"{k} {found.get(k)} (now {wanted[k]})" for k in differing)
            raise DataError(f"{root} holds a corpus made with other arguments: {was}; give the same ones, another "
                            "folder, or delete this one")
        return
    taken = [name for name in ("data_info.csv", "train", "val", "test") if (root / name).exists()]
    if taken:
        raise DataError(f"{root} holds {', '.join(taken)} that this command did not write; give another folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_json(record, {**wanted, "note": note})
    except OSError as error:
        raise DataError(f"{root}: cannot be written ({error.strerror})") from None


def remove_unfinished(path: Path) -> None:
    """Removes what a run that was killed at this clip left of it."""
    for leftover in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
        leftover.unlink()


def draw_all(root: Path, settings: Any, missing: List[int], draw: Callable[[Any, int], None], target: str,
             workers: int, progress: bool) -> None:
    """Draws the clips that are missing.

    Args:
        draw: called here as `draw(settings, index)`, where one process is enough.
        target: `module:function`, the same for worker processes; gives a `Reply`.

    Raises:
        ERIError: a clip was not drawn; all others are.
    """
    with progress_bar(len(missing), "drawing", show=progress and bool(missing)) as bar:
        if min(workers, len(missing)) <= 1:
            for index in missing:
                draw(settings, index)
                bar.update()
            return
        failed, pool = [], WorkerPool(min(workers, len(missing)), target, settings)
        try:
            for index, (state, _, reason) in zip(missing, pool.map(missing)):
                if state != "done":
                    failed.append(f"clip {index:05d}: {reason}")
                bar.update()
        finally:
            pool.close()
    if failed:
        raise ERIError(f"{root}: {len(failed)} of {len(missing)} clips were not drawn ({failed[0]}); run again to go "
                       "on, with fewer workers")
