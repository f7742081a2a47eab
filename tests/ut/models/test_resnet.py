# SPDX-License-Identifier: Apache-2.0
"""The stem alone: freezing and recomputation."""

import mindspore as ms
import numpy as np
import pytest
from golden import golden_weight, numbers
from mindspore import Tensor

from mindface_eri.models import ResNetStem, TemporalConvNet, create_model


def with_golden_weights(cell):
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(Tensor(golden_weight(name, parameter.shape)))
    return cell


def test_frozen_stem_answers_in_training_as_at_inference(pynative):
    images = Tensor(numbers("images", (3, 3, 32, 32)))
    answers = {}
    for frozen in (True, False):
        stem = with_golden_weights(ResNetStem(4, frozen=frozen))
        before = {p.name: p.asnumpy().copy() for p in stem.get_parameters()}
        answers[frozen] = [stem.set_train(train)(images).asnumpy() for train in (False, True)]
        changed = {p.name for p in stem.get_parameters() if (p.asnumpy() != before[p.name]).any()}
        assert changed == (set() if frozen else {name for name in before if "moving" in name})
        assert bool(stem.trainable_params()) != frozen
    np.testing.assert_allclose(answers[True][1], answers[True][0], atol=1e-6)
    np.testing.assert_allclose(answers[False][0], answers[True][0], atol=1e-6)
    assert np.abs(answers[False][1] - answers[False][0]).max() > 0.01


@pytest.mark.parametrize("recompute, runs", [(False, 1), (True, 2)])
def test_recompute_runs_the_stem_again_and_nothing_else(recompute, runs, monkeypatch, pynative):
    counted = {}
    for kind in (ResNetStem, TemporalConvNet):
        def count(self, x, kind=kind, construct=kind.construct):
            counted[kind] = counted.get(kind, 0) + 1
            return construct(self, x)
        monkeypatch.setattr(kind, "construct", count)
    network = create_model("eri_visual", recompute_stem=recompute, temporal="plain", frames=1, crop_size=32,
                           stem_width=4, width=4, spatial_depth=1, temporal_depth=1, tcn_dilations=(1,))
    frames = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(1, 1, 32, 32, 3)
    ms.grad(network, None, network.stem.trainable_params())(Tensor(frames))
    assert counted == {ResNetStem: runs, TemporalConvNet: 1}
