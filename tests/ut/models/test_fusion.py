# SPDX-License-Identifier: Apache-2.0
"""The fusion head alone: what it reads of `present`, whom modality dropout hides, and how often."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from golden import GOLDEN_CONFIGS, golden_weight, numbers
from mindspore import Tensor

from mindface_eri.models import FusionHead, ModalityDropout

DUAL, MULTI = GOLDEN_CONFIGS["eri_dual_branch"], GOLDEN_CONFIGS["eri_multi_branch"]


def hidden(head, clips, modalities):
    """How often all modalities, and each alone, were kept in training of clips that have all: (1 + N,)."""
    kept = head.modality_dropout.set_train()(Tensor(np.ones((clips, modalities), np.float32))).asnumpy()
    alone = kept[kept.sum(1) == 1]
    assert len(alone) + (kept.sum(1) == modalities).sum() == clips
    return np.array([(kept.sum(1) == modalities).mean(), *(alone.sum(0) / clips)])


@pytest.mark.parametrize("config, fields, expected", [
    (DUAL, {"p_both": 0.7, "p_visual": 0.2}, (0.7, 0.06, 0.24)),
    (DUAL, {"p_both": 0.2}, (0.2, 0.4, 0.4)),
    (DUAL, {"p_both": 0.0, "p_visual": 0.9, "p_alone": (0.1, 0.9)}, (0.0, 0.1, 0.9)),
    (DUAL, {"p_both": 1.0, "p_visual": 0.3}, (1.0, 0.0, 0.0)),
    (MULTI, {"p_both": 0.5, "p_visual": 0.1}, (0.5, 0.05, 0.15, 0.15, 0.15)),
    (MULTI, {"p_both": 0.4, "p_alone": (0.1, 0.2, 0.3, 0.4)}, (0.4, 0.06, 0.12, 0.18, 0.24)),
])
def test_options_of_modality_dropout_mean_their_chances(config, fields, expected, pynative):
    """Within five standard errors of 20,000 clips."""
    ms.set_seed(3)
    config = dataclasses.replace(config, **fields)
    share = hidden(FusionHead(config), 20_000, len(config.modalities))
    assert (np.abs(share - expected) <= 5 * np.sqrt(np.multiply(expected, np.subtract(1, expected)) / 20_000)).all()


def with_golden_weights(head):
    for name, parameter in head.parameters_and_names():
        parameter.set_data(Tensor(golden_weight(name, parameter.shape)))
    return head


def test_present_is_read_clip_by_clip_and_column_by_column(pynative):
    """A hidden branch is zeros, and never another clip's or another branch's column; any type of number will do."""
    head = with_golden_weights(FusionHead(MULTI)).set_train(False)
    features = [numbers(name, (5, 6, 12)) + 1 for name in MULTI.modalities]
    present = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.int32)
    zeroed = [x * present[:, i, None, None].astype(np.float32) for i, x in enumerate(features)]
    answer = head(*map(Tensor, features), Tensor(present)).asnumpy()
    whole = Tensor(np.ones((5, 4), np.float32))
    np.testing.assert_allclose(answer, head(*map(Tensor, zeroed), whole).asnumpy(), atol=1e-6)
    unmasked = head(*map(Tensor, features), whole).asnumpy()
    assert (np.abs(answer - unmasked).max(1) > 1e-3).tolist() == [False, True, True, True, True]


def test_training_hides_and_inference_does_not(pynative):
    """With p_both 0 and sound alone kept, training answers as if every clip with sound had no picture."""
    head = with_golden_weights(FusionHead(dataclasses.replace(DUAL, p_both=0.0, p_visual=0.0)))
    features = [Tensor(numbers(name, (3, 6, 12)) + 1) for name in DUAL.modalities]
    present, silent = (Tensor(np.array(rows, np.float32)) for rows in ([[1, 1], [1, 0], [0, 1]],
                                                                       [[0, 1], [1, 0], [0, 1]]))
    at_inference = head.set_train(False)(*features, present).asnumpy()
    for kind in (ms.float32, ms.int32):
        np.testing.assert_allclose(head.set_train()(*features, present.astype(kind)).asnumpy(),
                                   head.set_train(False)(*features, silent).asnumpy(), atol=1e-6)
    assert np.abs(head(*features, silent).asnumpy() - at_inference)[0].max() > 1e-3


def test_draws_differ_from_clip_to_clip_and_follow_the_seed(pynative):
    rows = []
    for seed in (1, 1, 2):
        ms.set_seed(seed)
        dropout = ModalityDropout(0.5, (0.5, 0.5)).set_train()
        rows.append(dropout(Tensor(np.ones((64, 2), np.float32))).asnumpy())
    assert len(np.unique(rows[0], axis=0)) == 3
    np.testing.assert_array_equal(rows[0], rows[1])
    assert (rows[0] != rows[2]).any()
