# SPDX-License-Identifier: Apache-2.0
"""Whole trainings of the real networks, made tiny, on real records."""

import functools
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from mindspore import Tensor
from mindspore.train import Model

from mindface_eri.config import load_config, save_config
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.evaluation.evaluator import evaluate
from mindface_eri.evaluation.runs import evaluate_run
from mindface_eri.loss import create_loss
from mindface_eri.metrics import PearsonMetric
from mindface_eri.models.registry import create_model
from mindface_eri.runner import trainer
from mindface_eri.runner.checkpoint import read_checkpoint
from mindface_eri.runner.features import extract_features
from mindface_eri.runner.optim import create_optimizer
from mindface_eri.runner.profile import profile_line
from mindface_eri.runner.run_folder import load_network, load_trained
from mindface_eri.runner.trainer import train


def quiet(_):
    pass


@pytest.fixture(scope="module")
def acoustic_run(tmp_path_factory, record_folder):
    config = load_config(None, [
        "preprocess.frames=4", "preprocess.face.size=32", "preprocess.audio={coefficients: 4, stack: 2}",
        "model={name: eri_acoustic, emotions: [Amusement, Fear], frames: 4, crop_size: 32, mfcc_features: 8, "
        "stem_width: 4, spatial_depth: 1, spatial_heads: 2, width: 8, temporal_depth: 1, temporal_heads: 2, "
        "temporal: plain, tcn_dilations: [1]}", "train.epochs=3", "train.batch_size=8", "train.lr=1e-2",
        f"data.records={record_folder}"])
    folder = tmp_path_factory.mktemp("runs") / "acoustic"
    return train(config, folder, notify=quiet, progress=False)


def test_evaluation_gives_the_metric_of_training(acoustic_run):
    result = evaluate(acoustic_run.run.path)
    assert result.mean == pytest.approx(acoustic_run.best_metric, abs=1e-6)
    assert result.path == acoustic_run.run.predictions("val") and result.predictions.shape == (7, 2)
    assert list(result.by_emotion()) == ["Amusement", "Fear"]


def test_how_fast_data_come_is_measured_before_training(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "pipeline_rate", functools.partial(trainer.pipeline_rate, seconds=0.1))
    result = train(tiny.config(train={"epochs": 1}), tmp_path / "run", notify=quiet, progress=False, profile_data=True)
    assert result.pipeline_rate > 0 and result.epochs == 1
    assert profile_line(result.pipeline_rate, result.history).startswith("data: alone ")


def test_batch_size_does_not_change_predictions(acoustic_run, tmp_path):
    one, four = (evaluate(acoustic_run.run.path, batch_size=size, out=tmp_path / "p.csv") for size in (1, 4))
    np.testing.assert_allclose(one.predictions, four.predictions, atol=1e-6)


def test_a_split_without_labels_is_predicted(acoustic_run):
    result = evaluate(acoustic_run.run.path, split="test")
    assert result.predictions.shape == (3, 2) and not result.labelled
    assert len(result.path.read_text().splitlines()) == 4


def test_a_lone_checkpoint_is_enough(acoustic_run, tmp_path):
    file = tmp_path / "moved.ckpt"
    file.write_bytes(acoustic_run.run.checkpoint("best").read_bytes())
    network, model = load_network(file)
    assert model.name == "eri_acoustic" and model.emotions == ("Amusement", "Fear")
    x = Tensor(np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32))
    same = load_network(acoustic_run.run.path)[0]
    np.testing.assert_array_equal(network(x).asnumpy(), same(x).asnumpy())


def test_the_training_sets_statistics_lie_in_the_checkpoint(acoustic_run, tiny):
    from mindface_eri.datasets.records import open_records

    weights = load_trained(acoustic_run.run.path).weights
    np.testing.assert_allclose(weights["mfcc_mean"], open_records(tiny.records).mfcc_mean, rtol=1e-6)


def test_features_are_cached_by_weights_and_records(acoustic_run):
    said = []
    paths = extract_features(acoustic_run.run.path, splits=("train", "val"), notify=said.append)
    assert [np.load(path).shape for path in paths] == [(24, 4, 8), (7, 4, 8)] and len(said) == 2
    again = extract_features(acoustic_run.run.path, splits=("train", "val"), notify=said.append)
    assert again == paths and len(said) == 2  # found, not computed
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:-100])
    extract_features(acoustic_run.run.path, splits=("val",), notify=said.append)
    assert len(said) == 3 and paths[1].read_bytes() == whole  # a damaged file is computed again


def test_a_folder_that_holds_a_run_is_not_overwritten(acoustic_run, tiny):
    with pytest.raises(ConfigError, match="--resume"):
        train(tiny.config(), acoustic_run.run.path, notify=quiet)


def test_fusion_needs_its_branches(tiny, tmp_path, acoustic_run):
    with pytest.raises(ConfigError, match="train.visual_run is not set"):
        train(tiny.config(model={"name": "eri_dual_branch"}), tmp_path / "f", notify=quiet)
    wrong = tiny.config(model={"name": "eri_dual_branch"}, train={"visual_run": str(acoustic_run.run.path)})
    with pytest.raises(CheckpointError, match="holds eri_acoustic, need eri_visual"):
        train(wrong, tmp_path / "f", notify=quiet)
    with pytest.raises(ConfigError, match="loss 'msee' is unknown; did you mean 'mse'"):
        train(tiny.config(train={"loss": "msee"}), tmp_path / "f", notify=quiet)
    assert not (tmp_path / "f").exists()


