# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
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
