# SPDX-License-Identifier: Apache-2.0
"""`train`: what lies around its epochs - seeds, files, resuming, the lock, the messages, and the part of each rank."""

import dataclasses
import json
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindface_eri.config import DataConfig, load_config, to_dict
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import BusyError, CheckpointError, ConfigError
from mindface_eri.runner import trainer
from mindface_eri.runner.run_folder import describe_environment, differences
from mindface_eri.runner.trainer import train


@pytest.fixture
def recipe(tiny, noted_training):
    def recipe(epochs=1, records=tiny.records, model=(), **more):
        return tiny.config(train={"epochs": epochs, **more}, runtime={"mode": "pynative", "seed": 7},
                           data={"records": str(records)}, model=dict(model))

    return recipe


@pytest.fixture
def run(tmp_path):
    """Trains into tmp_path / run, quietly."""
    said = []

    def run(config, **options):
        said.clear()
        return train(config, tmp_path / "run", **{"notify": said.append, "progress": False, **options})

    run.said, run.path = said, tmp_path / "run"
    return run


def test_the_folder_says_how_it_was_trained(recipe, run, feature_folder):
    """The recipe with what the records completed: the widths of their feature sets."""
    config = recipe(records=feature_folder / "records", model={"name": "eri_features", "features": ("fau",)})
    result = run(config)
    assert result.run.path == run.path and result.pipeline_rate is None and result.epochs == 1
    assert differences(to_dict(config), to_dict(load_config(run.path / "config.yaml"))) == [
        "model.feature_widths: [] -> [2]"]
    assert json.loads((run.path / "environment.json").read_text()) == describe_environment(
        device="CPU", mode="pynative", processes=1, seed=7, records=str(feature_folder / "records"),
        parameters=6 * 5 + 5 + 5 * 2 + 2 + 4 * 6)
    assert not (run.path / ".lock").exists()


def test_a_run_takes_clips_apart_as_its_records_were_made(recipe, run):
    """Else `predict` would hear another part of each clip than training did."""
    records, config = open_records(recipe().data.records), recipe()
    made, audio = records.preprocess, config.preprocess.audio
    wanted = dataclasses.replace(config.preprocess, audio=dataclasses.replace(audio, cover="all", silence=0.125),
                                 face=dataclasses.replace(config.preprocess.face, follow="largest"))
    run(dataclasses.replace(config, preprocess=wanted))
    noted = load_config(run.path / "config.yaml").preprocess
    assert noted == dataclasses.replace(made, face=dataclasses.replace(made.face, follow="largest"))
    assert run.said[0] == (f"{records.path} were made with other settings than the recipe's, which the run takes over: "
                           "preprocess.audio.cover: all -> centred; preprocess.audio.silence: 0.125 -> 0.0001")
    run(config, resume=True)
    assert not any("other settings" in text for text in run.said)


def test_each_start_draws_anew_and_the_same_start_the_same(recipe, run, noted_training, tmp_path):
    """Else the dropout of the epochs after a resume would repeat that of the first epochs."""
    run(recipe(epochs=2))
    run(recipe(epochs=3), resume=True)
    assert noted_training.seeds == [7, 7 + 2 * 1_000_003]
    first, resumed = noted_training.tasks
    assert first.batches.epochs == [0, 1] and resumed.batches.epochs == [2]
    train(recipe(epochs=1), tmp_path / "again", notify=run.said.append, progress=False)
    assert noted_training.seeds[2] == 7


def test_going_on_says_from_where_and_what_has_changed(recipe, run):
    assert run(recipe(epochs=1), resume=True).epochs == 1  # nothing there yet
    assert run.said == []
    result = run(recipe(epochs=3, lr=0.25), resume=True)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert run.said == [f"resuming {run.path} after epoch 1 of 3",
                        "the recipe has changed since: train.epochs: 1 -> 3; train.lr: 0.01 -> 0.25"]
    run(recipe(epochs=3, lr=0.25), resume=True)
    assert run.said == [f"resuming {run.path} after epoch 3 of 3"]
    with pytest.raises(ConfigError, match="run holds a run already; go on with it .--resume. or name another folder"):
        run(recipe(epochs=4))


def test_folds_through_people_are_refused_before_anything_is_written(recipe, run, monkeypatch, tiny):
    records = open_records(tiny.records)
    named = dataclasses.replace(records, table=tuple({**row, "Actor": "a"} for row in records.table))
    monkeypatch.setattr(trainer, "resolve_records", lambda records, config: named)
    config = dataclasses.replace(recipe(), data=DataConfig(folds=2))
    with pytest.raises(ConfigError, match="data.folds would cut clip by clip, but the column Actor .*data.group=Actor"):
        run(config)
    assert not (run.path / "config.yaml").exists()
    assert run(dataclasses.replace(config, data=DataConfig(folds=2, group="None"))).epochs == 1


