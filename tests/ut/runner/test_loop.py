# SPDX-License-Identifier: Apache-2.0
"""Epochs, schedule, checkpoints and resuming on a network that trains in a moment."""

import json

import numpy as np
import pytest

from mindface_eri.metrics import mean_pearson
from mindface_eri.runner.checkpoint import read_checkpoint


def resume(loop):
    loop.restore(*read_checkpoint(loop.run.state))
    return loop


def same_state(one, two):
    (a, note_a), (b, note_b) = read_checkpoint(one.state), read_checkpoint(two.state)
    clock = ("seconds", "samples_per_second")
    timeless = [[{k: v for k, v in row.items() if k not in clock} for row in note["history"]]
                for note in (note_a, note_b)]
    assert timeless[0] == timeless[1]
    assert a.keys() == b.keys()
    return [name for name in a if not np.array_equal(a[name], b[name])]


def test_run_folder(tmp_path, tiny_loop):
    result = tiny_loop(tmp_path, epochs=4).run_all()
    rows = [json.loads(line) for line in result.run.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4] and rows[-1]["loss"] < rows[0]["loss"]
    best = max(rows, key=lambda row: row["val_pearson"])
    assert (result.best_epoch, result.best_metric) == (best["epoch"], best["val_pearson"])
    assert read_checkpoint(result.run.checkpoint("best"))[1]["epoch"] == best["epoch"]
    assert read_checkpoint(result.run.checkpoint("last"))[1]["epoch"] == 4
    lines = result.run.predictions("val").read_text().splitlines()
    assert lines[0] == "File_ID,Amusement,Fear" and lines[1].startswith("[00000],") and len(lines) == 12


def test_the_logged_metric_is_that_of_the_written_predictions(tmp_path, tiny_loop):
    loop = tiny_loop(tmp_path, epochs=2)
    result = loop.run_all()
    table = np.loadtxt(result.run.predictions("val"), delimiter=",", skiprows=1, usecols=(1, 2))
    assert mean_pearson(table, loop.task.batches.labels("val")) == pytest.approx(result.best_metric, abs=1e-5)


@pytest.mark.parametrize("more", [{}, {"ema": 0.8, "accumulate": 2, "loss_scale": "dynamic", "lr_patience": 1,
                                       "label_noise": 0.1}, {"schedule": "cosine", "warmup": 2}])
def test_a_resumed_run_equals_the_undisturbed_one(tmp_path, tiny_loop, more):
    whole = tiny_loop(tmp_path / "whole", epochs=4, **more)
    whole.run_all()
    broken = tiny_loop(tmp_path / "broken", epochs=4, **more)
    broken.task.batches.stop_in = 2  # in the middle of the third epoch
    with pytest.raises(KeyboardInterrupt):
        broken.run_all()
    taken_up = resume(tiny_loop(tmp_path / "broken", epochs=4, start=99, **more))
    assert taken_up.epoch == 2
    taken_up.run_all()
    assert same_state(whole.run, taken_up.run) == []
    assert whole.run.predictions("val").read_bytes() == taken_up.run.predictions("val").read_bytes()


def test_with_dropout_all_but_the_masks_is_reproduced(tmp_path, tiny_loop):
    """Masks differ between two runs of one seed already: MindSpore's CPU kernels draw them in no fixed order."""
    whole = tiny_loop(tmp_path / "whole", dropout=0.5)
    whole.run_all()
    stopped = tiny_loop(tmp_path / "broken", dropout=0.5, epochs=2)
    stopped.run_all()
    taken_up = resume(tiny_loop(tmp_path / "broken", dropout=0.5, start=99))
    assert taken_up.history == stopped.history
    weights = {name: p.asnumpy() for name, p in stopped.step.state().items()}
    assert all(np.array_equal(p.asnumpy(), weights[name]) for name, p in taken_up.step.state().items())
    taken_up.run_all()
    assert taken_up.epoch == 3 and taken_up.schedule.lr == whole.schedule.lr
    assert taken_up.history[2]["loss"] == pytest.approx(whole.history[2]["loss"], rel=0.5)


def test_a_wider_network_does_not_take_up_the_state(tmp_path, tiny_loop):
    from mindface_eri.errors import CheckpointError

    tiny_loop(tmp_path, epochs=1).run_all()
    with pytest.raises(CheckpointError, match="ema.hidden.weight is missing"):
        resume(tiny_loop(tmp_path, epochs=2, ema=0.9))


def test_a_diverged_loss_stops_with_advice(tmp_path, tiny_loop):
    from mindface_eri.errors import ERIError

    loop = tiny_loop(tmp_path)
    loop.task.batches.x["train"] *= np.float32(np.nan)
    with pytest.raises(ERIError, match="train.lr"):
        loop.run_all()


def test_a_changed_recipe_is_told_key_by_key():
    from mindface_eri.runner.run_folder import differences

    old = {"train": {"lr": 1e-3, "epochs": 4}, "model": {"tcn_dilations": [1, 2]}}
    new = {"train": {"lr": 3e-4, "epochs": 4, "new": 1}, "model": {"tcn_dilations": [1, 2]}}
    assert differences(old, new) == ["train.lr: 0.001 -> 0.0003"]
