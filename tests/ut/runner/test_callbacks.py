# SPDX-License-Identifier: Apache-2.0
"""What a person sees of training, the mean loss, and the lines of metrics.jsonl."""

import json

import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.runner.callbacks import LossMeter, Progress, metrics_row, write_metrics
from mindface_eri.runner.run_folder import RunFolder


def row(epoch, rate=12.6):
    return {"epoch": epoch, "loss": 0.25, "val_pearson": -0.125, "lr": 3e-4, "samples_per_second": rate}


@pytest.mark.parametrize("epochs, told", [
    (3, [1, 2, 3]), (9, list(range(1, 10))), (19, list(range(1, 20))), (25, [1, *range(2, 25, 2), 25]),
    (100, [1, *range(10, 101, 10)])])
def test_without_a_terminal_some_ten_epochs_and_the_first_and_last_are_told(epochs, told):
    said = []
    bar = Progress(epochs, 8, notify=said.append)
    for epoch in range(1, epochs + 1):
        bar.epoch(row(epoch))
    bar.close()
    assert said == [f"epoch {epoch}/{epochs}: loss 0.2500, val Pearson -0.1250, lr 3.00e-04, 13 clips/s"
                    for epoch in told]


def test_a_bar_takes_the_place_of_lines_where_there_is_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    said = []
    bar = Progress(5, 8, first=2, notify=said.append)
    bar.step(4, 0.5)
    bar.bar.refresh()
    first = capsys.readouterr().err
    assert "loss 0.5000" in first and "ρ" not in first and "20/40" in first  # two epochs were done, and half of one
    bar.epoch(row(3))
    bar.step(4, None)
    assert bar.bar.postfix == "loss 0.5000" and bar.bar.n == 24
    bar.step(4, 0.75)
    bar.bar.refresh()
    bar.close()
    shown = capsys.readouterr().err
    assert "epoch 3/5" in shown and "loss 0.7500 ρ -0.1250" in shown
    assert said == [] and bar.bar.disable  # closed


def test_progress_that_nobody_asked_for_is_silent(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    said = []
    bar = Progress(1, 8, show=False, notify=said.append)
    bar.step(8, 0.5)
    bar.epoch(row(1))
    bar.close()
    assert (said, capsys.readouterr().err) == ([], "")


def test_the_loss_is_looked_at_every_twentieth_step_and_its_mean_is_of_all():
    losses = np.arange(1, 46, dtype=np.float32) ** 2
    meter = LossMeter()
    seen = [meter.add(Tensor(loss)) for loss in losses]
    assert {step: loss for step, loss in enumerate(seen, 1) if loss is not None} == {20: 400.0, 40: 1600.0}
    assert meter.mean() == losses.mean(dtype=np.float64) and meter.mean() == losses.mean(dtype=np.float64)
    meter.add(Tensor(np.float32(47)))
    assert meter.mean() == (losses.sum(dtype=np.float64) + 47) / 46


def test_an_epoch_of_one_batch_has_its_loss_and_one_of_none_has_nothing():
    meter = LossMeter()
    assert meter.mean() == 0
    meter.add(Tensor(np.float32(0.75)))
    assert meter.mean() == 0.75


def test_a_line_of_metrics():
    assert metrics_row(3, 0.25, np.array([0.5, -0.125, 0.3], np.float32), ("Joy", "Fear", "Awe"), lr=1e-3,
                       seconds=2.34567, clips=100) == {
        "epoch": 3, "loss": 0.25, "val_pearson": pytest.approx(0.225),
        "val_pearson_by_emotion": {"Joy": 0.5, "Fear": -0.125, "Awe": pytest.approx(0.3)}, "lr": 1e-3,
        "seconds": 2.346, "samples_per_second": 42.6}
    assert metrics_row(1, 0.5, [0.5], ["Joy"], lr=0.1, seconds=0.0, clips=2)["samples_per_second"] == 2e9


def test_lines_of_metrics_are_json_each_and_replace_those_before(tmp_path):
    run = RunFolder(tmp_path)
    write_metrics(run, [{"epoch": 1, "loss": 0.25}, {"epoch": 2}])
    write_metrics(run, [{"epoch": 1, "loss": 0.5}, {"epoch": 2}, {"epoch": 3}])
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    assert [json.loads(line) for line in text.splitlines()] == [{"epoch": 1, "loss": 0.5}, {"epoch": 2}, {"epoch": 3}]
