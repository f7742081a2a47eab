# SPDX-License-Identifier: Apache-2.0
"""The predictor behind a door: a page for people, an HTTP interface for programs (extra `serve`)."""
