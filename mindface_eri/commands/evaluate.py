"""mindface-eri evaluate"""

from pathlib import Path

from mindface_eri.commands.common import add_device


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="run folder to evaluate")
    parser.add_argument("--data", type=Path, help="folder of records; without it, those the run was trained on")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="split to evaluate")
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="score this file instead of a run")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels for --predictions")
    parser.add_argument("--by", metavar="COLUMN", help="with --labels: scores by group, such as Country or Subject")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap resamplings for the intervals; 0: none")
    add_device(parser)


def run(arguments):
    """Prints the table of scores."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.report.scores import HEADERS, score_files, score_rows
    from mindface_eri.report.tables import format_table

    if (arguments.run_folder is None) == (arguments.predictions is None):
        raise ConfigError("name a run folder, or --predictions and --labels")
    if arguments.predictions is not None:
        if arguments.labels is None:
            raise ConfigError("--predictions needs --labels")
        groups = score_files(arguments.predictions, arguments.labels, draws=arguments.draws, by=arguments.by)[2]
    else:
        from mindface_eri.runner.evaluator import evaluate

        result = evaluate(arguments.run_folder, arguments.data, arguments.split, device=arguments.device)
        groups = {f"{result.path}": score_rows(result.predictions, result.labels, result.emotions,
                                               draws=arguments.draws)}
    for title, rows in groups.items():
        print(f"\n{title}\n" + format_table(HEADERS, rows))
    return 0
