# SPDX-License-Identifier: Apache-2.0
"""Labels, media and records on disk, and the MindData pipeline over them."""
