# SPDX-License-Identifier: Apache-2.0
"""mindface-eri evaluate"""

import sys
from pathlib import Path

from mindface_eri.commands.common import add_device, add_group
from mindface_eri.prediction.answers import FORMATS, form_of, format_rows


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="run folder to evaluate")
    parser.add_argument("--data", type=Path, help="folder of records; without it, those the run was trained on")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="split to evaluate")
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="score this file instead of a run")
    parser.add_argument("--labels", type=Path, metavar="CSV",
                        help="labels, such as data_info.csv or the data set's folder; without them, the records'")
    parser.add_argument("--by", metavar="COLUMN", help="scores by group too, such as Country or Subject")
    add_group(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the answer")
    parser.add_argument("--out", type=Path, help="file to write; its ending (.csv, .json) chooses the form")
    add_device(parser)


def run(arguments):
    """Prints the scores."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.evaluation.runs import evaluate_run, read_scored
    from mindface_eri.evaluation.scores import HEADERS, group_rows, score
    from mindface_eri.files import write_text

    if (arguments.run_folder is None) == (arguments.predictions is None):
        raise ConfigError("name a run folder, or --predictions and --labels")
    if arguments.predictions is not None and arguments.labels is None:
        raise ConfigError("--predictions needs --labels")
    if arguments.predictions is not None:
        scored = read_scored(arguments.predictions, labels=arguments.labels, group=arguments.group)
    else:
        scored = evaluate_run(arguments.run_folder, arguments.data, arguments.split, labels=arguments.labels,
                              device=arguments.device, group=arguments.group)
        if not scored.labelled.any():  # as in the test split of a challenge
            print(f"{scored.name}: {len(scored.ids)} clips predicted; none has a label, so that there is no score")
            return 0
    rows = score(scored, by=arguments.by)
    form = form_of(arguments.out, arguments.format)
    if form == "table":
        text = f"{scored.name}: intervals at 95% by the jackknife over {scored.over}\n"
        text += format_rows([r for r in rows if r["group"] == "all"], HEADERS, form)
        if arguments.by:
            groups = group_rows(rows)
            text += "\n\nBy group: means, and Pearson of each emotion\n" + format_rows(groups, list(groups[0]), form)
    else:
        text = format_rows(rows, ["group", *HEADERS], form)
    if arguments.out is None:
        print(text)
    else:
        print(f"{len(rows)} rows in {write_text(arguments.out, text + chr(10))}")
    for note in scored.notes:
        print(note, file=sys.stderr)
    return 0
