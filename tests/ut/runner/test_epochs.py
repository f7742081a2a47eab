# SPDX-License-Identifier: Apache-2.0
"""What an epoch does and in which order, noted by a step that computes no gradients."""

import json
import time

import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.config import to_dict
from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.runner import trainer
from mindface_eri.runner.checkpoint import read_checkpoint


@pytest.fixture
def script(monkeypatch):
    """Sets the validation metric of each epoch; each emotion is 0.1 on its own side of it."""
    def set_metrics(*metrics):
        left = iter(metrics)
        monkeypatch.setattr(trainer, "pearson", lambda p, y: next(left) + np.array([0.1, -0.1]))

    return set_metrics


def predict(loop, weights):
    """What the network gives for the validation clips with other weights."""
    for name, parameter in {p.name: p for p in loop.task.network.get_parameters()}.items():
        parameter.set_data(Tensor(weights[name]))
    return loop.task.network.set_train(False)(Tensor(loop.task.batches.x["val"])).asnumpy()


def table(run):
    return np.loadtxt(run.predictions("val"), delimiter=",", skiprows=1, usecols=(1, 2))


def saved(run, name):
    return read_checkpoint(run.path / "checkpoints" / f"{name}.ckpt")


def test_each_epoch_trains_with_dropout_and_validates_without(tmp_path, noted_loop):
    loop = noted_loop(tmp_path, dropout=0.3)
    loop.run_all()
    assert loop.task.network.calls == 3 * [*5 * [(True, True)], (False, False)]
    assert loop.task.batches.epochs == [0, 1, 2]


@pytest.mark.parametrize("metrics, best", [
    ((0.3, 0.6, 0.5), 2), ((0.6, 0.3, 0.6), 1), ((-0.6, -0.4, -0.3), 3), ((np.nan, 0.2, 0.1), 2),
    ((np.nan, np.nan, np.nan), 1), ((np.nan, -0.5, np.nan), 2)])
def test_the_best_epochs_weights_and_predictions_are_kept(tmp_path, noted_loop, script, metrics, best):
    """A first epoch without a correlation counts as the best until there is one: a run always has a best.ckpt."""
    script(*metrics)
    loop = noted_loop(tmp_path)
    result = loop.run_all()
    assert (result.best_epoch, result.epochs, result.is_main) == (best, 3, True)
    assert result.best_metric == (-np.inf if np.isnan(metrics).all() else pytest.approx(np.nanmax(metrics)))
    for name, epoch in (("best", best), ("last", 3)):
        note = saved(loop.run, name)[1]
        assert note["epoch"] == epoch and note["val_pearson"] == pytest.approx(metrics[epoch - 1], nan_ok=True)
    weights = {name: saved(loop.run, name)[0] for name in ("best", "last")}
    shown = {name: predict(loop, values) for name, values in weights.items()}
    np.testing.assert_allclose(table(loop.run), shown["best"], atol=1e-6)
    assert (np.abs(shown["best"] - shown["last"]).max() < 1e-4) == (best == 3)


def test_averaged_weights_are_validated_and_saved_and_the_live_ones_trained_on(tmp_path, tiny_loop, script):
    script(0.3, 0.6, 0.5)
    loop = tiny_loop(tmp_path, ema=0.9)
    loop.run_all()
    live = {p.name: p.asnumpy().copy() for p in loop.task.network.get_parameters()}
    state, last, best = (saved(loop.run, name)[0] for name in ("state", "last", "best"))
    for name, value in live.items():
        np.testing.assert_array_equal(state[name], value)
        np.testing.assert_array_equal(last[name], state[f"ema.{name}"])
    assert np.abs(live["hidden.weight"] - last["hidden.weight"]).max() > 1e-3
    np.testing.assert_allclose(table(loop.run), predict(loop, best), atol=1e-6)
    script(0.3, 0.6, 0.5)
    plain = tiny_loop(tmp_path / "plain")
    plain.run_all()
    np.testing.assert_array_equal(saved(plain.run, "last")[0]["hidden.weight"], live["hidden.weight"])


@pytest.mark.parametrize("recipe, rates", [
    ({"schedule": "cosine", "warmup": 2, "lr": 0.3}, [0.1, 0.2, 0.3, 0.15]),
    ({"lr_patience": 1}, [0.03, 0.03, 0.03, 0.015]),
    ({"lr_patience": 2, "lr_factor": 0.1}, [0.03, 0.03, 0.03, 0.03])])
def test_each_epoch_trains_at_the_rate_of_its_line(tmp_path, noted_loop, script, recipe, rates):
    script(0.1, 0.2, 0.15, 0.1)
    loop = noted_loop(tmp_path, epochs=4, **recipe)
    loop.run_all()
    assert loop.step.rates == pytest.approx(np.repeat(rates, 5))
    assert [row["lr"] for row in loop.history] == pytest.approx(rates)


