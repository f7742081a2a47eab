# SPDX-License-Identifier: Apache-2.0
"""mindface-eri cross-validate"""

from pathlib import Path

from mindface_eri.commands.common import add_config, add_device, records_of
from mindface_eri.threads import cores


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("data", type=Path, help="folder of records, or a data set, which is preprocessed first")
    add_config(parser, required=True)
    parser.add_argument("--folds", type=int, metavar="N", help="parts, each held out once; without it, the recipe's "
                                                               "data.folds, or 5")
    parser.add_argument("--by", default="person", metavar="COLUMN",
                        help="what never stands on two sides: person (the column named Subject, Speaker and the like), "
                             "another column, or clip, where each clip shows somebody else")
    parser.add_argument("--seeds", type=int, default=3, metavar="N",
                        help="trainings of each fold, whose predictions are averaged")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder for the study; run again, it goes on where it stopped")
    parser.add_argument("--no-baseline", action="store_true", help="leave out the baseline of statistics over time")
    parser.add_argument("--workers", type=int, default=cores(), help="processes that preprocess")
    add_device(parser)


def run(arguments):
    """Trains each fold, writes held_out.csv, scores.json and the page, and prints the scores."""
    from mindface_eri.config import load_config
    from mindface_eri.evaluation.beside import Beside
    from mindface_eri.evaluation.scores import HEADERS
    from mindface_eri.evaluation.tables import format_table
    from mindface_eri.study.beside import baselines_beside
    from mindface_eri.study.page import score_table, write_study_page
    from mindface_eri.study.plan import plan_study
    from mindface_eri.study.results import collect, write_results
    from mindface_eri.study.run import run_study

    records = records_of(arguments, load_config(arguments.config, arguments.overrides).preprocess)
    study = plan_study(records, arguments.config, arguments.out, overrides=arguments.overrides, folds=arguments.folds,
                       by=arguments.by, seeds=arguments.seeds, device=arguments.device)
    run_study(study)
    result = collect(study)
    beside = Beside(result.scored) if arguments.no_baseline else baselines_beside(study, result.scored)
    tables = write_results(result, beside)
    page = write_study_page(result, beside)
    print("\n" + format_table(["who answered", "mean Pearson"], score_table(result, beside)))
    print(f"\n{arguments.out}, held out: intervals at 95% by the jackknife over {result.scored.over}\n"
          + format_table(HEADERS, [[row[name] for name in HEADERS] for row in result.rows]))
    print("".join(f"\n{sentence}" for sentence in beside.said))
    print("\nwrote " + ", ".join(map(str, (page, *tables))))
    return 0