def test_a_run_goes_on_with_its_own_temporal_module(recipe, run, monkeypatch):
    """Version 0.1 did not name the one it had; nothing of such a run is touched by a recipe with another."""
    run(recipe(epochs=1))
    read = trainer.read_checkpoint

    def without_name(path):
        weights, note = read(path)
        note["config"]["model"].pop("temporal")
        return weights, note

    monkeypatch.setattr(trainer, "read_checkpoint", without_name)
    before = (run.path / "config.yaml").read_text()
    with pytest.raises(CheckpointError, match="run: was begun with model.temporal plain, the recipe has temma; set "
                                              "model.temporal=plain to go on, or name another folder"):
        run(recipe(epochs=2, model={"temporal": "temma"}), resume=True)
    assert (run.path / "config.yaml").read_text() == before
    assert run(recipe(epochs=2), resume=True).epochs == 2


@pytest.fixture
def busy(run):
    """Another process trains into the folder; `busy()` ends it."""
    run.path.mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold, run.path / ".lock"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        yield lambda: other.communicate(b"\n")
        other.kill()


def test_one_training_a_folder(recipe, run, busy):
    with pytest.raises(BusyError, match=r"run: another process \(a training\) is at work there"):
        run(recipe())
    assert not (run.path / "checkpoints").exists()
    busy()
    assert run(recipe()).epochs == 1


def test_the_folder_is_locked_while_it_trains(recipe, run, noted_training, monkeypatch):
    held = []
    monkeypatch.setattr(trainer, "write_metrics", lambda folder, history: held.append((run.path / ".lock").exists()))
    run(recipe())
    assert held == [True]


def test_the_data_are_measured_only_where_that_is_asked_for(recipe, run, noted_training, monkeypatch):
    def rate(batches, context):
        assert batches is noted_training.tasks[0].batches and batches.epochs == []  # before training
        return 12.5 * context.world_size

    monkeypatch.setattr(trainer, "pipeline_rate", rate)
    assert run(recipe(), profile_data=True).pipeline_rate == 12.5


def test_progress_is_shown_unless_it_is_not_wanted(recipe, run, tmp_path):
    run(recipe(), progress=True)
    assert len(run.said) == 1 and run.said[0].startswith("epoch 1/1: loss 0.5000")
    train(recipe(), tmp_path / "b", notify=run.said.append)
    assert len(run.said) == 2


def test_the_network_trains_as_recipe_and_number_of_processes_say(recipe, run, noted_training):
    run(recipe(lr=0.125, ema=0.5))
    (step,) = noted_training.steps
    assert step.rates == [0.125] * 5 and "ema.out.weight" in step.state()
    assert step.real.network is noted_training.tasks[0].trained_part


@pytest.fixture
def second(monkeypatch):
    """Makes this process the second of two; `sums` are what it gave to the others, who gave halves."""
    class AllReduce:
        sums = []

        def __call__(self, x):
            self.sums.append(x.asnumpy().copy())
            return x + Tensor(np.full(x.shape, 0.5, np.float32))

    monkeypatch.setattr(trainer, "setup", lambda runtime: Context("CPU", runtime.mode, 1, 2))
    monkeypatch.setattr(ops, "AllReduce", AllReduce)
    return AllReduce


def test_a_second_process_begins_with_the_weights_of_the_first_and_writes_nothing(recipe, run, noted_training, second):
    result = run(recipe(), progress=True)
    assert not result.is_main and not run.path.exists() and run.said == []
    assert noted_training.seeds == [8]  # another's dropout
    (task,), (step,) = noted_training.tasks, noted_training.steps
    count = sum(p.size for p in task.network.get_parameters())
    assert [x.shape for x in second.sums[:2]] == [(count,), (1,)]  # all at once; then it waits for the others
    assert not second.sums[0].any()
    assert step.real.reduce.share == 0.5
    np.testing.assert_allclose(task.network.out.bias.asnumpy(), [0.5 * 0.8**5] * 2, rtol=1e-6)  # five noted steps


def test_the_lock_that_the_first_process_holds_is_no_hindrance(recipe, run, busy, second):
    assert run(recipe()).epochs == 1


def test_a_second_process_goes_on_in_silence(recipe, run, noted_training, monkeypatch, second):
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "setup", lambda runtime: Context("CPU", runtime.mode))
        run(recipe(epochs=2))
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    run(recipe(epochs=3), resume=True)
    assert noted_training.seeds[1] == 7 + 1 + 2 * 1_000_003
    assert noted_training.tasks[1].batches.epochs == [2] and run.said == []
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_the_context_is_made_from_the_recipe(recipe, run, monkeypatch):
    asked = []
    monkeypatch.setattr(trainer, "setup", lambda *arguments: asked.append(arguments) or Context("CPU", "pynative"))
    config = recipe()
    run(config)
    changed = recipe(epochs=2)
    run(changed, resume=True)
    assert asked == [(config.runtime,), (changed.runtime,)]
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
