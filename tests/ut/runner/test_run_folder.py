# SPDX-License-Identifier: Apache-2.0
"""Names in a run folder, and what it, or a lone checkpoint, says about its network."""

import os
import platform
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

import mindface_eri
from mindface_eri.config import Config, ModelConfig, load_config, save_config, to_dict
from mindface_eri.errors import CheckpointError
from mindface_eri.files import write_text
from mindface_eri.models.registry import create_model
from mindface_eri.runner.checkpoint import save_checkpoint
from mindface_eri.runner.run_folder import (
    RunFolder,
    describe_environment,
    differences,
    find_checkpoint,
    load_network,
    load_trained,
    note_of,
    run_config,
)

MODEL = ModelConfig(name="eri_acoustic", emotions=("Amusement", "Fear"), frames=4, crop_size=32, mfcc_features=8,
                    width=8, temporal_depth=1, temporal_heads=2, tcn_dilations=(1,))


@pytest.fixture(scope="module")
def weights():
    """Of the best epoch and of the last, which is another."""
    ms.set_seed(1)
    network = create_model("eri_acoustic", **{k: v for k, v in vars(MODEL).items() if k != "name"})
    best = {p.name: p.asnumpy() for p in network.get_parameters()}
    return {"best": best, "last": {name: value + 1 for name, value in best.items()}}


@pytest.fixture
def run(tmp_path, weights):
    """A run folder with a configuration of its own, and checkpoints that say their model."""
    folder = RunFolder(tmp_path / "run").make()
    save_config(load_config(None, ["model.name=eri_visual", "train.lr=0.5"]), folder.config)
    for which, values in weights.items():
        save_checkpoint(folder.checkpoint(which), values, note_of(MODEL, epoch=3, which=which))
    return folder


def test_names_in_the_folder(tmp_path):
    run = RunFolder(tmp_path)
    names = {run.config: "config.yaml", run.environment: "environment.json", run.metrics: "metrics.jsonl",
             run.state: "checkpoints/state.ckpt", run.checkpoint(): "checkpoints/best.ckpt",
             run.checkpoint("last"): "checkpoints/last.ckpt", run.predictions("test"): "predictions_test.csv"}
    assert {path.relative_to(tmp_path).as_posix() for path in names} == set(names.values())
    assert all(path == tmp_path / name for path, name in names.items())


def test_making_it_removes_what_a_kill_left_half_written(tmp_path):
    run = RunFolder(tmp_path / "a" / "b")
    assert run.make() is run and (run.path / "checkpoints").is_dir()
    left = [run.path / ".metrics.12.3.tmp.jsonl", run.path / "checkpoints" / ".last.12.3.tmp.ckpt"]
    for path in (*left, run.metrics):
        path.write_text("half")
    run.make()
    assert not any(path.exists() for path in left) and run.metrics.exists()


def test_a_lock_lies_in_the_folder_while_it_is_held(tmp_path):
    run = RunFolder(tmp_path).make()
    with run.lock():
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("which", ["best", "last"])
def test_the_checkpoint_that_is_asked_for_is_read(run, weights, which):
    """Its own model counts, not the folder's recipe."""
    trained = load_trained(run.path, which)
    assert trained.path == run.checkpoint(which) and trained.note["which"] == which
    assert (trained.model, trained.run) == (MODEL, run)
    assert all(np.array_equal(trained.weights[name], value) for name, value in weights[which].items())
    network, model = load_network(run.path, which)
    assert model == MODEL and not network.training
    assert all(np.array_equal(p.asnumpy(), weights[which][p.name]) for p in network.get_parameters())


def test_the_best_checkpoint_is_read_unless_another_is_named(run, weights):
    for network in (load_network(run.path)[0], load_trained(run.path).build()):
        for parameter in network.get_parameters():
            np.testing.assert_array_equal(parameter.asnumpy(), weights["best"][parameter.name])
    assert find_checkpoint(run.path) == (run.checkpoint("best"), run)


