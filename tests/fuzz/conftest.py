# SPDX-License-Identifier: Apache-2.0
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
