# SPDX-License-Identifier: Apache-2.0
"""Branches over features of other programs: trained alone, and fused as a third branch."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.training import change

from mindface_eri.config import Config, from_dict
from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.evaluation.evaluator import evaluate
from mindface_eri.runner.features import extract_features
from mindface_eri.runner.run_folder import load_trained
from mindface_eri.runner.trainer import train


def quiet(_):
    pass


@pytest.fixture(scope="module")
def recipe(feature_folder):
    """`recipe(name, **train)`: the tiny recipe on these records."""
    def config(name, features=("fau",), **fields):
        return from_dict(Config, {
            "preprocess": {"frames": 4, "face": {"size": 32}, "audio": {"coefficients": 4, "stack": 2}},
            "model": {"name": name, "emotions": ["Amusement", "Fear"], "frames": 4, "crop_size": 32, "mfcc_features": 8,
                      "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2, "width": 8, "temporal_depth": 1,
                      "temporal_heads": 2, "temporal": "plain", "tcn_dilations": [1],
                      "features": list(features)},
            "data": {"records": str(feature_folder / "records")},
            "train": {"epochs": 3, "batch_size": 8, "lr": 1e-2, **fields}})

    return config


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory):
    return train(recipe("eri_features"), tmp_path_factory.mktemp("runs") / "fau", notify=quiet, progress=False)


def test_a_branch_trains_alone_and_its_checkpoint_says_of_what(alone):
    trained = load_trained(alone.run.path)
    assert trained.model.feature_widths == (2,)  # found in the records
    assert trained.note["features"]["fau"]["columns"] == ["AU01", "AU02"]
    assert trained.weights["feature_std"][1] == 1 and 10 < trained.weights["feature_mean"][0] < 90
    result = evaluate(alone.run.path)
    assert result.mean == pytest.approx(alone.best_metric, abs=1e-6) and result.predictions.shape == (7, 2)


def test_features_of_the_branch_are_cached(alone):
    paths = extract_features(alone.run.path, notify=quiet)
    assert [np.load(path).shape for path in paths] == [(24, 4, 8), (7, 4, 8)]


def test_records_without_the_set_are_refused(alone, record_folder, recipe, tmp_path):
    with pytest.raises(DataError, match=r"no feature set 'fau' \(there: none\).*add-features"):
        evaluate(alone.run.path, record_folder)
    with pytest.raises(DataError, match="no feature set 'egemaps' .there: fau"):
        train(recipe("eri_features", features=("egemaps",)), tmp_path / "x", notify=quiet)


def test_other_columns_are_refused(alone, feature_folder, tmp_path):
    records = open_records(shutil.copytree(feature_folder / "records", tmp_path / "records"))
    shutil.rmtree(records.path / "features")
    add_features(feature_folder / "fau", records, columns=["AU01"], progress=False)
    with pytest.raises(DataError, match="width of the feature set fau: 1; .* takes 2"):
        evaluate(alone.run.path, records)
    shutil.rmtree(records.path / "features")
    for path in shutil.copytree(feature_folder / "fau", tmp_path / "fau").glob("*.csv"):
        path.write_text(path.read_text().replace("AU02", "AU06"))
    add_features(tmp_path / "fau", records, progress=False)
    with pytest.raises(DataError, match=r"columns of the feature set fau: \['AU01', 'AU06'\]"):
        evaluate(alone.run.path, records)


def test_fusion_asks_for_each_branch(recipe, alone, tmp_path):
    runs = {"visual_run": None, "acoustic_run": None}
    with pytest.raises(ConfigError, match="train.visual_run is not set"):
        train(recipe("eri_multi_branch", features_runs=[str(alone.run.path)], **runs), tmp_path / "x", notify=quiet)
    with pytest.raises(CheckpointError, match="train.acoustic_run: .* holds eri_features, need eri_acoustic"):
        train(recipe("eri_multi_branch", acoustic_run=str(alone.run.path)), tmp_path / "x", notify=quiet)
    with pytest.raises(ConfigError, match="feature set fau; need one run for each of model.features, none"):
        train(recipe("eri_dual_branch", features=(), features_runs=[str(alone.run.path)]), tmp_path / "x", notify=quiet)


@pytest.mark.slow
def test_three_branches_fuse(recipe, alone, tmp_path):
    eager = {name: change(recipe(f"eri_{name}", features=(), epochs=1), runtime={"mode": "pynative"})
             for name in ("visual", "acoustic")}  # other tests compile these two
    runs = SimpleNamespace(**{name: train(config, tmp_path / name, notify=quiet, progress=False).run.path
                              for name, config in eager.items()})
    fields = {"visual_run": str(runs.visual), "acoustic_run": str(runs.acoustic)}
    with pytest.raises(ConfigError, match="train.features_runs is not set for fau"):
        train(recipe("eri_multi_branch", **fields), tmp_path / "x", notify=quiet)
    fields["features_runs"] = [str(alone.run.path)]
    fused = train(recipe("eri_multi_branch", **fields), tmp_path / "three", notify=quiet, progress=False)
    result = evaluate(fused.run.path)  # through pictures, sound and features, not through the cache
    assert result.mean == pytest.approx(fused.best_metric, abs=1e-4)
    weights, branch = load_trained(fused.run.path).weights, load_trained(alone.run.path).weights
    kept = {name: value for name, value in branch.items() if not name.startswith("head.")}
    assert all(np.array_equal(weights[f"feature_branches.0.{name}"], value) for name, value in kept.items())
    joint = train(recipe("eri_multi_branch", end_to_end=True, **{**fields, "epochs": 1}), tmp_path / "joint",
                  notify=quiet, progress=False)
    assert not np.array_equal(load_trained(joint.run.path).weights["feature_branches.0.temporal.position"],
                              branch["temporal.position"])
