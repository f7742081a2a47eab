# SPDX-License-Identifier: Apache-2.0
"""A frozen stem's feature maps, kept: trained on as crops would be, computed once, refused where they differ."""

import dataclasses
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from fixtures.training import TINY_CONFIG, change

from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError
from mindface_eri.evaluation.evaluator import evaluate
from mindface_eri.models import build_network
from mindface_eri.runner.checkpoint import save_checkpoint
from mindface_eri.runner.stem_maps import check_cache
from mindface_eri.runner.tasks import complete, frozen_names, prepare_task
from mindface_eri.runner.trainer import train


def quiet(_):
    pass


@pytest.fixture(scope="module")
def frozen(record_folder, tmp_path_factory):
    """A recipe with a stem of its own, on a copy of the records of which some clips have no face."""
    folder = tmp_path_factory.mktemp("frozen")
    config = change(TINY_CONFIG, model={"name": "eri_visual", "freeze_stem": True, "dropout": 0.0,
                                        "temporal_dropout": 0.0, "stem_checkpoint": str(folder / "stem.ckpt")},
                    train={"epochs": 2, "lr": 1e-2}, runtime={"mode": "pynative"},
                    data={"records": str(shutil.copytree(record_folder, folder / "records"))})
    write_stem(config, 7)
    return config


def write_stem(config, seed):
    """Another stem, with statistics as training leaves them."""
    ms.set_seed(seed)
    random = np.random.default_rng(seed)
    network = build_network(change(config, model={"stem_checkpoint": None}).model)
    weights = {p.name: p for p in network.get_parameters() if p.name.startswith("stem.")}
    for name, parameter in weights.items():
        if name.endswith(("moving_mean", "moving_variance")):
            parameter.set_data(ms.Tensor(random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
    save_checkpoint(config.model.stem_checkpoint, weights)


def prepared(config, view=None, said=None):
    records = open_records(config.data.records)
    return prepare_task(complete(config, records), view or records, Context("CPU", "graph"),
                        quiet if said is None else said.append)


@pytest.mark.slow
def test_training_is_that_on_crops(frozen, tmp_path):
    cached = change(frozen, train={"cache_stem": True})
    runs = [train(config, tmp_path / name, notify=quiet, progress=False)
            for name, config in (("crops", frozen), ("maps", cached))]
    losses, metrics = ([[line[key] for line in run.history] for run in runs] for key in ("loss", "val_pearson"))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[0][0] != losses[0][1]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-4)
    assert evaluate(runs[1].run.path).mean == pytest.approx(runs[1].best_metric, abs=1e-5)  # from crops


def test_maps_are_computed_once_for_all_folds(frozen):
    cached = change(frozen, train={"cache_stem": True})
    shutil.rmtree(open_records(frozen.data.records).path / "stem", ignore_errors=True)
    said = []
    task = prepared(cached, said=said)
    assert len(said) == 1 and "maps of" in said[0] and "GiB" in said[0]
    stem = {p.name for p in task.network.stem.get_parameters()}
    assert stem and frozen_names(task) == stem
    whole = open_records(frozen.data.records)
    view = fold_view(whole, dataclasses.replace(cached.data, folds=2, fold=1, fold_as="val", group="none"))
    part = prepared(cached, view, later := [])
    assert later == []
    crops = build_network(frozen.model).set_train(False)  # of the fold's own clips, in its order
    for split in ("train", "val"):
        ids = view.ids(split)
        batch = next(iter(part.batches.inputs(split, 3)))
        frames = np.stack([record["frames"] for record in whole.read(ids[:3], ["frames"])])
        expected = crops.maps(ms.Tensor(frames)).asnumpy()
        np.testing.assert_allclose(batch.inputs[0].reshape(expected.shape), expected, atol=1e-5)


def test_other_weights_are_other_maps(frozen):
    cached = change(frozen, train={"cache_stem": True})
    folder = open_records(frozen.data.records).path / "stem"
    prepared(cached)
    before = set(folder.glob("*.npy"))
    stem = Path(frozen.model.stem_checkpoint)
    kept = stem.read_bytes()
    try:
        write_stem(frozen, 8)
        prepared(cached)
    finally:
        stem.write_bytes(kept)
    assert len(set(folder.glob("*.npy")) - before) == 1


@pytest.mark.parametrize("changes, said", [
    ({"model": {"freeze_stem": False}}, "needs model.name eri_visual, model.stem_checkpoint and model.freeze_stem"),
    ({"model": {"stem_checkpoint": None}}, "needs model.name eri_visual, model.stem_checkpoint"),
    ({"model": {"name": "eri_dual_branch"}}, "needs model.name eri_visual"),
    ({"data": {"flip": 0.5, "colour": 0.1}}, "cache_stem: data.flip, data.colour would show"),
    ({"data": {"time_jitter": 0.1}}, "cache_stem: data.time_jitter would show")])
def test_what_would_differ_is_refused(frozen, changes, said):
    check_cache(change(frozen, train={"cache_stem": True}))
    with pytest.raises(ConfigError, match=said):
        check_cache(change(frozen, train={"cache_stem": True}, **changes))
    check_cache(change(frozen, **changes))
