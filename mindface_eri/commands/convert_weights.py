"""mindface-eri convert-weights"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("source", type=Path, help=".pth or .safetensors, torchvision's or DAN's names")
    parser.add_argument("target", type=Path, help=".ckpt to write")


def run(arguments):
    """Converts and says what was used and what was left."""
    from mindface_eri.deploy.convert import convert_weights

    report = convert_weights(arguments.source, arguments.target)
    print(f"{len(report.used)} tensors into {arguments.target}; left: {', '.join(report.left) or 'nothing'}")
    return 0
