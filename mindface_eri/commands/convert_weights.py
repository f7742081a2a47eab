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
"""mindface-eri convert-weights"""

from pathlib import Path

from mindface_eri.commands.common import add_config, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("source", type=Path, help=".pth or .safetensors: torchvision's or DAN's ResNet-18, or a whole "
                                                  "network of deploy.torch_twin")
    parser.add_argument("target", type=Path, help=".ckpt to write")
    add_config(parser)  # the sizes of a whole network


def run(arguments):
    """Converts and says what was used and what was left."""
    from mindface_eri.deploy.convert import convert_weights

    report = convert_weights(arguments.source, arguments.target, config=read_config(arguments).model)
    print(f"{len(report.used)} tensors of a {report.kind} into {arguments.target}; left: "
          f"{', '.join(report.left) or 'nothing'}")
    return 0
