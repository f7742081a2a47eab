# SPDX-License-Identifier: Apache-2.0
"""What an earlier run left that has to be done again: changed clips, and those that died of something else."""

from __future__ import annotations

import logging
from typing import Dict, Iterator, List, Optional, Set, Tuple

from mindface_eri.datasets.build.plan import Plan
from mindface_eri.datasets.build.sources import Files, changed
from mindface_eri.datasets.labels import ClipEntry
from mindface_eri.datasets.parts import Work, read_part, unpack_part
from mindface_eri.errors import DataError

LOGGER = logging.getLogger(__name__)
_NOT_ITS_OWN = ("killed", "changed")  # stages of clips that failed by what others did to them


def take_back(plan: Plan, blocks: List[int], verify: bool) -> Set[int]:
    """Forgets what is no longer so, and says it: clips whose files have changed, and those whose worker was killed.

    Returns:
        positions of the latter, which have no third chance.
    """
    outdated: Set[int] = set()
    retried: Set[int] = set()
    for block in blocks:
        again: Set[int] = set()
        for position, told in _told(plan, block):
            if changed(told.get("source"), files_of(plan.manifest.clips[position]), verify=verify):
                again.add(position)
                outdated.add(position)
            elif told.get("stage") in _NOT_ITS_OWN and not told.get("again"):
                again.add(position)
                retried.add(position)
        _forget(plan, block, again)
    for positions, what in ((outdated, "have changed since they were read and are read again"),
                            (retried, "failed by what was done to their process, and are tried once more")):
        if positions:
            first = plan.manifest.clips[min(positions)].id
            LOGGER.warning("%s: %d clips %s (first %s)", plan.out, len(positions), what, first)
    return retried


def files_of(clip: ClipEntry) -> Files:
    """The files that a clip of the manifest is read from."""
    return {"video": clip.video, "audio": clip.audio}


def check_there(plan: Plan) -> None:
    """Refuses to go on in a folder that is gone (a `DataError`), before half of it is made anew."""
    if not (plan.out / "plan.json").exists():
        raise DataError(f"{plan.out}: was removed, or emptied, while clips were read into it; begin anew")


def _told(plan: Plan, block: int) -> Iterator[Tuple[int, dict]]:
    """(position, what is known of it) of the clips that an earlier run dealt with."""
    part: Optional[dict] = read_part(plan.out, block)
    if part is None:
        work = Work(plan.out, block)
        told = ((position, work.told(position)) for position in sorted(work.dealt_with()))
        yield from ((position, known) for position, known in told if known is not None)
        return
    positions = _positions(plan, block)
    yield from ((positions[known["id"]], known) for known in (*part["rows"], *part["failures"]))


def _forget(plan: Plan, block: int, again: Set[int]) -> None:
    if not again:
        return
    if read_part(plan.out, block) is not None:
        unpack_part(plan.out, block, _positions(plan, block), again, plan.fields)
    for position in again:
        Work(plan.out, block).forget(position)


def _positions(plan: Plan, block: int) -> Dict[str, int]:
    return {plan.manifest.clips[position].id: position for position in plan.positions(block)}