def test_lines_of_the_history(tmp_path, noted_loop, script, monkeypatch):
    """Time is that of training alone: ten seconds a batch here, and a thousand for validation."""
    script(0.25, 0.75)
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    loop = noted_loop(tmp_path, epochs=2, batch_size=3)
    batches, loop.step.losses = loop.task.batches, iter([0.1, 0.2, 0.3, 0.4, 0.5, *[0.25] * 5])

    def advance(items, seconds):
        for item in items:
            now[0] += seconds
            yield item

    train, inputs, sizes = batches.train, batches.inputs, []
    batches.train = lambda epoch: advance(train(epoch), 10)
    batches.inputs = lambda split, size: sizes.append((split, size)) or advance(inputs(split, size), 1000)
    result = loop.run_all()
    first = {"epoch": 1, "loss": pytest.approx(0.3), "val_pearson": pytest.approx(0.25),
             "val_pearson_by_emotion": {"Amusement": pytest.approx(0.35), "Fear": pytest.approx(0.15)}, "lr": 0.03,
             "seconds": 50.0, "samples_per_second": 0.4}
    assert result.history[0] == first
    assert [json.loads(line) for line in loop.run.metrics.read_text().splitlines()] == result.history
    assert sizes == [("val", 3)] * 2  # validation takes batches of the recipe's size
    assert [result.history[1][key] for key in ("epoch", "loss", "val_pearson")] == [2, 0.25, pytest.approx(0.75)]


@pytest.mark.parametrize("early_stop, epochs", [(0, 6), (1, 2), (2, 5), (3, 6)])
def test_early_stopping_waits_as_many_epochs_as_it_says(tmp_path, noted_loop, script, early_stop, epochs):
    script(0.5, 0.4, 0.6, 0.6, 0.6, 0.5)
    assert noted_loop(tmp_path, epochs=6, early_stop=early_stop).run_all().epochs == epochs


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_ends_training_before_anything_is_written(tmp_path, noted_loop, bad):
    loop = noted_loop(tmp_path)
    loop.step.losses = iter([*[0.5] * 6, bad, *[0.5] * 3])
    with pytest.raises(ERIError, match=rf"epoch 2 is {bad}; lower train.lr, set train.clip_norm, or, with"):
        loop.run_all()
    assert saved(loop.run, "state")[1]["epoch"] == 1 and len(loop.run.metrics.read_text().splitlines()) == 1


def test_more_batches_an_update_than_an_epoch_has_are_refused(tmp_path, noted_loop):
    noted_loop(tmp_path, accumulate=5)
    with pytest.raises(ConfigError, match="accumulate is 6 but an epoch has 5 batches; lower it, or train.batch_size"):
        noted_loop(tmp_path, accumulate=6)


def test_what_a_person_is_told(tmp_path, noted_loop, script):
    script(0.1, 0.2, 0.2)
    said = []
    loop = noted_loop(tmp_path, notify=said.append, progress=True)
    loop.run_all()
    assert [line.split(": loss")[0] for line in said] == [f"epoch {i}/3" for i in (1, 2, 3)]
    assert "val Pearson 0.1000, lr 3.00e-02, " in said[0] and said[0].endswith(" clips/s")
    said.clear()
    loop.run_all()  # nothing is left to do
    assert said == [] and loop.task.batches.epochs == [0, 1, 2]


def test_compiling_is_said_where_it_comes(tmp_path, tiny_loop):
    said = []
    loop = tiny_loop(tmp_path, epochs=1, notify=said.append)
    loop.run_all()
    assert said == ["training eri_dual_branch on CPU, 20 clips an epoch; compiling the graph comes first and can take "
                    "a minute or more"]
    loop.run_all()
    assert len(said) == 1


def test_notes_tell_what_the_weights_are(tmp_path, noted_loop, script):
    script(0.1, 0.4, 0.3)
    loop = noted_loop(tmp_path)
    loop.task.note["features"] = {"fau": {"columns": ["AU01"]}}
    loop.run_all()
    model, preprocess = to_dict(loop.config.model), to_dict(loop.config.preprocess)
    assert saved(loop.run, "last")[1] == {
        "model": model, "epoch": 3, "val_pearson": pytest.approx(0.3), "preprocess": preprocess,
        "features": {"fau": {"columns": ["AU01"]}}}
    note = saved(loop.run, "state")[1]
    assert note.pop("frozen")
    assert note == {"epoch": 3, "best_epoch": 2, "schedule": loop.schedule.state(), "history": loop.history,
                    "config": to_dict(loop.config)}
