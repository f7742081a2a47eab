# SPDX-License-Identifier: Apache-2.0
"""mindface-eri submission"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("predictions", nargs="*", type=Path, metavar="CSV",
                        help="predictions of the test split; several files (folds, seeds) are averaged")
    parser.add_argument("--labels", type=Path, required=True, metavar="DATA",
                        help="the data set's folder or table, which names the test clips")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="file to write")
    parser.add_argument("--missing", choices=("fail", "mean", "zero"), default="fail",
                        help="row of a test clip without prediction: refuse, the mean of the others, or zeros")
    parser.add_argument("--check", type=Path, metavar="CSV", help="write nothing; check this file")


def run(arguments):
    """Writes or checks; status 1 when the check finds something."""
    from mindface_eri.datasets.labels import read_labels
    from mindface_eri.datasets.predictions import read_predictions
    from mindface_eri.errors import ConfigError, DataError
    from mindface_eri.evaluation.submission import POLICIES, check_submission, write_submission

    if (arguments.check is None) == (not arguments.predictions):
        raise ConfigError("name predictions to write a submission from, or --check FILE, and not both")
    manifest = read_labels(arguments.labels)
    ids = [clip.id for clip in manifest.clips if clip.split == "test"]
    if not ids:
        raise DataError(f"{arguments.labels}: has no clip in its test split")
    if arguments.check is not None:
        problems = check_submission(arguments.check, ids, manifest.emotions)
        print("\n".join(f"{arguments.check}: {problem}" for problem in problems)
              or f"{arguments.check}: {len(ids)} test clips, all in order")
        return int(bool(problems))
    tables = [read_predictions(path, manifest.emotions) for path in arguments.predictions]
    filled = write_submission(arguments.out, tables, ids, manifest.emotions, missing=arguments.missing)
    print(f"{arguments.out}: {len(ids)} test clips from {len(tables)} file{'s' if len(tables) > 1 else ''}, checked")
    if filled:
        print(f"{len(filled)} clips had no prediction and got {POLICIES[arguments.missing]}, first {filled[0]}")
    return 0
