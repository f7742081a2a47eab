# SPDX-License-Identifier: Apache-2.0
"""Trained networks out of the house: export, description, verification, weights in and out."""
