# SPDX-License-Identifier: Apache-2.0
"""The network on statistics over time: numbers by hand, inputs of its choice, what a clip lacks."""

import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.errors import ConfigError
from mindface_eri.models import StatisticsNetwork, TimeStatistics, create_model

SIZES = {"frames": 6, "mfcc_features": 6, "mfcc_stack": 3, "width": 8, "emotions": ("Joy", "Awe"), "dropout": 0.0,
         "hidden_dropout": 0.0}
RNG = np.random.default_rng(9)
INPUTS = {"mfcc": RNG.normal(3, 2, (4, 6, 6)), "landmarks": RNG.normal(90, 25, (4, 6, 68, 2)),
          "fau": RNG.normal(size=(4, 6, 3)), "present": np.ones((4, 2))}
FAU = {"features": ("fau",), "feature_widths": (3,)}


def tensors(network, **changed):
    given = {**INPUTS, "present": np.ones((4, len(network.config.modalities))), **changed}
    return [Tensor(np.asarray(given[name], np.float32)) for name in network.config.inputs]


def test_statistics_by_hand(pynative):
    x = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0], [1.0, 6.0], [0.0, 0.0], [3.0, 0.0], [3.0, 0.0]])  # (7, 2)
    found = TimeStatistics(7)(Tensor(x[None].astype(np.float32))).asnumpy()[0]
    # Differences 1, 2, -3, -1, 3, 0 and 0, 0, 6, -6, 0, 0; thirds of 2, 2 and 3 instants.
    expected = [[2.0, 6 / 7], [np.sqrt(12 / 7), np.sqrt(36 / 7 - (6 / 7) ** 2)],
                [np.sqrt(24 / 6 - (2 / 6) ** 2), np.sqrt(72 / 6)], [1.5, 0], [2.5, 3], [2, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    moving = TimeStatistics(7, moving=True)(Tensor(x[None].astype(np.float32))).asnumpy()[0]
    np.testing.assert_allclose(moving[1:3], expected[1:3], rtol=1e-5)
    np.testing.assert_allclose(moving[3:], np.array(expected[3:]) - expected[0], atol=1e-6)
    assert (moving[0] == 0).all()  # what the face is, says nothing


@pytest.mark.parametrize("instants, thirds", [(1, [0, 0, 0]), (2, [0, 0, 1]), (3, [0, 1, 2])])
def test_a_clip_of_few_instants(instants, thirds, pynative):
    x = np.arange(10.0, 10 + instants)[None, :, None]
    found = TimeStatistics(instants)(Tensor(x.astype(np.float32))).asnumpy()[0, :, 0]
    np.testing.assert_allclose(found[3:], x[0, thirds, 0], rtol=1e-6)
    assert found[2] == pytest.approx(0) and np.isfinite(found).all()


def test_frames_of_a_stack_follow_one_another(pynative):
    network = create_model("eri_statistics", takes=["mfcc"], **SIZES)
    found = network.measure(Tensor(INPUTS["mfcc"].astype(np.float32)))[0].asnumpy()
    frames = INPUTS["mfcc"].reshape(4, 18, 2)
    np.testing.assert_allclose(found[:, 2], np.diff(frames, axis=1).std(axis=1), rtol=1e-4)
    np.testing.assert_allclose(found[:, 5], frames[:, 12:].mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize("takes, sets, inputs", [
    ([], {}, ("mfcc", "landmarks", "present")), (["mfcc"], {}, ("mfcc",)), (["landmarks"], {}, ("landmarks",)),
    (["landmarks", "mfcc"], FAU, ("mfcc", "landmarks", "fau", "present")), (["features"], FAU, ("fau",)),
    (["mfcc"], FAU, ("mfcc", "fau", "present"))])
def test_it_takes_what_it_is_told_to(takes, sets, inputs, pynative):
    network = create_model("eri_statistics", takes=takes, **sets, **SIZES).set_train(False)
    assert type(network) is StatisticsNetwork and network.config.inputs == inputs
    answer = network(*tensors(network)).asnumpy()
    assert answer.shape == (4, 2) and ((answer > 0) & (answer < 1)).all() and np.ptp(answer, axis=0).min() > 1e-4


def test_by_person_a_clip_counts_by_what_it_differs_from_its_persons_by(pynative):
    network = create_model("eri_statistics", normalise_by_person=True, **SIZES).set_train(False)
    assert network.config.inputs == ("mfcc", "landmarks", "person", "present")
    person = RNG.uniform(1, 2, (4, 2, 6, 2))
    person[2] = 0  # silent
    present = np.array([[1, 1], [1, 1], [1, 0], [0, 1]])
    given = tensors(network, person=person, present=present)
    measured = network.measure(*given)[0].asnumpy()
    standard = network.streams[0].standardised(measured, person)
    np.testing.assert_allclose(standard[1].reshape(6, 2), (measured[1] - person[1, 0]) / person[1, 1], rtol=1e-5)
    face = network.streams[1](given[1])
    head = network.head(Tensor(standard), face, given[-1]).asnumpy()
    answer = network(*given).asnumpy()
    np.testing.assert_allclose(answer, head, atol=1e-6)
    others = network(*tensors(network, person=person * 1.5, present=present)).asnumpy()
    moved = np.abs(others - answer).max(axis=1)
    assert (moved[[0, 1, 3]] > 1e-5).all() and moved[2] == 0 and np.isfinite(answer).all()


def _standardised(network):
    """Each stream's statistics set to those of the four clips."""
    for stream, measured in zip(network.streams, network.measure(*tensors(network))):
        values = measured.asnumpy()
        stream.set_statistics(values.mean(axis=0), values.std(axis=0))


def test_what_a_clip_lacks_is_the_mean_of_the_training_set(pynative):
    network = create_model("eri_statistics", **FAU, **SIZES).set_train(False)
    _standardised(network)
    present = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    answer = network(*tensors(network, present=present)).asnumpy()
    standard = [stream.standardised(measured.asnumpy())
                for stream, measured in zip(network.streams, network.measure(*tensors(network)))]
    for values, clip in ((standard[1], 1), (standard[0], 2), (standard[2], 3)):
        values[clip] = 0
    head = network.head(*(Tensor(values) for values in standard), Tensor(np.ones((4, 3), np.float32))).asnumpy()
    np.testing.assert_allclose(answer, head, atol=1e-6)
    # Zeros in the place of what is absent give the same.
    silent = np.where(np.arange(4)[:, None, None] == 2, 0, INPUTS["mfcc"])
    np.testing.assert_allclose(network(*tensors(network, present=present, mfcc=silent)).asnumpy(), answer, atol=1e-6)


def test_standardised_statistics_and_a_constant_one(pynative):
    network = create_model("eri_statistics", takes=["features"], **FAU, **SIZES)
    constant = np.where([True, False, True], INPUTS["fau"], 7.0)
    (measured,) = network.measure(*tensors(network, fau=constant))
    network.streams[0].set_statistics(measured.asnumpy().mean(axis=0), measured.asnumpy().std(axis=0))
    found = network.streams[0](*tensors(network, fau=constant)).asnumpy().reshape(4, 6, 3)
    np.testing.assert_allclose(found[..., [0, 2]].std(axis=0), 1, rtol=1e-3)
    assert np.abs(found[..., 1]).max() < 1e-3 and np.abs(found.mean(axis=0)).max() < 1e-3
    np.testing.assert_allclose(network.streams[0].standardised(measured.asnumpy()), found.reshape(4, 18), atol=1e-4)


def test_modality_dropout_draws_only_what_the_network_takes(pynative):
    """Without landmarks and crops the picture is never the one left."""
    network = create_model("eri_statistics", takes=["mfcc"], **FAU, **SIZES, p_both=0.0, p_visual=0.9).set_train()
    kept = network.head.modality_dropout(Tensor(np.ones((400, 3), np.float32))).asnumpy()
    assert (kept[:, 0] == 0).all() and (kept.sum(axis=1) == 1).all() and 150 < kept[:, 1].sum() < 250


@pytest.mark.parametrize("name, fields, message", [
    ("eri_acoustic", {"takes": ["mfcc"]}, "the inputs of eri_acoustic are given; leave it out"),
    ("eri_statistics", {"takes": ["frames"]}, r"takes is \['frames'\], need some of mfcc, landmarks, features, each"),
    ("eri_statistics", {"takes": ["mfcc", "mfcc"]}, "each once"),
    ("eri_statistics", {"takes": ["features"]}, "model.features names no feature set"),
    ("eri_statistics", {"takes": ["landmarks"], "normalise_by_person": True}, "is for the sound of eri_statistics"),
    ("eri_multi_branch", {"takes": ["mfcc", "landmarks"], "normalise_by_person": True}, "sound of eri_statistics"),
    ("eri_statistics", {"features": ["person"], "feature_widths": [3]}, "differ from visual, acoustic, landmarks, p"),
    ("eri_statistics", {"mfcc_stack": 4}, "mfcc_features is 6, no multiple of model.mfcc_stack, 4"),
    ("eri_statistics", {"features": ["landmarks"], "feature_widths": [3]}, "differ from visual, acoustic, landmarks")])
def test_refusals(name, fields, message):
    with pytest.raises(ConfigError, match=message):
        create_model(name, **{**SIZES, **fields})
