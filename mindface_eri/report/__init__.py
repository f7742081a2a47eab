# SPDX-License-Identifier: Apache-2.0
"""Draws a prediction or a run: pages, their index, overlays and figures. It decodes and tracks nothing."""
