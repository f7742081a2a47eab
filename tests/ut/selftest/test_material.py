# SPDX-License-Identifier: Apache-2.0
"""The small network's clips: what a device is held against has to reach every part of it."""

import dataclasses

import numpy as np

from mindface_eri.selftest import material
from mindface_eri.selftest.material import SMALL, inputs_of, labels_of


def test_clips_are_whole_different_and_the_same_each_time():
    frames, mfcc, present = inputs_of(SMALL, 3)
    assert frames.shape == (3, 4, 32, 32, 3) and frames.dtype == np.uint8 and mfcc.shape == (3, 4, 128)
    assert present.tolist() == [[1, 1]] * 3, "a branch that is not seen is not checked"
    assert 120 < frames.mean() < 135 and 0.9 < mfcc.std() < 1.1
    assert all((array[0] != array[1]).mean() > 0.9 for array in (frames, mfcc))
    assert all((a == b).all() for a, b in zip(inputs_of(SMALL, 3), (frames, mfcc, present)))
    (alone,) = inputs_of(dataclasses.replace(SMALL, name="eri_acoustic"), 3)
    assert (alone == mfcc).all()
    labels = labels_of(SMALL, 50)
    assert labels.shape == (50, 7) and 0.1 <= labels.min() < 0.15 and 0.85 < labels.max() <= 0.9


def test_nothing_is_drawn_in_the_small_network():
    assert (SMALL.dropout, SMALL.temporal_dropout, SMALL.p_both) == (0, 0, 1)


def test_the_reference_is_computed_by_single_operators_on_the_processor(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(material, "setup", told.append)
    monkeypatch.setattr(material, "build_network", lambda model: model)
    monkeypatch.setattr(material, "save_checkpoint", lambda *given: told.append(given))
    monkeypatch.setattr(material, "network_of", lambda folder: "network")
    monkeypatch.setattr(material, "answers_of", lambda network: {"loss": np.array(0.5), "of": np.array(network)})
    material.main(tmp_path)
    assert (told[0].device, told[0].mode) == ("CPU", "pynative")
    assert told[1] == (tmp_path / material.CHECKPOINT, SMALL, material.note_of(SMALL))
    with np.load(tmp_path / material.REFERENCE) as found:
        assert found["loss"] == 0.5 and found["of"] == "network"
