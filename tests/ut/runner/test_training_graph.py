# SPDX-License-Identifier: Apache-2.0
"""The compiled training step: static shapes and no call back to the host, as Ascend's graph mode wants it."""

import re

import mindspore as ms
import numpy as np
import pytest
from fixtures.operators import NARROW, compiled, lacking, types_in
from mindspore import Tensor, nn, ops

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.loss import list_losses
from mindface_eri.models import create_model
from mindface_eri.runner.step import TrainStep

TINY = {"frames": 2, "crop_size": 32, "mfcc_features": 8, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2,
        "width": 8, "temporal": "plain", "tcn_dilations": (1,), "temporal_depth": 1, "temporal_heads": 2}
ON_THE_HOST = {"PyFunc", "PyExecute", "PyInterpret", "Print", "Assert", "TensorDump", "ScalarSummary", "TensorSummary",
               "ImageSummary", "HistogramSummary", "Custom", "CSRReduceSum"}


def batch(clips=3):
    random = np.random.default_rng(0)
    return tuple(map(Tensor, (
        random.integers(0, 256, (clips, 2, 32, 32, 3), dtype=np.uint8), random.normal(size=(clips, 2, 8)).astype("f"),
        np.ones((clips, 2), np.float32), random.uniform(size=(clips, 7)).astype("f"))))


def look(text):
    """(names of the operators, shapes of the tensors) in a compiled graph's text."""
    return set(types_in(text)), re.findall(r"Tensor\[\w+\], \(([^)]*)\)", text)


def dynamic(shapes):
    return [shape for shape in shapes if "-" in shape]


@pytest.mark.slow
def test_the_training_step_is_static_and_stays_on_the_device(tmp_path):
    runtime = RuntimeConfig(amp_level="O2", loss_scale="dynamic")
    train = TrainConfig(clip_norm=1.0, ema=0.99, accumulate=2, weight_decay=0.01)
    step = TrainStep(create_model("eri_dual_branch", **TINY), train, runtime).set_train()
    text = compiled(step, batch(), tmp_path)
    names, shapes = look(text)
    assert {"Conv2D", "BatchNormGrad", "Adam", "IsFinite"} <= names
    assert names & ON_THE_HOST == set()
    assert len(shapes) > 1000
    assert dynamic(shapes) == []
    types = types_in(text)
    assert types["Conv2D"] == {"Float16"} and "Float32" in types["Maximum"]
    assert [lacking(types, device) for device in NARROW] == [{}] * 4  # O2 is for all of them


@pytest.mark.parametrize("loss", list_losses())
def test_so_is_every_loss(tmp_path, tiny_network, loss):
    step = TrainStep(tiny_network(), TrainConfig(loss=loss)).set_train()
    inputs = (Tensor(np.ones((4, 6), np.float32)), Tensor(np.ones((4, 2), np.float32)))
    names, shapes = look(compiled(step, inputs, tmp_path))
    assert "Adam" in names
    assert names & ON_THE_HOST == set()
    assert dynamic(shapes) == []


class Talkative(nn.Cell):
    """What must not be in a training step."""

    def construct(self, x):
        print("a callback", x)
        return ops.relu(x)


def test_a_callback_and_a_dynamic_shape_would_be_found(tmp_path):
    cell = Talkative()
    anything = Tensor(shape=[None, 2], dtype=ms.float32)
    cell.set_inputs(anything)
    names, shapes = look(compiled(cell, (anything,), tmp_path))
    assert "Print" in names
    assert dynamic(shapes)
