# SPDX-License-Identifier: Apache-2.0
"""Work in a thread of its own, a few steps ahead of who takes it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Deque, Generator, Iterator, TypeVar

T = TypeVar("T")
_END = object()


def ahead(items: Generator[T, None, None], steps: int = 4) -> Iterator[T]:
    """The same items and errors as `items` gives, which are made while the caller works on earlier ones.

    `items` is closed in any case; it need not be safe for threads, as one thread alone runs it.
    """
    coming: Deque[Future] = deque()
    try:
        with ThreadPoolExecutor(1) as thread:
            try:
                coming.extend(thread.submit(next, items, _END) for _ in range(steps))
                while (item := coming.popleft().result()) is not _END:
                    coming.append(thread.submit(next, items, _END))
                    yield item
            finally:
                for future in coming:
                    future.cancel()
    finally:
        items.close()
