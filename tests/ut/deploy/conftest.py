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
"""Networks small enough that building one takes a moment."""

import mindspore as ms
import pytest

from mindface_eri.config import ModelConfig

SIZES = {"frames": 4, "crop_size": 32, "mfcc_features": 12, "stem_width": 8, "spatial_depth": 1, "spatial_heads": 2,
         "width": 16, "tcn_dilations": (1, 2), "temporal_depth": 1, "temporal_heads": 2}


@pytest.fixture(scope="session")
def tiny():
    """`tiny(name, **fields)`: a tiny ModelConfig."""
    return lambda name="eri_dual_branch", **fields: ModelConfig(name=name, **{**SIZES, **fields})


@pytest.fixture
def pynative():
    """Without compiling, which takes seconds."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)
