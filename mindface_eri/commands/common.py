# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from mindface_eri.config import Config, load_config


def add_config(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Adds --config and --set."""
    parser.add_argument("--config", type=Path, required=required, metavar="YAML",
                        help="recipe, such as configs/eri_paper_visual.yaml; without one, the paper's defaults")
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Adds --set."""
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
                        help="override a key of the recipe, such as train.lr=3e-4; may be given many times")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device."""
    parser.add_argument("--device", choices=("auto", "CPU", "GPU", "Ascend"), help="override runtime.device")


def read_config(arguments: argparse.Namespace, **flags: object) -> Config:
    """The recipe with --set, then the command's own flags on top.

    Args:
        flags: dotted keys with `__` for the dot; those that are None were not given.
    """
    flags["runtime__device"] = getattr(arguments, "device", None)
    values = {key.replace("__", "."): list(map(str, value)) if isinstance(value, list) else str(value)
              for key, value in flags.items() if value is not None}
    return load_config(arguments.config, arguments.overrides, values)
