# SPDX-License-Identifier: Apache-2.0
"""Device, mode, seed, threads and rank: the only place that asks for them or sets them."""
