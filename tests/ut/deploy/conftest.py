# SPDX-License-Identifier: Apache-2.0
"""Tiny networks."""

from fixtures.networks import pynative, tiny, toy_graph  # noqa: F401
