# SPDX-License-Identifier: Apache-2.0
"""Scores: a run or a table of predictions against labels, compared, listed, submitted."""
