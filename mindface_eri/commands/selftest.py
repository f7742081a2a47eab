# SPDX-License-Identifier: Apache-2.0
"""mindface-eri selftest"""

import sys

from mindface_eri.commands.common import add_device


def add_arguments(parser):
    """Adds this command's arguments."""
    add_device(parser, "auto")


def run(arguments):
    """Prints the table; status 1 where a row failed."""
    from mindface_eri.selftest.table import markdown, selftest

    heading, rows = selftest(arguments.device, notify=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{heading}\n\n{markdown(rows)}")
    return int(any(row.result == "FAIL" for row in rows))
