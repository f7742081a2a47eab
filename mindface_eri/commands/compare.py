# SPDX-License-Identifier: Apache-2.0
"""mindface-eri compare"""

from pathlib import Path

from mindface_eri.commands.common import add_group


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN",
                        help="run folders or CSV files of predictions; the first is what the others are compared with")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="split of the run folders")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels; without them, those of each run's records")
    add_group(parser)
    parser.add_argument("--figure", type=Path, metavar="PNG", help="write the bars, as PNG and SVG")


def run(arguments):
    """Prints both tables."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.evaluation.compare import compare
    from mindface_eri.evaluation.runs import read_scored
    from mindface_eri.evaluation.tables import format_table

    if len(arguments.runs) < 2:
        raise ConfigError("compare needs at least two runs")
    result = compare([read_scored(run, arguments.split, arguments.labels, arguments.group) for run in arguments.runs])
    print(f"{result.clips} clips; intervals at {result.confidence:.0%} and p by the jackknife over {result.over}")
    if result.left_out:
        print(f"{result.left_out} clips are left out because not every run predicted them")
    print("\n" + format_table(result.headers(), result.rows()))
    print("\n" + format_table(result.emotion_headers(), result.emotion_rows()))
    if arguments.figure is not None:
        from mindface_eri.report.figures import ablation_figure
        from mindface_eri.report.style import save_figure

        bars = {row[0]: (row[1], row[2], row[3]) for row in result.rows()}
        print("\nwrote " + ", ".join(map(str, save_figure(ablation_figure(bars), arguments.figure))))
    return 0
