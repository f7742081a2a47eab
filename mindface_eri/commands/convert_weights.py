# SPDX-License-Identifier: Apache-2.0
"""mindface-eri convert-weights"""

from pathlib import Path

from mindface_eri.commands.common import add_config, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("source", type=Path, help=".pth or .safetensors: torchvision's or DAN's ResNet-18, or a whole "
                                                  "network of benchmark.torch_twin")
    parser.add_argument("target", type=Path, help=".ckpt to write")
    add_config(parser)  # the sizes of a whole network


def run(arguments):
    """Converts and says what was used and what was left."""
    from mindface_eri.deploy.convert import convert_weights

    report = convert_weights(arguments.source, arguments.target, config=read_config(arguments).model)
    print(f"{len(report.used)} tensors of a {report.kind} into {arguments.target}; left: "
          f"{', '.join(report.left) or 'nothing'}")
    return 0