def test_a_trained_network_needs_the_file_of_its_stem_no_more(tmp_path):
    model = ModelConfig(name="eri_visual", frames=2, crop_size=32, stem_width=4, spatial_depth=1, spatial_heads=2,
                        width=8, temporal_depth=1, temporal_heads=2, tcn_dilations=(1,))
    network = create_model(**vars(model))
    moved = replace(model, stem_checkpoint=str(tmp_path / "gone.ckpt"))
    save_checkpoint(tmp_path / "a.ckpt", network, note_of(moved))
    assert load_network(tmp_path / "a.ckpt")[1] == moved


def test_a_file_knows_its_run_folder(run, tmp_path, monkeypatch):
    last = run.checkpoint("last")
    assert find_checkpoint(last) == (last, run)  # whatever `which` says
    monkeypatch.chdir(last.parent)
    file, folder = find_checkpoint("last.ckpt", "best")
    assert str(file) == "last.ckpt" and folder == run
    lone = tmp_path / "x" / "y" / "lone.ckpt"
    lone.parent.mkdir(parents=True)
    lone.write_bytes(last.read_bytes())
    assert find_checkpoint(lone) == (lone, None)
    assert load_trained(lone).run is None and load_trained(lone).model == MODEL


def test_a_checkpoint_that_does_not_say_its_model_takes_the_folders(run, weights, tmp_path):
    save_checkpoint(run.checkpoint("best"), weights["best"])
    assert load_trained(run.path).model == ModelConfig(name="eri_visual")
    lone = tmp_path / "x" / "y" / "lone.ckpt"
    save_checkpoint(lone, weights["best"])
    with pytest.raises(CheckpointError, match="lone.ckpt: does not say which model it holds and lies in no run folder; "
                       "give a checkpoint that `mindface-eri train` wrote"):
        load_trained(lone)


def test_what_cannot_be_read_is_said(run, weights, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such run folder or checkpoint"):
        find_checkpoint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty: no checkpoints/last.ckpt in it; is it a run folder, and has its"):
        find_checkpoint(tmp_path / "empty", "last")
    with pytest.raises(CheckpointError, match="no config.yaml in it; give the folder that `mindface-eri train` wrote"):
        run_config(tmp_path / "empty")
    assert run_config(run.path).train.lr == 0.5
    save_checkpoint(run.checkpoint("best"), weights["best"], {"model": {"name": "eri_acoustic", "wings": 2}})
    with pytest.raises(CheckpointError, match=r"best.ckpt: its configuration cannot be used \(.*model.wings"):
        load_trained(run.path)
    write_text(run.config, "model: [")
    save_checkpoint(run.checkpoint("best"), weights["best"])
    with pytest.raises(CheckpointError, match="its configuration cannot be used"):
        load_trained(run.path)


def test_weights_of_another_network_name_the_file_and_the_model(run, weights):
    save_checkpoint(run.checkpoint("best"), {"stranger": np.zeros(2)}, note_of(MODEL))
    with pytest.raises(CheckpointError, match=r"best.ckpt: does not fit this network \(it was written from eri_ac"):
        load_network(run.path)


def test_the_environment_says_what_numbers_depend_on(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX")
    assert describe_environment(device="CPU", seed=3) == {
        **mindface_eri.versions(), "mindspore": ms.__version__, "numpy": np.__version__,
        "python": platform.python_version(), "platform": platform.platform(), "cores": os.cpu_count(),
        "onednn_max_cpu_isa": "AVX", "device": "CPU", "seed": 3}
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert describe_environment()["onednn_max_cpu_isa"] is None


def test_differences_of_recipes():
    old = to_dict(Config())
    new = to_dict(load_config(None, ["train.lr=0.5", "preprocess.face.margin=0.5", "runtime.seed=7"]))
    assert differences(old, new) == ["preprocess.face.margin: 0.2 -> 0.5", "train.lr: 0.0001 -> 0.5",
                                     "runtime.seed: 0 -> 7"]
    assert differences(new, new) == []
    del old["train"], old["preprocess"]["face"]["margin"]  # recipes of before they had these keys
    assert differences(old, new) == ["runtime.seed: 0 -> 7"]


def test_notes_hold_the_model_and_more():
    assert note_of(MODEL, epoch=3) == {"model": to_dict(MODEL), "epoch": 3}
