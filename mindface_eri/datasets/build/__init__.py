# SPDX-License-Identifier: Apache-2.0
"""A corpus -> records: the plan, worker processes, extraction, and what joins the parts."""
