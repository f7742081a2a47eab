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
"""mindface-eri extract-features"""

from pathlib import Path

from mindface_eri.commands.common import add_device


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder of a trained branch")
    parser.add_argument("--data", type=Path, help="folder of records; without it, those the run was trained on")
    parser.add_argument("--split", nargs="+", default=["train", "val"], help="splits to compute")
    add_device(parser)


def run(arguments):
    """Computes the features, or reuses what is there."""
    from mindface_eri.runner.features import extract_features

    for path in extract_features(arguments.run_folder, arguments.data, splits=arguments.split,
                                 device=arguments.device):
        print(path)
    return 0
