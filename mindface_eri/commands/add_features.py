# SPDX-License-Identifier: Apache-2.0
"""mindface-eri add-features"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("features", type=Path, help="folder of CSV files, one a clip and named after it: a time "
                                                    "column, and a column for each feature")
    parser.add_argument("records", type=Path, help="folder of records")
    parser.add_argument("--name", help="name of the feature set; without it, the folder's")
    parser.add_argument("--columns", nargs="+", default=[], metavar="PATTERN",
                        help="columns to take, such as 'AU*_r'; without it, all but time and ids")
    parser.add_argument("--unit", choices=("auto", "s", "ms"), default="auto", help="of the time column")
    parser.add_argument("--method", choices=("linear", "nearest"), default="linear", help="alignment over time")


def run(arguments):
    """Aligns and stores the features; status 1 when a clip's file could not be used."""
    from mindface_eri.datasets.feature_import import add_features
    from mindface_eri.datasets.records import open_records

    summary = add_features(arguments.features, open_records(arguments.records), arguments.name, unit=arguments.unit,
                           method=arguments.method, columns=arguments.columns)
    layout = summary.layout
    time = f"time in {layout.unit} from {layout.time_column!r}" if layout.time_column else "rows evenly over the clip"
    print(f"{len(layout.columns)} columns ({time}) for {summary.present} clips in {summary.folder}; {summary.missing} "
          f"have no file, {summary.failed} failed, {summary.strangers} files belong to no clip")
    if summary.missing or summary.failed:
        print(f"reasons: {summary.folder / 'failures.csv'}")
    return int(summary.failed > 0)
