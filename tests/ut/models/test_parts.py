# SPDX-License-Identifier: Apache-2.0
"""The two parts of a network, one after the other, are the network."""

import dataclasses

import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, golden_inputs
from mindspore import Tensor

from mindface_eri.models import build_network
from mindface_eri.models.dual_branch import DualBranchNetwork
from mindface_eri.models.parts import parts_of

MULTI = GOLDEN_CONFIGS["eri_multi_branch"]


@pytest.mark.parametrize("config", [
    GOLDEN_CONFIGS["eri_visual"], dataclasses.replace(MULTI, takes=("landmarks", "frames", "features"))],
    ids=lambda config: config.name)
def test_one_after_the_other_they_are_the_network(config, golden_network, pynative):
    network = golden_network(config).set_train(False)
    encoder, temporal = (part.set_train(False) for part in parts_of(network))
    arrays = [Tensor(array) for array in golden_inputs(config, 2)]
    expected = [part.asnumpy() for part in network.explain(*arrays)]
    place = config.inputs.index("frames")
    clips, times, *crop = arrays[place].shape
    # The frames of all clips backwards: each is seen alone, whatever others stand beside it.
    mixed = np.ascontiguousarray(arrays[place].asnumpy().reshape(-1, *crop)[::-1])
    vectors, weights = (part.asnumpy()[::-1] for part in encoder.explain(Tensor(mixed)))
    np.testing.assert_allclose(encoder(Tensor(mixed)).asnumpy()[::-1], vectors, atol=1e-6)
    assert vectors.shape == (clips * times, 4 * config.stem_width)
    arrays[place] = Tensor(np.ascontiguousarray(vectors).reshape(clips, times, -1))
    intensities, over_time = (part.asnumpy() for part in temporal.explain(*arrays))
    np.testing.assert_allclose(intensities, expected[0], atol=1e-6)
    np.testing.assert_allclose(over_time, expected[1], atol=1e-6)
    np.testing.assert_allclose(weights.reshape(expected[2].shape), expected[2], atol=1e-6)
    np.testing.assert_allclose(temporal(*arrays).asnumpy(), expected[0], atol=1e-6)
    assert np.ptp(expected[0], axis=0).min() > 1e-4  # the clips differ


def test_what_has_no_frames_or_may_do_otherwise_has_no_parts():
    class Own(DualBranchNetwork):
        """Might do more with the frames than the class it is made of."""

    assert parts_of(build_network(GOLDEN_CONFIGS["eri_acoustic"])) is None
    assert parts_of(build_network(dataclasses.replace(MULTI, takes=("mfcc", "features")))) is None
    assert parts_of(Own(GOLDEN_CONFIGS["eri_dual_branch"])) is None
