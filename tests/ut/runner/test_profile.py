# SPDX-License-Identifier: Apache-2.0
"""How fast the data come, and what a person sees while training."""

import itertools

import numpy as np

from mindface_eri.device.context import Context
from mindface_eri.runner import profile
from mindface_eri.runner.callbacks import Progress
from mindface_eri.runner.profile import pipeline_rate, profile_line


class Batches:
    """Each epoch has three batches of four clips."""

    def train(self, epoch):
        return iter([(np.zeros((4, 6)), np.zeros((4, 2)))] * 3)


def test_the_rate_counts_clips_of_all_processes_over_epochs(monkeypatch):
    clock = itertools.count()  # a second passes at each look: at the start, after each batch, at the end
    monkeypatch.setattr(profile.time, "perf_counter", lambda: float(next(clock)))
    assert pipeline_rate(Batches(), Context("CPU", "graph"), seconds=5) == 5 * 4 / 6
    assert pipeline_rate(Batches(), Context("CPU", "graph", 1, 2), seconds=5) == 2 * 5 * 4 / 6


def test_the_line_names_both_and_says_when_training_waits():
    history = [{"samples_per_second": rate} for rate in (1.0, 50.0, 60.0, 40.0)]  # the first compiled
    assert profile_line(500.0, history) == "data: alone 500 clips/s, 10.0 times the 50 that training takes"
    assert profile_line(60.0, history).endswith("raise data.workers and data.prefetch")
    assert profile_line(500.0, history[:1]) == ("data: alone 500 clips/s, 500.0 times the 1 that training takes (of an "
                                                "epoch that compiled; train two or more to know)")
    assert "waits" not in profile_line(75.0, history)  # 1.5 times is enough
    assert profile_line(74.9, history) == ("data: alone 75 clips/s, 1.5 times the 50 that training takes; training "
                                           "waits for data: raise data.workers and data.prefetch")
    assert "the 45 that training takes" in profile_line(75.0, [*history[:2], {"samples_per_second": 40.0}])


def test_the_rate_is_that_of_ten_seconds_from_the_first_epoch_on(monkeypatch):
    clock, epochs = itertools.count(), []
    monkeypatch.setattr(profile.time, "perf_counter", lambda: float(next(clock)))
    batches = Batches()
    monkeypatch.setattr(batches, "train", lambda epoch: epochs.append(epoch) or Batches().train(epoch), raising=False)
    assert pipeline_rate(batches, Context("CPU", "graph")) == 10 * 4 / 11
    assert epochs[:4] == [0, 1, 2, 3]


def test_the_bar_shows_loss_correlation_rate_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bar = Progress(3, 8)
    bar.step(4, None)
    bar.step(4, 0.25)
    bar.epoch({"epoch": 1, "val_pearson": 0.5})
    bar.step(4, 0.125)
    bar.bar.refresh()
    bar.close()
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert shown.startswith("epoch 1/3") and "loss 0.1250 ρ 0.5000" in shown
    assert "12/24" in shown and "clip/s" in shown and "<" in shown  # tqdm's [elapsed<left, rate]


def test_a_notice_precedes_the_compilation(tmp_path, tiny_loop, monkeypatch):
    said = []
    loop = tiny_loop(tmp_path, epochs=1)
    loop.notify = said.append
    monkeypatch.setattr(loop, "_run_epoch", lambda bar, clips: said.append("epoch") or setattr(loop, "epoch", 1))
    loop.run_all()
    assert "compiling the graph comes first" in said[0] and said[1] == "epoch"
