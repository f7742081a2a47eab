# SPDX-License-Identifier: Apache-2.0
"""A recipe's honest score on a corpus of one's own: cross-validation by person."""
