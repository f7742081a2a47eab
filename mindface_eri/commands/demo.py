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
