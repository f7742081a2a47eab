# SPDX-License-Identifier: Apache-2.0
"""mindface-eri baseline"""

from pathlib import Path

from mindface_eri.prediction.answers import FORMATS, form_of, format_rows


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("data", type=Path, help="folder of records")
    parser.add_argument("--of", nargs="+", metavar="INPUT", dest="modalities",
                        help="what statistics are taken of: mfcc, landmarks, names of feature sets; without it, sound "
                             "and landmarks where the records hold them")
    parser.add_argument("--split", nargs="+", default=["val", "test"], choices=("val", "test"), dest="splits",
                        help="splits to score, where they are labelled; the training split is fitted")
    parser.add_argument("--folds", type=int, default=0, metavar="K",
                        help="cut K folds instead, so that every clip is held out once")
    parser.add_argument("--by", default="person", metavar="COLUMN",
                        help="column of which no value straddles two folds, and by which intervals are told; person: "
                             "the one that names people; none: clips are independent")
    parser.add_argument("--pool", nargs="+", default=["train", "val"], choices=("train", "val", "test"),
                        help="splits that folds are cut from")
    parser.add_argument("--seed", type=int, default=0, help="of the cut")
    parser.add_argument("--copies", action="store_true",
                        help="fit the copies of sound that the records hold (preprocess.augment), too")
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the answer")
    parser.add_argument("--out", type=Path, help="file to write; its ending (.csv, .json) chooses the form")


def run(arguments):
    """Prints one row a regression."""
    from mindface_eri.datasets.records import open_records
    from mindface_eri.errors import ConfigError
    from mindface_eri.evaluation.held_out import heading, score_folds, score_splits, shown
    from mindface_eri.files import write_text

    if arguments.folds < 0 or arguments.folds == 1:
        raise ConfigError(f"--folds {arguments.folds}: folds are at least 2")
    records = open_records(arguments.data)
    if arguments.folds:
        found = score_folds(records, arguments.folds, arguments.by, arguments.modalities, arguments.pool,
                            arguments.seed, arguments.copies)
    else:
        found = score_splits(records, arguments.splits, arguments.by, arguments.modalities, arguments.copies)
    form = form_of(arguments.out, arguments.format)
    text = format_rows([one.row() for one in found], shown(found), form)
    if form == "table":
        text = f"{heading(found)}\n{text}"
    if arguments.out is None:
        print(text)
    else:
        print(f"{len(found)} rows in {write_text(arguments.out, text + chr(10))}")
    return 0
