# SPDX-License-Identifier: Apache-2.0
"""mindface-eri reproduce"""

from pathlib import Path

from mindface_eri.commands.common import add_device, add_overrides, records_of
from mindface_eri.threads import cores


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("data", type=Path, help="folder of records, or a data set, which is preprocessed first")
    parser.add_argument("out", type=Path, help="folder for runs and report; run again, it goes on where it stopped")
    parser.add_argument("-c", "--config", type=Path, nargs="+", default=[], metavar="YAML", dest="recipes",
                        help="one recipe for all stages, or one for each of visual, acoustic and fusion (and of "
                             "features and multi-branch, where the records hold feature sets); without one, the "
                             "paper's values")
    add_overrides(parser)
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 2, 3, 4], choices=(1, 2, 3, 4),
                        help="the paper's tables: 1 inputs, 2 modality dropout, 3 folds, 4 emotions")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each network, but for folds")
    parser.add_argument("--group", metavar="COLUMN",
                        help="column of people: none of them straddles two folds, and intervals leave out one at a "
                             "time; without it, one named Subject, Speaker and the like; none: clips are independent")
    parser.add_argument("--test-labels", type=Path, metavar="CSV", help="labels of the test split, for table 4")
    parser.add_argument("--no-baseline", action="store_true",
                        help="leave out the baseline, kernel ridge on statistics, beside the scores")
    parser.add_argument("--workers", type=int, default=cores(), help="processes that preprocess")
    add_device(parser)


def run(arguments):
    """Trains what the tables need, writes the report and prints it."""
    from mindface_eri.config import load_config
    from mindface_eri.datasets.feature_sets import list_feature_sets
    from mindface_eri.datasets.predictions import read_predictions
    from mindface_eri.errors import ConfigError
    from mindface_eri.reproduce.inputs import possible_tables
    from mindface_eri.reproduce.protocol import Protocol, choose_recipes, find_group, run_protocol
    from mindface_eri.reproduce.reproduction import write_reproduction

    if arguments.seeds < 1:
        raise ConfigError("--seeds must be at least 1")
    recipes = choose_recipes(arguments.recipes)
    config = load_config(recipes["fusion"], arguments.overrides)
    records = records_of(arguments, config.preprocess)
    if arguments.test_labels is not None:
        read_predictions(arguments.test_labels, records.emotions)  # a fault in them is told before days of training
    tables = possible_tables(records, arguments.tables) or tuple(arguments.tables)
    left_out = sorted(set(arguments.tables) - set(tables))
    if left_out:
        print(f"table {left_out[0]} is left out: it needs picture and sound, of which the clips to train on have one")
    protocol = Protocol(arguments.out, records, recipes, tuple(arguments.overrides), tables=tables,
                        seeds=tuple(range(arguments.seeds)),
                        group=find_group(records, arguments.group or config.data.group),
                        device=arguments.device, sets=list_feature_sets(records) if 1 in arguments.tables else ())
    if run_protocol(protocol):  # the process that writes and prints
        path = write_reproduction(protocol, test_labels=arguments.test_labels,
                                  baseline=not arguments.no_baseline)
        print(f"\n{path.read_text(encoding='utf-8')}\nwrote {path}")
    return 0