def test_records_of_other_shape_or_emotions_are_refused(tiny, tmp_path):
    with pytest.raises(DataError, match="Amusement, Fear"):
        train(tiny.config(model={"emotions": ("Joy", "Fear")}), tmp_path / "x", notify=quiet)
    other = load_config(None, ["preprocess.audio={coefficients: 6, stack: 2}", "preprocess.frames=4",
                               "preprocess.face.size=32", "model={name: eri_acoustic, emotions: [Amusement, Fear], "
                               "frames: 4, crop_size: 32, mfcc_features: 12}", f"data.records={tiny.records}"])
    with pytest.raises(DataError, match="mfcc_features is 12"):
        train(other, tmp_path / "x", notify=quiet)


def test_model_train_and_pearson_metric_as_people_use_them(tiny):
    config = tiny.config()
    network = create_model("eri_acoustic", **{k: v for k, v in vars(config.model).items() if k != "name"})
    model = Model(network, create_loss("mse"), create_optimizer(network.trainable_params(), lr=config.train.lr),
                  metrics={"pearson": PearsonMetric()})
    columns = ("mfcc", "labels")
    before = network.head.trainable_params()[0].asnumpy().copy()
    model.train(1, create_dataset(tiny.records, "train", batch_size=8, columns=columns), dataset_sink_mode=False)
    assert not np.array_equal(before, network.head.trainable_params()[0].asnumpy())
    score = model.eval(create_dataset(tiny.records, "val", batch_size=7, columns=columns), dataset_sink_mode=False)
    assert -1 <= score["pearson"] <= 1


@pytest.mark.slow
def test_three_stages(tiny, tmp_path, acoustic_run):
    visual = train(tiny.config(model={"name": "eri_visual"}), tmp_path / "visual", notify=quiet, progress=False)
    acoustic = shutil.copytree(acoustic_run.run.path, tmp_path / "acoustic",
                               ignore=shutil.ignore_patterns("features"))  # another test leaves some
    config = tiny.config(model={"name": "eri_dual_branch"}, train={
        "visual_run": str(visual.run.path), "acoustic_run": str(acoustic), "epochs": 3})
    said = []
    fused = train(config, tmp_path / "fusion", notify=said.append, progress=False)
    assert sum("features of" in line for line in said) == 4
    result = evaluate(fused.run.path)  # through the pictures, not through the cache
    assert result.mean == pytest.approx(fused.best_metric, abs=1e-4)
    weights, branch = load_trained(fused.run.path).weights, load_trained(visual.run.path).weights
    stem = [name for name in branch if name.startswith("stem.")]
    assert stem and all(np.array_equal(weights[f"visual.{name}"], branch[name]) for name in stem)
    joint = train(tiny.config(model={"name": "eri_dual_branch"}, train={
        **vars(config.train), "end_to_end": True, "epochs": 1}), tmp_path / "joint", notify=quiet, progress=False)
    moved = load_trained(joint.run.path).weights
    assert any(not np.array_equal(moved[f"visual.{name}"], branch[name]) for name in stem)


@pytest.mark.slow
def test_kill_9_at_random_moments(tiny, tmp_path):
    config = tiny.config(model={"dropout": 0.0}, train={"epochs": 12, "schedule": "cosine", "warmup": 3},
                         data={"time_jitter": 0.3, "mfcc_time_masks": 1})
    train(config, tmp_path / "whole", notify=quiet, progress=False)
    save_config(config, tmp_path / "recipe.yaml")
    command = [sys.executable, "-m", "mindface_eri.cli", "train", "--config", str(tmp_path / "recipe.yaml"), "--out",
               str(tmp_path / "broken"), "--resume"]
    random = np.random.default_rng(int(time.time()))
    metrics, kills = tmp_path / "broken" / "metrics.jsonl", 0
    for epochs in (1, 4, 8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (metrics.is_file() and len(metrics.read_text().splitlines()) >= epochs):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 1
    subprocess.run(command, check=True, capture_output=True)
    for name in ("last", "state", "best"):
        one, two = (read_checkpoint(tmp_path / run / "checkpoints" / f"{name}.ckpt")[0] for run in ("whole", "broken"))
        assert all(np.array_equal(one[key], two[key]) for key in one)
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == list(range(1, 13))


@pytest.mark.slow
def test_a_run_on_a_fold_is_evaluated_on_that_fold(tiny, tmp_path):
    """Also where the records are named again, and by a later command."""
    config = tiny.config(data={"folds": 4, "fold": 1, "records": str(tiny.records)})
    result = train(config, tmp_path / "fold", notify=quiet, progress=False)
    again = evaluate(result.run.path, tiny.records)
    assert again.mean == pytest.approx(result.best_metric, abs=1e-6)
    held_out = evaluate(result.run.path, split="test")
    assert held_out.labelled and not set(held_out.ids) & set(again.ids)
    for given in (result.run.path, result.run.checkpoint("last")):
        for records in (None, tiny.records):
            scored = evaluate_run(given, records, "test")
            assert scored.ids == held_out.ids  # and not the records' own test split, some of which was trained on
    said = []
    extract_features(result.run.path, splits=("train",), notify=said.append)
    assert said[0].startswith(f"features of {31 - len(held_out.ids) - len(again.ids)} train clips")
