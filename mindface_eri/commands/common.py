# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from mindface_eri.config import Config, PreprocessConfig, load_config

if TYPE_CHECKING:
    from mindface_eri.datasets.records import Records


def add_config(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Adds --config and --set."""
    parser.add_argument("-c", "--config", type=Path, required=required, metavar="YAML",
                        help="recipe: a file, or a name (`mindface-eri recipes`); without one, the paper's defaults")
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Adds --set."""
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="override a key of the recipe, such as train.lr=3e-4; may be given many times")


def add_device(parser: argparse.ArgumentParser, default: Optional[str] = None) -> None:
    """Adds --device; without a default, the recipe's holds."""
    parser.add_argument("--device", choices=("auto", "CPU", "GPU", "Ascend"), default=default,
                        help="where to compute" if default else "override runtime.device")


def add_person(parser: argparse.ArgumentParser) -> None:
    """Adds --person, and --face as it was called in version 0.1."""
    parser.add_argument("--person", "--face", metavar="WHOM",
                        help="whom to follow where there are several: longest (seen), largest, first, center (nearest "
                             "the middle), or a photograph of the one; overrides preprocess.face.follow")


def add_scheduler(parser: argparse.ArgumentParser, instead: str) -> None:
    """Adds --scheduler; `instead` says of what its workers take the place."""
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help=f"Dask scheduler (tcp://host:8786, or its file), whose workers do the work {instead}; "
                             "they need the same mindface_eri[cluster], and the same folders under the same names")


def add_group(parser: argparse.ArgumentParser) -> None:
    """Adds --group, of intervals."""
    parser.add_argument("--group", metavar="COLUMN",
                        help="column of people: intervals leave out one of them at a time; without it, the recipe's "
                             "data.group, or a column named Subject, Speaker and the like; none: clips are independent")


def read_config(arguments: argparse.Namespace, **flags: object) -> Config:
    """The recipe with --set, then the command's own flags on top.

    Args:
        flags: dotted keys with `__` for the dot; those that are None were not given.
    """
    flags["runtime__device"] = getattr(arguments, "device", None)
    values = {key.replace("__", "."): list(map(str, value)) if isinstance(value, list) else str(value)
              for key, value in flags.items() if value is not None}
    return load_config(arguments.config, arguments.overrides, values)


def records_of(arguments: argparse.Namespace, preprocess: PreprocessConfig) -> Records:
    """The records in `arguments.data`; where that is a data set, they are made first, in `arguments.out`."""
    from mindface_eri.datasets.build.preprocessing import preprocess_dataset
    from mindface_eri.datasets.records import open_records
    from mindface_eri.device.context import launched
    from mindface_eri.errors import ConfigError

    if any((arguments.data / name).is_file() for name in ("dataset.json", "plan.json")):
        return open_records(arguments.data)
    if launched()[1] > 1:
        raise ConfigError(f"{arguments.data}: under a launcher `{arguments.command}` takes records; make them first "
                          "with `mindface-eri preprocess`")
    folder = arguments.out / "records"
    summary = preprocess_dataset(arguments.data, folder, preprocess, workers=arguments.workers, resume=True)
    if summary.failed:
        print(f"{summary.failed} of {summary.total} clips could not be used; reasons: {folder / 'failures.csv'}")
    return open_records(folder)
