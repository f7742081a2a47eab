# SPDX-License-Identifier: Apache-2.0
"""mindface-eri evaluate"""

import dataclasses
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
    parser.add_argument("--no-baseline", action="store_true",
                        help="leave out the baseline, kernel ridge on statistics, beside the scores of a run")
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the answer")
    parser.add_argument("--out", type=Path, help="file to write; its ending (.csv, .json) chooses the form")
    add_device(parser)


def run(arguments):
    """Prints the scores."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.evaluation.runs import evaluate_run, read_scored
    from mindface_eri.evaluation.scores import HEADERS, score
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
    beside, rows = _beside(arguments, scored), score(scored, by=arguments.by)
    said, form = [*beside.said, *_caution(arguments, scored)], form_of(arguments.out, arguments.format)
    if form == "table":
        text = "\n".join([*_tables(scored, rows, arguments.by), *beside.tables(), *said])
    else:
        rows = [*rows, *beside.rows()]
        text = format_rows(rows, ["group", *HEADERS], form)
    if arguments.out is None:
        print(text)
    else:
        print(f"{len(rows)} rows in {write_text(arguments.out, text + chr(10))}")
    for note in (*scored.notes, *(() if form == "table" else said)):
        print(note, file=sys.stderr)
    return 0


def _beside(arguments, scored):
    """The baseline of a run, where it is wanted."""
    from mindface_eri.evaluation.beside import Beside, baseline_beside

    if arguments.no_baseline or arguments.run_folder is None:
        return Beside(scored)
    named = dataclasses.replace(scored, name=arguments.run_folder.resolve().name)
    return baseline_beside(arguments.run_folder, named, arguments.data)


def _caution(arguments, scored):
    """That the epoch was chosen by these clips, where that matters."""
    from mindface_eri.evaluation.runs import is_study
    from mindface_eri.evaluation.small import caution_of_choice

    folder = arguments.run_folder
    chosen = (folder is not None and arguments.split == "val" and arguments.data is None
              and folder.name != "last.ckpt" and not is_study(folder))
    caution = caution_of_choice(scored) if chosen else None
    return [caution] if caution else []


def _tables(scored, rows, by):
    from mindface_eri.evaluation.scores import HEADERS, group_rows

    yield f"{scored.name}: intervals at 95% by the jackknife over {scored.over}"
    yield format_rows([row for row in rows if row["group"] == "all"], HEADERS, "table")
    if by:
        groups = group_rows(rows)
        yield "\nBy group: means, and Pearson of each emotion"
        yield format_rows(groups, list(groups[0]), "table")
