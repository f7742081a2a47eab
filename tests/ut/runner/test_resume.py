# SPDX-License-Identifier: Apache-2.0
"""A training taken up again: what is written in which order, what a kill may leave undone, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindface_eri.errors import CheckpointError
from mindface_eri.runner import trainer
from mindface_eri.runner.checkpoint import read_checkpoint

METRICS = (0.2, 0.5, 0.4, 0.7)
BEST_TOO = ["state.ckpt", "last.ckpt", "best.ckpt", "metrics.jsonl", "predictions_val.csv"]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.fixture
def disk(monkeypatch):
    """Notes each file as it takes its name; `disk.stop_at = n` kills before the n-th does."""
    class Disk(list):
        stop_at = None

    noted, replace = Disk(), os.replace

    def replacing(source, target):
        if len(noted) == noted.stop_at:
            raise Killed
        noted.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replacing)
    return noted


def scripted(loop, monkeypatch):
    """The metric of an epoch is the same in each process."""
    monkeypatch.setattr(trainer, "pearson", lambda p, y: np.full(2, METRICS[loop.epoch - 1]))
    return loop


def resume(loop):
    loop.restore(*read_checkpoint(loop.run.state))
    return loop


def contents(run):
    """All that a run leaves, by name, without what the clock says."""
    found = {}
    for name in ("state", "last", "best"):
        weights, note = read_checkpoint(run.path / "checkpoints" / f"{name}.ckpt")
        found.update({(name, key): value.tolist() for key, value in weights.items()})
        found[name] = {**note, "history": [line["val_pearson"] for line in note.get("history", ())]}
    found["predictions"] = run.predictions("val").read_text()
    found["lines"] = len(run.metrics.read_text().splitlines())
    return found


def test_the_state_is_written_first_and_best_files_for_a_best_epoch_only(tmp_path, noted_loop, monkeypatch, disk):
    loop = scripted(noted_loop(tmp_path, epochs=3), monkeypatch)
    loop.run_all()
    assert disk == [*BEST_TOO, *BEST_TOO, "state.ckpt", "last.ckpt", "metrics.jsonl"]


def test_a_kill_between_any_two_files_is_mended(tmp_path, noted_loop, monkeypatch, disk):
    """In a best epoch, which the next does not reach: the files of either end as those of an undisturbed run."""
    options = {"epochs": 3, "ema": 0.5, "dropout": 0.0}
    whole = scripted(noted_loop(tmp_path / "whole", **options), monkeypatch)
    whole.run_all()
    expected = contents(whole.run)
    for done in range(len(BEST_TOO)):
        del disk[:]
        disk.stop_at = len(BEST_TOO) + done
        broken = scripted(noted_loop(tmp_path / f"broken{done}", **options), monkeypatch)
        with pytest.raises(Killed):
            broken.run_all()
        disk.stop_at = None
        taken_up = resume(scripted(noted_loop(broken.run.path, start=99, **options), monkeypatch))
        assert taken_up.epoch == (2 if done else 1)
        assert read_checkpoint(taken_up.run.checkpoint("last"))[1]["epoch"] == taken_up.epoch
        taken_up.run_all()
        assert taken_up.task.batches.epochs == ([2] if done else [1, 2])
        assert contents(taken_up.run) == expected


def test_a_state_without_predictions_is_taken_up_and_leaves_those_there_are(tmp_path, noted_loop, monkeypatch):
    scripted(noted_loop(tmp_path, epochs=1), monkeypatch).run_all()
    loop = noted_loop(tmp_path, epochs=2)
    table = loop.run.predictions("val").read_bytes()
    saved, note = read_checkpoint(loop.run.state)
    del saved["validation.predictions"]
    loop.restore(saved, note)
    assert loop.epoch == 1 and loop.run.predictions("val").read_bytes() == table


def test_a_resumed_run_knows_its_past(tmp_path, noted_loop, monkeypatch):
    recipe = {"lr_patience": 2, "early_stop": 3}
    past = scripted(noted_loop(tmp_path, epochs=3, **recipe), monkeypatch)
    past.run_all()
    loop = resume(noted_loop(tmp_path, epochs=6, start=99, **recipe))
    monkeypatch.setattr(trainer, "pearson", lambda p, y: np.full(2, 0.3))
    result = loop.run_all()  # the best was the second: the third to the fifth were not better
    assert (result.best_epoch, result.best_metric, result.epochs) == (2, pytest.approx(0.5), 5)
    assert result.history[:3] == past.history and [line["epoch"] for line in result.history] == [1, 2, 3, 4, 5]
    assert loop.step.rates == pytest.approx([0.03] * 5 + [0.015] * 5)
    assert read_checkpoint(loop.run.checkpoint("best"))[1]["epoch"] == 2
    assert noted_loop(tmp_path / "new", epochs=2).run_all().history[0]["epoch"] == 1


def test_the_rate_of_the_state_reaches_the_optimizer(tmp_path, noted_loop):
    loop = noted_loop(tmp_path, epochs=3, lr=0.3, schedule="cosine", warmup=2)
    loop.run_all()
    note = read_checkpoint(loop.run.state)[1]
    note["schedule"]["lr"] = 0.125
    loop.restore(read_checkpoint(loop.run.state)[0], note)
    assert float(loop.step.state()["learning_rate"].asnumpy()) == 0.125


class Fused(nn.Cell):
    """A frozen branch before the part that is trained."""

    def __init__(self, fusion, scale):
        super().__init__()
        self.branch, self.fusion = nn.Dense(6, 6, has_bias=False), fusion
        self.branch.weight.set_data(Tensor(np.full((6, 6), scale, np.float32)))


def with_branch(loop, scale):
    """The loop, its network now the trained part of a larger one."""
    loop.task.network = Fused(loop.task.trained_part, scale)
    return loop


def test_other_frozen_branches_are_refused(tmp_path, noted_loop):
    """They lie in the checkpoints, not in the state, which knows them by their hash."""
    loop = with_branch(noted_loop(tmp_path, epochs=1), 2.0)
    loop.run_all()
    last = read_checkpoint(loop.run.checkpoint("last"))[0]
    assert (last["branch.weight"] == 2).all()
    assert not [name for name in read_checkpoint(loop.run.state)[0] if "branch" in name or name.startswith("saved")]
    assert resume(with_branch(noted_loop(tmp_path, epochs=2, start=9), 2.0)).epoch == 1
    other = with_branch(noted_loop(tmp_path, epochs=2), 2.5)
    with pytest.raises(CheckpointError, match="state.ckpt: the frozen branches are not those that this run began with; "
                       "restore them, or train fusion anew in another folder"):
        resume(other)
    assert other.epoch == 0 and (other.task.network.branch.weight.asnumpy() == 2.5).all()


def test_a_state_of_another_network_names_the_network(tmp_path, noted_loop):
    noted_loop(tmp_path, epochs=1).run_all()
    with pytest.raises(CheckpointError, match=r"state.ckpt: does not fit this network \(it was written from "
                       r"eri_dual_branch\): accumulated.* is missing.*; and 2 more; use the recipe"):
        resume(noted_loop(tmp_path, epochs=2, accumulate=2))
