# SPDX-License-Identifier: Apache-2.0
"""One progress bar for all long work."""

import sys


def progress_bar(total: int, what: str, *, initial: int = 0, show: bool = True):
    """A tqdm bar of clips on standard error; where that is no terminal, a line every quarter of a minute."""
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, desc=what, unit="clip", disable=not show, dynamic_ncols=True,
                mininterval=0.1 if sys.stderr.isatty() else 15.0)
