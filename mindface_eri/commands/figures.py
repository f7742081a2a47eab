# SPDX-License-Identifier: Apache-2.0
"""mindface-eri figures"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN",
                        help="run folder, or a CSV of predictions with --labels")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="split to draw")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels; without them, those of the run's records")
    parser.add_argument("--out", type=Path, help="folder to write; without it, RUN/figures")
    parser.add_argument("--format", nargs="+", default=["png", "svg"], choices=("png", "svg", "pdf"), dest="formats",
                        help="file formats")


def run(arguments):
    """Draws everything that the run has data for."""
    from mindface_eri.report.run_figures import write_run_figures

    written, left_out = write_run_figures(arguments.run_folder, arguments.out, split=arguments.split,
                                          labels=arguments.labels, formats=arguments.formats)
    for path in written:
        print(path)
    for reason in left_out:
        print(f"left out: {reason}")
    return int(not written)
