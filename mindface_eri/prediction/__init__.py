# SPDX-License-Identifier: Apache-2.0
"""The one way from a clip to its intensities."""
