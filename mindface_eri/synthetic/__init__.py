# SPDX-License-Identifier: Apache-2.0
"""The generated corpus: drawn people, their expressions and voices, with known intensities."""
