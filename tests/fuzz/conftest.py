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
"""How much to fuzz, and where what failed is kept.

ERI_FUZZ_CASES   cases of media and of text inputs each (CI: 240); 2000 is the full run
ERI_FUZZ_SEED    another seed, other cases
ERI_FUZZ_KEEP    folder for the inputs of cases that failed
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the generators, which the tests import


@pytest.fixture(scope="session")
def cases():
    """Cases of media, and of text inputs."""
    return int(os.environ.get("ERI_FUZZ_CASES", 240))


@pytest.fixture(scope="session")
def seed():
    """All cases follow from it."""
    return int(os.environ.get("ERI_FUZZ_SEED", 0))
