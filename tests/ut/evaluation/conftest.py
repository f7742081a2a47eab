# SPDX-License-Identifier: Apache-2.0
"""Graph mode, as runs have it."""

import pytest


@pytest.fixture(autouse=True)
def in_graph_mode(graph_mode):
    """MindSpore's own default is PyNative."""
