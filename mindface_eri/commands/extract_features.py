# SPDX-License-Identifier: Apache-2.0
"""mindface-eri extract-features"""

from pathlib import Path

from mindface_eri.commands.common import add_device, add_scheduler


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder of a trained branch")
    parser.add_argument("--data", type=Path, help="folder of records; without it, those the run was trained on")
    parser.add_argument("--split", nargs="+", default=["train", "val"], help="splits to compute")
    add_scheduler(parser, "instead of this process")
    add_device(parser)


def run(arguments):
    """Computes the features, or reuses what is there."""
    from mindface_eri.runner.features import extract_features

    for path in extract_features(arguments.run_folder, arguments.data, splits=arguments.split,
                                 device=arguments.device, scheduler=arguments.scheduler):
        print(path)
    return 0
