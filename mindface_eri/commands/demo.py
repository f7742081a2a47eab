# SPDX-License-Identifier: Apache-2.0
"""mindface-eri demo"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("out", type=Path, help="folder for everything the demo makes; run again, it reuses it")
    parser.add_argument("--recipes", type=Path, default=Path("configs"), help="folder of the demo_*.yaml recipes")
    parser.add_argument("--clips", type=int, default=320, help="clips to generate")
    parser.add_argument("--seed", type=int, default=0, help="seed of the corpus")


def run(arguments):
    """Runs the route."""
    from mindface_eri.demo import run_demo

    run_demo(arguments.out, recipes=arguments.recipes, clips=arguments.clips, seed=arguments.seed)
    return 0
