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
"""Modes, and networks with weights that follow from their names."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

sys.path.insert(0, str(Path(__file__).parent))  # for golden.py, which make_golden.py imports too
from golden import golden_weight, marked_dropout  # noqa: E402


@pytest.fixture
def pynative():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def dropout_by_rule(monkeypatch, pynative):
    """`nn.Dropout` drops by `marked_dropout` in training."""
    def construct(self, x):
        return x * ms.Tensor(marked_dropout(x.shape, self.p)).astype(x.dtype) if self.training and self.p else x
    monkeypatch.setattr(nn.Dropout, "construct", construct)


@pytest.fixture(scope="session")
def golden():
    """The numbers that make_golden.py wrote."""
    with np.load(Path(__file__).with_name("golden.npz")) as kept:
        return {key: kept[key] for key in kept.files}


@pytest.fixture(scope="session")
def golden_network():
    """A function from one of the golden configurations to its network, with its weights."""
    from mindface_eri.models import build_network

    def build(config):
        network = build_network(config)
        for name, parameter in network.parameters_and_names():
            parameter.set_data(ms.Tensor(golden_weight(name, parameter.shape)))
        return network
    return build
