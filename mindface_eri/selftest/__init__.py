# SPDX-License-Identifier: Apache-2.0
"""What somebody with the device runs to show that it computes as the CPU does: checks, and a table of what they saw."""
