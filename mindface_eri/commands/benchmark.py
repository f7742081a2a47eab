"""mindface-eri benchmark"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("what", choices=("preprocess", "infer", "train"), help="which part to measure")
    parser.add_argument("paths", nargs="*", type=Path, help="preprocess: media files; without any, a generated clip")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; medians are given")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments):
    """Measures and prints."""
