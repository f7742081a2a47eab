# SPDX-License-Identifier: Apache-2.0
"""The paper's protocol and its tables."""
