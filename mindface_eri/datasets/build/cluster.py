# SPDX-License-Identifier: Apache-2.0
"""Tasks on a Dask cluster, one clip each. Workers may come and go: Dask gives the tasks of one that died to others.

A worker is looked at before it gets anything (cluster_worker.py): in a resource of Dask's, named after the run, it is
written down that it may, so that the scheduler sends the run's tasks nowhere else.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set

from mindface_eri.datasets.build.cluster_worker import (
    Terms,
    clients_of,
    fingerprint,
    look,
    prepare,
    release,
    work,
)
from mindface_eri.datasets.build.pool import LIMIT, STOPPED, Pool, Reply
from mindface_eri.errors import ConfigError, MissingDependencyError
from mindface_eri.version import versions

LOGGER = logging.getLogger(__name__)
ARRIVAL = 120.0  # seconds until a file that another machine wrote shows here: those that NFS may keep a folder in mind
_WAIT = 60.0  # seconds for a first worker to join
_PAUSE = 3.0  # seconds between two looks for workers that have joined
_CONNECT = "10s"
_KILLER = "killer"  # stage of a clip over which as many Dask workers died as the scheduler allows


class DaskPool(Pool):
    """The workers behind a scheduler.

    Args:
        address: of the scheduler, such as tcp://10.0.0.1:8786, or its file (`dask scheduler --scheduler-file`).
        target, settings, limit: as for `workers.Worker`.
        shared: files and folders that every worker has to see.
        folder: in which workers write; None: nowhere.

    Raises:
        ConfigError: no scheduler answers, or none of its workers can be used.
        MissingDependencyError: Dask is not installed.
    """

    threads, elsewhere = 1024, True

    def __init__(self, address: str, target: str, settings: Any, limit: float = LIMIT, *,
                 shared: Iterable[os.PathLike] = (), folder: Optional[Path] = None) -> None:
        if not limit > 0:
            raise ConfigError(f"a limit of {limit:g} s leaves no clip any time: give more than 0")
        self._address, self._client = address, _connect(address)
        self._count, self._ended = itertools.count(), threading.Event()
        self._told: Set[str] = set()
        self._futures: Set[Any] = set()
        self._slots, self._alone = 0, threading.Lock()
        here, run = os.getcwd(), self._client.id
        self._mark = None if folder is None else Path(folder) / f".seen-by-{run}"
        self._looking = threading.Thread(target=self._look_out, daemon=True)
        try:
            if self._mark is not None:
                self._mark.touch()
            paths = [os.fspath(path) for path in (*shared, *([self._mark] if self._mark else []))]
            self._terms = Terms(run, target, settings, limit, here, look(paths, here), versions(), fingerprint(),
                                None if folder is None else os.fspath(folder))
            self._first_workers()
            self._looking.start()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Twice the threads of all workers, so that none waits for its next task."""
        return max(1, 2 * self._slots)

    def __call__(self, task: Any) -> Reply:
        """Does a task. One over which worker after worker died is tried again while no other such one is: those that
        the same workers had beside it are not to blame."""
        reply = self._ask(task)
        if reply[1] != _KILLER:
            return reply
        with self._alone:
            state, stage, reason = self._ask(task)
        return state, "killed" if stage == _KILLER else stage, reason

    def _ask(self, task: Any) -> Reply:
        """One task by whichever worker may."""
        if self._ended.is_set():
            return STOPPED
        run, future = self._terms.run, None
        try:
            future = self._client.submit(work, run, task, key=f"clip-{run}-{next(self._count)}", pure=False,
                                         resources={run: 1})
            self._futures.add(future)
            return future.result()
        except Exception as error:
            if self._ended.is_set():
                return STOPPED
            from distributed import KilledWorker

            if isinstance(error, KilledWorker):
                return "failed", _KILLER, "Dask workers died while they had it, twice over (out of memory?)"
            return "fatal", "scheduler", (f"the scheduler {self._address} is gone, or cannot do it "
                                          f"({_first_line(error)})")
        finally:
            self._futures.discard(future)

    def close(self) -> None:
        """Takes back what is not done, ends the workers' processes and leaves the cluster as it was."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._looking.is_alive():
            self._looking.join(_WAIT)
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing left to end
            self._client.cancel(list(self._futures), force=True)
            self._client.run(release, self._client.id, on_error="ignore")
        with contextlib.suppress(Exception):
            self._client.close()
        if self._mark is not None:
            with contextlib.suppress(OSError):
                self._mark.unlink()

    def _first_workers(self) -> None:
        """Waits for a worker that can be used."""
        late = time.monotonic() + _WAIT
        while True:
            refused = self._muster()
            if self._slots:
                return
            if refused:
                raise ConfigError(f"--scheduler {self._address}: none of {len(refused)} workers can be used: "
                                  f"{'; '.join(refused[:3])}")
            if time.monotonic() > late:
                raise ConfigError(f"--scheduler {self._address}: no worker has joined within {_WAIT:g} s; start some "
                                  f"(`dask worker {self._address}`)")
            time.sleep(0.2)

    def _muster(self) -> List[str]:
        """Prepares the workers that have joined; why some cannot be used, a sentence each."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        new = [address for address, about in workers.items() if not about["resources"].get(self._client.id)]
        answers = self._prepare(new) if new else {}
        refused = [f"{address} {fault}" for address, fault in sorted(answers.items()) if fault]
        slots = sum(about["nthreads"] for address, about in workers.items() if not answers.get(address))
        if self._slots and not slots:
            LOGGER.warning("%s: no worker is left; waiting for some to join", self._address)
        self._slots = slots
        if slots:  # else the caller tells
            for sentence in (one for one in refused if one not in self._told):
                LOGGER.warning("the worker %s; the others go on without it", sentence)
                self._told.add(sentence)
        return refused

    def _prepare(self, workers: List[str]) -> Dict[str, str]:
        """Why each worker cannot be used, "" of those that can."""
        try:
            clients = self._client.run_on_scheduler(clients_of)
        except ImportError as error:
            raise ConfigError(f"--scheduler {self._address}: the scheduler has another mindface_eri than this run, or "
                              f"none ({error}); install the same there") from None
        answers = self._client.run(prepare, self._terms, clients, workers=workers, on_error="return")
        return {address: f"cannot be asked ({_first_line(answer)}); install this run's mindface_eri there"
                if isinstance(answer, Exception) else answer for address, answer in answers.items()}

    def _look_out(self) -> None:
        while not self._ended.wait(_PAUSE):
            try:
                self._muster()
            except Exception as error:  # of a scheduler that is gone the tasks tell
                LOGGER.debug("%s: %s", self._address, error)


def wait_for_file(path: Path) -> bool:
    """Whether a file that a worker wrote is here, now or a little later."""
    late = time.monotonic() + ARRIVAL
    while not path.exists():
        if time.monotonic() > late:
            return False
        time.sleep(0.2)
    return True


def _connect(address: str) -> Any:
    """A client of the scheduler."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError("--scheduler needs Dask: pip install 'mindface_eri[cluster]'") from None
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if "scheduler_file" in where and not os.path.isfile(address):
        raise ConfigError(f"--scheduler {address}: no such file; `dask scheduler --scheduler-file` writes it")
    try:
        return Client(**where, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"--scheduler {address}: no Dask scheduler answers there ({_first_line(error)}); start one "
                          "with `dask scheduler`, and give the address that it prints") from None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
