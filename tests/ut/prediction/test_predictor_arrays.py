# SPDX-License-Identifier: Apache-2.0
"""Arrays in, intensities out: what reaches the network, in which order, and what is refused."""

import numpy as np
import pytest

from mindface_eri.errors import DataError


def arrays(clips=3):
    rng = np.random.default_rng(0)
    return {"frames": rng.integers(0, 256, (clips, 4, 32, 32, 3), dtype=np.uint8),
            "mfcc": rng.normal(size=(clips, 4, 12)),
            "fau": rng.normal(size=(clips, 4, 3)), "gaze": rng.normal(size=(clips, 4, 1))}


def test_arrays_reach_the_network_in_its_order(multi):
    predictor, backend = multi
    given = arrays()
    present = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0]])
    answer = predictor.predict_arrays(gaze=given["gaze"], present=present, fau=given["fau"], mfcc=given["mfcc"],
                                      frames=given["frames"])
    assert answer.tolist() == [[0, 0.0625], [0.125, 0.1875], [0.25, 0.3125]]
    wanted = [*(given[name] for name in ("frames", "mfcc", "fau", "gaze")), present]
    for array, value, kind in zip(backend.seen, wanted, [np.uint8] + [np.float32] * 4):
        assert array.dtype == kind and np.array_equal(array, value.astype(kind)) and array.flags.c_contiguous
    predictor.predict_arrays(**given)
    assert backend.seen[4].tolist() == [[1] * 4] * 3 and backend.seen[4].dtype == np.float32
    assert predictor.emotions == ("Joy", "Awe") and predictor.features["gaze"]["columns"] == ["x"]
    found = predictor.attention(given["frames"], given["mfcc"], present, fau=given["fau"], gaze=given["gaze"])
    assert len(found) == 3
    for array, value, kind in zip(backend.seen, wanted, [np.uint8] + [np.float32] * 4):
        assert array.dtype == kind and np.array_equal(array, value.astype(kind))
    predictor.attention(**given)
    assert backend.seen[4].tolist() == [[1] * 4] * 3


@pytest.mark.parametrize("name, taken, left", [("eri_visual", "frames", "mfcc"), ("eri_acoustic", "mfcc", "frames")])
def test_a_branch_takes_its_own_input_alone(name, taken, left, made):
    predictor, backend = made(name)
    given = arrays(2)
    assert len(predictor.predict_arrays(**{taken: given[taken], left: given[left][:1]})) == 2
    assert len(backend.seen) == 1 and np.allclose(backend.seen[0], given[taken])
    with pytest.raises(DataError, match=f"{taken} is missing: this network needs"):
        predictor.predict_arrays(**{left: given[left]})


@pytest.mark.parametrize("change, message", [
    ({"mfcc": None}, r"mfcc is missing: this network needs \(B, 4, 12\) float32"),
    ({"frames": None}, r"frames is missing: this network needs \(B, 4, 32, 32, 3\) uint8"),
    ({"mfcc": np.zeros((2, 4, 12))}, r"mfcc has shape \(2, 4, 12\), this network needs \(B, 4, 12\) float32 with the "
     "same B for all inputs"),
    ({"mfcc": np.zeros((3, 4, 11))}, r"mfcc has shape \(3, 4, 11\), this network needs \(B, 4, 12\)"),
    ({"present": np.ones((3, 3))}, r"present has shape \(3, 3\), this network needs \(B, 2\)"),
    ({"frames": np.zeros((3, 4, 32, 32, 3), "f")}, r"frames is float32, this network needs \(B, 4, 32, 32, 3\) uint8: "
     "plain RGB crops, not normalised")])
def test_arrays_that_do_not_fit(change, message, made):
    given = {name: arrays()[name] for name in ("frames", "mfcc")}
    predictor, _ = made()
    for ask in (predictor.predict_arrays, predictor.attention):
        with pytest.raises(DataError, match=message):
            ask(**{**given, **change})


def test_clips_come_in_batches_of_the_graph(made):
    predictor, backend = made("eri_acoustic", batch=2)
    given = arrays()["mfcc"]
    assert predictor.predict_arrays(mfcc=given).tolist() == [[0, 0.0625], [0.125, 0.1875], [0, 0.0625]]
    assert np.allclose(backend.seen[0], given[[2, 2]])
