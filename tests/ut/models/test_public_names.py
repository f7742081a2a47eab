# SPDX-License-Identifier: Apache-2.0
"""What the packages of Cells, losses and metrics promise to export is there."""

import importlib

import pytest


@pytest.mark.parametrize("package, count", [("models", 36), ("loss", 8), ("metrics", 11)])
def test_all_names_can_be_imported(package, count):
    module = importlib.import_module(f"mindface_eri.{package}")
    assert len(set(module.__all__)) == len(module.__all__) == count
    assert all(hasattr(module, name) for name in module.__all__)
