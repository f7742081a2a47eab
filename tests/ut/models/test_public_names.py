# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""What the packages of Cells, losses and metrics promise to export is there."""

import importlib

import pytest


@pytest.mark.parametrize("package, count", [("models", 26), ("loss", 7), ("metrics", 10)])
def test_all_names_can_be_imported(package, count):
    module = importlib.import_module(f"mindface_eri.{package}")
    assert len(set(module.__all__)) == len(module.__all__) == count
    assert all(hasattr(module, name) for name in module.__all__)
