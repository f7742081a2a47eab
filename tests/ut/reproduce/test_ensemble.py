# SPDX-License-Identifier: Apache-2.0
"""The mean of several runs, and which clips a run has seen."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import load_config, save_config
from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import read_predictions, write_predictions
from mindface_eri.errors import DataError
from mindface_eri.reproduce.ensemble import clips_seen, score_ensemble, write_ensemble

NAMES = ("Fear", "Joy")


@pytest.fixture()
def members(tmp_path):
    """Two runs; the second has its columns turned and lacks a clip."""
    for name, ids, emotions, values in (("a", ["1", "2"], NAMES, [[0.1, 0.4], [0.2, 0.9]]),
                                        ("b", ["1"], NAMES[::-1], [[0.8, 0.7]])):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name / "predictions_test.csv", ids, emotions, values)
    return [tmp_path / "a", tmp_path / "b"]


def test_the_mean_is_taken_clip_by_clip_and_by_the_names_of_columns(members, tmp_path):
    assert write_ensemble(tmp_path / "out.csv", members, ["2", "1"], NAMES) == ()
    table = read_predictions(tmp_path / "out.csv")
    assert (table.ids, table.emotions) == (("2", "1"), NAMES)
    np.testing.assert_allclose(table.values, [[0.2, 0.9], [0.4, 0.6]])


def test_clips_that_nobody_predicted_are_filled_as_asked(members, tmp_path):
    with pytest.raises(DataError, match="1 of 3 test clips have no prediction, first 3"):
        write_ensemble(tmp_path / "out.csv", members, ["1", "3", "2"], NAMES)
    assert write_ensemble(tmp_path / "out.csv", members, ["1", "3", "2"], NAMES, missing="zero") == ("3",)
    np.testing.assert_allclose(read_predictions(tmp_path / "out.csv").values, [[0.4, 0.6], [0, 0], [0.2, 0.9]])


def test_scores_are_of_what_was_written_beside_the_labels(finish, known_labels, tmp_path):
    protocol = finish(tables=(3,), overrides=("data.folds=2",))
    runs = [protocol.run(f"fold-{fold}", "fusion") for fold in range(2)]
    values = np.random.default_rng(3).random((4, 7))
    write_predictions(tmp_path / "e.csv", ["00018", "00016", "00019", "00017"], EMOTIONS, values)
    write_predictions(tmp_path / "l.csv", [f"{i:05d}" for i in range(16, 20)], EMOTIONS, known_labels[16:])
    scored = score_ensemble(tmp_path / "e.csv", runs, tmp_path / "l.csv")
    assert (scored.name, scored.ids, scored.emotions) == ("ensemble", protocol.records.ids("test"), EMOTIONS)
    np.testing.assert_allclose(scored.predictions, values[[1, 3, 0, 2]], atol=1e-6)
    np.testing.assert_allclose(scored.labels, known_labels[16:], atol=1e-6)
    protocol.records.all_labels[16:] = known_labels[16:]
    np.testing.assert_allclose(score_ensemble(tmp_path / "e.csv", runs).labels, known_labels[16:], atol=1e-6)


def test_the_first_clip_that_was_seen_is_named(finish, known_labels, tmp_path):
    protocol = finish(tables=(1,))
    run = protocol.run("seed-0", "fusion")
    ids = [f"{i:05d}" for i in (15, 16, 11)]
    write_predictions(run / "predictions_test.csv", ids, EMOTIONS, known_labels[:3])
    write_predictions(tmp_path / "l.csv", ids, EMOTIONS, known_labels[:3])
    with pytest.raises(DataError, match=rf"e\.csv: {run} was trained, or its epoch chosen, on 2 of these 3 clips, "
                                        "first 00011; an ensemble is scored only on clips that no member has seen"):
        score_ensemble(tmp_path / "e.csv", [run], tmp_path / "l.csv")


def change(run, **values):
    config = load_config(run / "config.yaml")
    save_config(dataclasses.replace(config, data=dataclasses.replace(config.data, **values)), run / "config.yaml")


@pytest.mark.parametrize("stage, branch", [
    ("fusion", "acoustic"), ("fusion", "visual"), ("multi-FAU+both", "features-both"),
    ("multi-FAU+both", "features-FAU"), ("multi-FAU+both", "acoustic")])
def test_a_run_has_seen_what_its_branches_have(finish, known_labels, stage, branch):
    protocol = finish(tables=(1,), sets=("FAU", "both"))
    run = protocol.run("seed-0", stage)
    common = {f"{i:05d}" for i in range(16)}
    assert clips_seen(run) == common
    assert clips_seen(run / "checkpoints" / "best.ckpt") == common
    protocol.records.all_labels[16:] = known_labels[16:]
    change(protocol.run("seed-0", branch), folds=3, fold_of=("test",), fold_as="val")
    assert clips_seen(run) == common | {f"{i:05d}" for i in range(16, 20)}
    change(protocol.run("seed-0", branch), records=None)
    with pytest.raises(DataError, match=f"{branch}: does not say which clips it was trained on; an ensemble needs run"):
        clips_seen(run)


def test_the_held_out_fold_of_a_nested_cut_is_not_seen(finish):
    protocol = finish(tables=(1,))
    run = protocol.run("seed-0", "visual")
    change(run, folds=4, fold_as="test")
    assert len(clips_seen(run)) == 12
    lone = Path(run).parent.parent / "lone.ckpt"
    lone.touch()
    with pytest.raises(DataError, match="lone.ckpt: does not say which clips it was trained on"):
        clips_seen(lone)
