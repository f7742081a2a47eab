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
"""mindface-eri synthesize"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.description += (" People are drawn and voices computed; a model trained on them knows nothing about people: "
                           "the corpus is a demonstration and a test instrument.")
    parser.add_argument("out", type=Path, help="folder to write, in the layout of Hume-Reaction")
    parser.add_argument("--clips", type=int, default=160, help="number of clips over the three splits")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same labels and same pictures")
    parser.add_argument("--duration", type=float, nargs=2, default=(2.0, 6.0), metavar=("MIN", "MAX"), help="seconds")
    parser.add_argument("--fps", type=int, nargs=2, default=(15, 30), metavar=("MIN", "MAX"), help="frames a second")
    parser.add_argument("--workers", type=int, default=2, help="processes")


def run(arguments):
    """Generates, or reuses what is there."""
    from mindface_eri.datasets.synthetic import synthesize

    synthesize(arguments.out, clips=arguments.clips, seed=arguments.seed, duration=tuple(arguments.duration),
               fps=tuple(arguments.fps), workers=arguments.workers)
    print(f"{arguments.clips} clips of drawn people in {arguments.out}; a model trained on them knows nothing about "
          "people")
    return 0
