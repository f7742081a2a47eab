# SPDX-License-Identifier: Apache-2.0
"""What a Dask worker does for a run: it is looked at first, then lends the run processes of its own (workers.py).

So a clip that crashes its decoder, or never ends, costs one of these processes, and not the Dask worker with all else
that it does. Dask carries these functions by name: scheduler and workers have the package too.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional

import mindface_eri
from mindface_eri.datasets.build.pool import STOPPED, Reply
from mindface_eri.datasets.build.workers import WorkerPool
from mindface_eri.version import versions

# What the content of records and answers depends on; others may differ.
_WATCHED = ("mindface_eri", "numpy", "av", "dlib", "opencv", "mindspore", "onnxruntime", "openvino")
_NEEDED = ("numpy", "av", "dlib", "opencv")  # to take a clip apart
_YOUNG = 60.0  # seconds; a client that connected after the list was made looks like one that is gone
_pools: Dict[str, WorkerPool] = {}  # of each run that this Dask worker works for
_born: Dict[str, float] = {}  # when


@dataclass(frozen=True)
class Terms:
    """What a run needs of a worker, and what it will be asked to do.

    Attributes:
        run: the run's name, that of its Dask client; also that of the resource which makes the scheduler send tasks.
        target, settings, limit: as for `workers.Worker`.
        folder: in which relative paths begin.
        seen: paths that must be there, with the bytes of those that are files.
        versions: of what the content depends on. sources: fingerprint of this package's own files.
        written: folder that workers write to.
    """

    run: str
    target: str
    settings: Any
    limit: float
    folder: str
    seen: Mapping[str, Optional[int]]
    versions: Mapping[str, str]
    sources: str
    written: Optional[str] = None


def unfit(terms: Terms) -> str:
    """Why this worker cannot be used, as the rest of a sentence that begins with its name; "" where it can."""
    ours = versions()
    for name in _WATCHED:
        if name in ours and name in terms.versions and ours[name] != terms.versions[name]:
            return f"has {name} {ours[name]}, this run {terms.versions[name]}; install the same there"
        if name in _NEEDED and name in terms.versions and name not in ours:
            return f"has no {name}, this run {terms.versions[name]}; install the same there"
    if fingerprint() != terms.sources:
        return "has mindface_eri of the same version, but other files in it; install the same there"
    there = look(terms.seen, terms.folder)
    for path, size in terms.seen.items():
        if there.get(path, -1) != size:
            state = "does not see" if path not in there else "sees another"
            return (f"{state} {os.path.join(terms.folder, path)}; it needs the folders of this run, under the same "
                    "names")
    if terms.written is not None and not os.access(os.path.join(terms.folder, terms.written), os.W_OK):
        return f"cannot write below {os.path.join(terms.folder, terms.written)}; mount it there for writing, too"
    return ""


def look(paths: Iterable[str], folder: str) -> Dict[str, Optional[int]]:
    """Of each path that is there its bytes, None for a folder."""
    found: Dict[str, Optional[int]] = {}
    for path in paths:
        place = os.path.join(folder, path)
        if os.path.exists(place):
            found[path] = os.path.getsize(place) if os.path.isfile(place) else None
    return found


def fingerprint() -> str:
    """Changes with any of this package's files of Python."""
    root, digest = Path(mindface_eri.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def prepare(terms: Terms, clients: List[str], dask_worker: Any = None) -> str:
    """Makes a worker ready for a run, or says why not (`unfit`); may be asked again.

    Args:
        clients: that the scheduler knows; what was kept for others, which were killed, is ended.
    """
    for run in set(_pools) - {*clients, terms.run}:
        if time.monotonic() - _born.get(run, 0.0) > _YOUNG:
            _pools.pop(run).close()
    reason = unfit(terms)
    if reason:
        return reason
    threads = dask_worker.state.nthreads
    if terms.run not in _pools:
        folder = terms.folder if os.path.isdir(terms.folder) else None
        _pools[terms.run] = WorkerPool(threads, terms.target, terms.settings, terms.limit, folder)
        _born[terms.run] = time.monotonic()
    await dask_worker.set_resources(**{terms.run: threads})
    return ""


def work(run: str, task: Any) -> Reply:
    """The task of Dask: one clip, in one of the worker's processes for the run."""
    pool = _pools.get(run)
    return STOPPED if pool is None else pool(task)


async def release(run: str, dask_worker: Any = None) -> None:
    """Ends a run's processes, also in the middle of a clip."""
    pool = _pools.pop(run, None)
    if pool is not None:
        pool.close()
        await dask_worker.set_resources(**{run: 0})


def clients_of(dask_scheduler: Any = None) -> List[str]:
    """In the scheduler: the clients that it has."""
    return list(dask_scheduler.clients)
