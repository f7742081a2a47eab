# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while a network computes, in a sentence."""

from __future__ import annotations

import contextlib
from typing import Iterator

from mindface_eri.errors import CheckpointError


@contextlib.contextmanager
def computing(name: str, *errors: type) -> Iterator[None]:
    """Says in a sentence what a library raises while it computes."""
    try:
        yield
    except errors as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{name}: could not be computed ({said[:300]}); where memory is short, ask for fewer "
                              "clips at once (--batch-size), else export or train again") from None
