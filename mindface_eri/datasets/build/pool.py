# SPDX-License-Identifier: Apache-2.0
"""What takes clips one at a time, wherever it does so: processes of this machine (workers.py) or Dask (cluster.py)."""

from __future__ import annotations

import abc
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Deque, Iterable, Iterator, Tuple

# (state, stage, reason or result): "done", "failed" for a clip that cannot be used, "fatal" where no clip could.
Reply = Tuple[str, str, Any]

LIMIT = 3600.0  # seconds after which a clip is given up
STOPPED: Reply = ("fatal", "stopped", "the run was stopped")


class Pool(abc.ABC):
    """Does tasks, each when it is called with one, from any thread."""

    threads: int  # that may wait for a reply at a time
    elsewhere = False  # whether other machines do them, whose files show here only after a while

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """Tasks done at a time, at least 1; it may change."""

    @abc.abstractmethod
    def __call__(self, task: Any) -> Reply:
        """Does a task; whatever goes wrong is told, not raised."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the work, also in the middle of a clip."""

    def map(self, tasks: Iterable[Any]) -> Iterator[Reply]:
        """The replies to tasks, in their order; at most two a slot are begun and not yet taken."""
        coming: Deque[Future] = deque()
        finished = False
        with ThreadPoolExecutor(self.threads) as threads:
            try:
                for task in tasks:
                    coming.append(threads.submit(self, task))
                    while len(coming) >= 2 * self.slots:
                        yield coming.popleft().result()
                while coming:
                    yield coming.popleft().result()
                finished = True
            finally:
                for future in coming:
                    future.cancel()
                if not finished:  # also Ctrl-C while the last one was waited for
                    self.close()
