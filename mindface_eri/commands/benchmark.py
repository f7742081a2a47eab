# SPDX-License-Identifier: Apache-2.0
"""mindface-eri benchmark"""

import os
from pathlib import Path

from mindface_eri import signals
from mindface_eri.commands.common import add_config, read_config
from mindface_eri.threads import cores, environment

# subject -> what stands beside what; the order in which all are measured
SUBJECTS = {
    "preprocess": "a plain OpenCV and dlib script",
    "features": "librosa called plainly",
    "data": "torch's DataLoader",
    "infer": "the eager PyTorch twin",
    "train": "the eager PyTorch twin",
    "kernels": "PyTorch's: what a training step is made of",
    "predict": "the plain script and the twin, from a raw clip on",
    "timeline": "overlapping windows that each compute their own frames",
    "route": "the three stages in plain PyTorch",
    "growth": "cost per clip at 50, 500 and 2,000 clips; only when named",
}
_PATHS = {**dict.fromkeys(("preprocess", "predict", "timeline"), "video files"), "data": "folders of records",
          "route": "a data set", "growth": "a generated corpus"}


def add_arguments(parser):
    """Adds this command's arguments."""
    told = "; ".join(f"{name}: {beside}" for name, beside in SUBJECTS.items())
    parser.add_argument("what", nargs="?", choices=SUBJECTS, help=f"{told}. Without one: all but growth")
    parser.add_argument("paths", nargs="*", type=Path,
                        help="what to measure on, instead of something drawn: preprocess, predict and timeline: video "
                             "files; data: folders of records; route and growth: a data set")
    add_config(parser)
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median, the fastest and the slowest show")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each contestant")
    parser.add_argument("--workers", type=int, default=cores(), help="data, route, growth: processes or reader threads")
    parser.add_argument("--clips", type=int, nargs="+", metavar="N",
                        help="data, route: clips (256, 32); growth: sizes (50 500 2000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(arguments):
    """Measures side by side and prints a table a subject, with the machine named."""
    _check(arguments)
    os.environ.update(environment(arguments.threads))  # before any library starts its threads
    if arguments.what is None:
        return _run_all(arguments.words)
    from mindface_eri.benchmark.harness import find_torch, table
    from mindface_eri.benchmark.machine import describe, sentence

    machine = describe(arguments.threads)
    rows = _measure(arguments, read_config(arguments))
    if arguments.json:
        from mindface_eri.files import json_text

        print(json_text({"machine": machine, "subject": arguments.what, "rows": [row.as_dict() for row in rows]},
                        indent=2))
        return 0
    from mindface_eri.evaluation.tables import format_table

    print(f"{arguments.what}, {arguments.repeats} rounds; {sentence(machine)}\n")
    print(format_table(*table(rows)))
    if find_torch() is None and arguments.what not in ("features", "growth", "preprocess", "timeline"):
        print("\nno ratios: PyTorch is not installed; pip install 'mindface_eri[bench]'")
    return 0


def _check(arguments):
    """Refuses numbers that are too small, and paths where none, or only one, has a meaning."""
    from mindface_eri.errors import ConfigError

    for name in ("repeats", "threads", "workers"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} {getattr(arguments, name)}: must be at least 1")
    if min(arguments.clips or [3]) < 3:
        raise ConfigError(f"--clips {min(arguments.clips)}: must be at least 3")
    if arguments.paths and arguments.what not in _PATHS:
        raise ConfigError(f"benchmark {arguments.what} takes no paths; these do: "
                          + ", ".join(f"{name} ({kind})" for name, kind in _PATHS.items()))
    if len(arguments.paths) > 1 and arguments.what in ("route", "growth"):
        raise ConfigError(f"benchmark {arguments.what} takes one path, {_PATHS[arguments.what]}; "
                          f"{len(arguments.paths)} were given")


def _run_all(words):
    """Every subject in a process of its own, so that none starts with another's threads and memory."""
    from mindface_eri import children
    from mindface_eri.device.context import users_environment

    failed, terminal = False, os.environ.get("PYTHONIOENCODING", "")  # they print where this process does
    variables = children.environment(PYTHONIOENCODING=terminal)
    for name in set(os.environ) - set(users_environment()):  # set for this process, not by the user
        variables.pop(name)
    for subject in (name for name in SUBJECTS if name != "growth"):
        code = _wait(children.python("mindface_eri.cli", "benchmark", subject, *words), variables)
        if code == signals.STATUS:  # it has said so
            return code
        failed |= bool(code)
        print(flush=True)
    return int(failed)


def _wait(command, variables=None):
    """The exit status of a command; where this one is stopped it stops too, with all that it has started."""
    import subprocess

    with subprocess.Popen(command, env=variables) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            if process.wait() == signals.STATUS:
                return signals.STATUS
            raise


def _measure(arguments, config):
    """The report of one subject; each benchmark is imported only when it is wanted."""
    repeats, threads, workers, paths = arguments.repeats, arguments.threads, arguments.workers, arguments.paths
    path = paths[0] if paths else None
    if arguments.what == "preprocess":
        return _preprocess(paths, repeats, config.preprocess)
    if arguments.what == "features":
        from mindface_eri.benchmark.features import benchmark_features

        return benchmark_features(repeats=repeats, config=config.preprocess)
    if arguments.what == "data":
        from mindface_eri.benchmark.data import benchmark_data

        return benchmark_data(paths, clips=(arguments.clips or [256])[0], workers=workers, repeats=repeats,
                              config=config.preprocess)
    if arguments.what == "infer":
        from mindface_eri.benchmark.networks import benchmark_infer

        return benchmark_infer(config.model, repeats=repeats, threads=threads)
    if arguments.what == "train":
        from mindface_eri.benchmark.training import benchmark_train

        return benchmark_train(model=config.model, repeats=repeats, threads=threads)
    if arguments.what == "kernels":
        from mindface_eri.benchmark.kernels import benchmark_kernels

        return benchmark_kernels(config.model, repeats=repeats, threads=threads)
    if arguments.what == "predict":
        from mindface_eri.benchmark.predict import benchmark_predict

        return benchmark_predict(paths, repeats=repeats, threads=threads, config=config)
    if arguments.what == "timeline":
        from mindface_eri.benchmark.timeline import benchmark_timeline

        return benchmark_timeline(paths, repeats=repeats, threads=threads, config=config)
    if arguments.what == "route":
        from mindface_eri.benchmark.route import SMALL, benchmark_route

        given = arguments.config is not None or arguments.overrides
        return benchmark_route(path, workers=workers, clips=(arguments.clips or [32])[0],
                               config=config if given else SMALL)
    from mindface_eri.benchmark.growth import benchmark_growth

    return benchmark_growth(arguments.clips or (50, 500, 2000), path, workers=workers)


def _preprocess(paths, repeats, config):
    import tempfile

    from mindface_eri.benchmark.clips import drawn_clip
    from mindface_eri.benchmark.preprocess import benchmark_preprocess

    with tempfile.TemporaryDirectory() as folder:
        return benchmark_preprocess(paths or [drawn_clip(folder)], repeats=repeats, config=config)
