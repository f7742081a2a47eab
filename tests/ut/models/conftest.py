# SPDX-License-Identifier: Apache-2.0
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
