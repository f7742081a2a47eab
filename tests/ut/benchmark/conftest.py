# SPDX-License-Identifier: Apache-2.0
"""One small drawn clip for all subjects; times are never judged."""

import pytest
from fixtures.networks import pynative, tiny  # noqa: F401

from mindface_eri.benchmark.clips import drawn_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """1 s of a drawn person, 20 frames of 480x270, with sound."""
    return drawn_clip(tmp_path_factory.mktemp("clips"), height=270, seconds=1.0, fps=20)
