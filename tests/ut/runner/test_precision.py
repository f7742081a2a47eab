# SPDX-License-Identifier: Apache-2.0
"""Half precision trains a whole network on CPU, in both modes; other tests train in float32, in graph mode."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.config import RuntimeConfig, TrainConfig
from mindface_eri.models import create_model
from mindface_eri.runner.step import TrainStep

TINY = {"frames": 2, "crop_size": 32, "mfcc_features": 8, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2,
        "width": 8, "tcn_dilations": (1,), "temporal_depth": 1, "temporal_heads": 2, "dropout": 0.0,
        "temporal_dropout": 0.0, "p_both": 1.0}
# Each level and each kind of scale in either mode; in graph mode, which takes long to compile, the widest ones only.
COMBINATIONS = [("pynative", "O0", "none"), ("pynative", "O2", "fixed"), ("pynative", "O3", "dynamic"),
                ("graph", "O2", "dynamic"), ("graph", "O3", "none")]


@pytest.fixture
def mode(request):
    """The mode by its name in recipes; graph mode again afterwards."""
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.slow
@pytest.mark.parametrize("mode, amp_level, loss_scale", COMBINATIONS, indirect=["mode"])
def test_training_lowers_the_loss(mode, amp_level, loss_scale):
    ms.set_seed(1)
    random = np.random.default_rng(0)
    batch = [Tensor(x) for x in (
        random.integers(0, 256, (4, 2, 32, 32, 3), dtype=np.uint8), random.normal(size=(4, 2, 8)).astype("f"),
        np.ones((4, 2), np.float32), random.uniform(size=(4, 7)).astype("f"))]
    runtime = RuntimeConfig(mode=mode, amp_level=amp_level, loss_scale=loss_scale)
    step = TrainStep(create_model("eri_dual_branch", **TINY), TrainConfig(lr=0.02), runtime).set_train()
    losses = [float(step(*batch).asnumpy()) for _ in range(4)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.7 * losses[0]
    assert int(step.apply_step.updates.asnumpy()) == 4
    assert all(np.isfinite(p.asnumpy()).all() for p in step.network.get_parameters())
