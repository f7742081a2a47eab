# SPDX-License-Identifier: Apache-2.0
"""mindface-eri summary"""

from mindface_eri.commands.common import add_config, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    add_config(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 64], help="batch sizes for the memory columns")


def run(arguments):
    """Prints the table."""
    from mindface_eri.evaluation.tables import format_table
    from mindface_eri.models.summary import summarize

    config = read_config(arguments)
    headers, rows = summarize(config.model, batch_sizes=tuple(arguments.batch_size))
    print(format_table(headers, rows, digits=2))
    return 0
