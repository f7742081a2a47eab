# SPDX-License-Identifier: Apache-2.0
"""The trainings of a fold: what they look at, whose weights answer, and that seeds do not know of each other."""

import mindspore as ms
import numpy as np
import pytest

from mindface_eri.device.context import Context
from mindface_eri.study import training
from mindface_eri.study.run import read_done, run_study


@pytest.fixture
def noted(monkeypatch):
    """What trainings saw: labels and count of the clips trained on, and each split asked for."""
    seen, true = [], training.predict_split
    monkeypatch.setattr(training, "predict_split",
                        lambda network, batches, split, *rest: seen.append((split, tuple(batches.ids[split])))
                        or true(network, batches, split, *rest))
    return seen


def test_the_last_weights_look_at_no_clip_before_the_end(make, noted, monkeypatch):
    """And each training takes the rates of its cosine, the whole one and half of it."""
    rates, true = [], training.train_epoch
    monkeypatch.setattr(training, "train_epoch", lambda step, *rest: rates.append(
        float(step.apply_step.optimizer.learning_rate.asnumpy())) or true(step, *rest))
    ms.set_context(mode=ms.PYNATIVE_MODE)
    study = make(train={"epochs": 2, "early_stop": 1, "lr": 0.04})  # a best epoch is asked for, and there is none
    run_study(study, notify=str)
    np.testing.assert_allclose(rates, [0.04, 0.02] * 6, rtol=1e-5)
    assert [split for split, _ in noted] == ["test"] * 6
    assert [done["inner_pearson"] for done in read_done(study, 2)] == [None, None]
    assert {done["epoch"] for done in read_done(study, 0)} == {2}


def test_the_weights_of_the_best_epoch_answer(make, people, monkeypatch):
    """Validation scores are made up: 0.3, 0.8, 0.8, 0.1; the second epoch's weights answer for the clips held out."""
    scores, judged = iter([0.3, 0.8, 0.8, 0.1]), []
    monkeypatch.setattr(training, "mean_pearson", lambda *_: next(scores))
    true = training.Judge.predict
    monkeypatch.setattr(training.Judge, "predict", lambda self, weights, clips, split: judged.append(
        (split, weights["out.weight"].copy())) or true(self, weights, clips, split))
    ms.set_context(mode=ms.PYNATIVE_MODE)
    study = make(train={"epochs": 9, "early_stop": 2, "schedule": "plateau"}, seeds=1)
    judge = training.Judge(study.config, 4, Context("CPU", "pynative"))
    trainer = training.FoldTrainer(study.view(0), judge, Context("CPU", "pynative"), keeps_last=False, notify=str)
    trained = trainer.train(study.seeded(0))
    assert (trained.epoch, trained.epochs, trained.inner) == (2, 4, 0.8)
    assert [split for split, _ in judged] == ["val"] * 4 + ["test"]
    np.testing.assert_array_equal(judged[4][1], judged[1][1])
    assert np.abs(judged[3][1] - judged[1][1]).max() > 1e-4


def test_a_later_seed_begins_as_if_it_were_the_first(make):
    """But for dropout, whose masks go on: with none, the second seed gives what it gives alone."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    study = make(train={"epochs": 3, "ema": 0.9, "weight_decay": 0.1}, model={"dropout": 0.0})
    context = Context("CPU", "pynative")
    judge = training.Judge(study.config, 4, context)
    both, alone = (training.FoldTrainer(study.view(0), judge, context, keeps_last=True, notify=str) for _ in range(2))
    both.train(study.seeded(0))
    np.testing.assert_array_equal(both.train(study.seeded(1)).predictions, alone.train(study.seeded(1)).predictions)


def test_long_trainings_tell_of_themselves(make, monkeypatch):
    monkeypatch.setattr(training, "_EVERY", 0.0)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    said, study = [], make(train={"epochs": 2}, seeds=1)
    run_study(study, notify=said.append)
    assert [line for line in said if "epoch 2 of 2: loss 0." in line][0].startswith("    ") and len(said) == 1 + 3 * 3
