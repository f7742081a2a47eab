"""mindface-eri benchmark"""

import json
import platform
from pathlib import Path

from mindface_eri.commands.common import add_config, cores, read_config

PARTS = ("preprocess", "infer", "train")


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("what", choices=PARTS, help="preprocess: a plain OpenCV and dlib script beside ours; infer and "
                                                    "train: the eager PyTorch twin (extra 'bench') beside ours")
    parser.add_argument("paths", nargs="*", type=Path, help="preprocess: video files")
    add_config(parser)
    parser.add_argument("--repeats", type=int, default=3, help="rounds; medians are given")
    parser.add_argument("--threads", type=int, default=cores(), help="infer and train: threads of each contestant")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments):
    """Measures side by side and prints a table, with the machine named."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.report.tables import format_table

    if arguments.repeats < 1:
        raise ConfigError(f"--repeats {arguments.repeats}: must be at least 1")
    if (arguments.what == "preprocess") != bool(arguments.paths):
        raise ConfigError("give video files to 'benchmark preprocess', and only to it")
    headers, rows = _measure(arguments, read_config(arguments))
    machine = {"processor": _processor(), "cores": cores(), "python": platform.python_version()}
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": [dict(zip(headers, row)) for row in rows]}, indent=2))
    else:
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        print(format_table(headers, rows, digits=3))
    return 0


def _measure(arguments, config):
    if arguments.what == "preprocess":
        from mindface_eri.preprocess.benchmark import benchmark_preprocess

        rows = benchmark_preprocess(arguments.paths, repeats=arguments.repeats, config=config.preprocess)
        return list(rows[0]), [list(row.values()) for row in rows]
    from mindface_eri.deploy.benchmark import benchmark_infer, benchmark_train

    measure = benchmark_infer if arguments.what == "infer" else benchmark_train
    return measure(model=config.model, repeats=arguments.repeats, threads=arguments.threads)


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
