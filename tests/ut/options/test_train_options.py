# SPDX-License-Identifier: Apache-2.0
"""Each option of `train` makes a difference to weights after some steps, to the epochs, or to what is trained."""

import dataclasses
import itertools
import shutil
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from fixtures.options import Case, check, leaves
from fixtures.training import TINY_CONFIG, NotedNetwork, TinyBatches, TinyNetwork, change
from mindspore import Tensor, ops

from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.runner.batches import FeatureBatches, RecordBatches
from mindface_eri.runner.step import AveragedWeights, TrainStep
from mindface_eri.runner.tasks import complete, prepare_task

BASES, HERE = {}, Context("CPU", "pynative")


class Unmoved(NotedNetwork):
    """Whose answers, and so the metric, never change."""

    def construct(self, x):
        self.calls.append((self.training, self.dropout.training))
        return ops.zeros((x.shape[0], 2), ms.float32)


@pytest.fixture(scope="module")
def runs(feature_folder, drawn_run, tmp_path_factory):
    """Two of each branch."""
    root, records = tmp_path_factory.mktemp("branches"), open_records(feature_folder / "records")
    made = {}
    for kind, seed in itertools.product(("visual", "acoustic", "features"), (1, 2)):
        model = {"name": f"eri_{kind}", **({"features": ("fau",)} if kind == "features" else {})}
        config = complete(change(TINY_CONFIG, model=model), records)
        made[f"{kind}{seed}"] = str(drawn_run(root / f"{kind}{seed}", config, seed))
    return made


@pytest.fixture
def made(runs, feature_folder, noted_loop, tmp_path):
    count = itertools.count()
    return SimpleNamespace(bases=BASES, records=open_records(feature_folder / "records"), loop=noted_loop,
                           folder=lambda: tmp_path / str(next(count)), **runs)


def weights(config, made):
    """Those that validation sees after some batches."""
    ms.set_seed(3)
    step = TrainStep(TinyNetwork(), config.train, config.runtime).set_train(True)
    for x, y in itertools.islice(TinyBatches(config).train(0), 3):
        step(Tensor(x), Tensor(y))
    with AveragedWeights(step):
        return [p.asnumpy().copy() for p in step.network.get_parameters()]  # a view would show what comes back after it


def rates(config, made):
    """The learning rate of each batch of each epoch."""
    options = {field.name: getattr(config.train, field.name) for field in dataclasses.fields(config.train)}
    loop = made.loop(made.folder(), network=Unmoved, **options)
    epochs = loop.run_all().epochs
    return [epochs, loop.step.rates]


def batches(config, made):
    """Of an epoch, out of records and out of features."""
    records = made.records
    features = {"train": [np.arange(len(records.ids("train")))[:, None]]}
    sources = RecordBatches(records, ("mfcc",), config, HERE), FeatureBatches(records, features, config, HERE)
    return [[list(batch) for batch in source.train(0)] for source in sources]


def task(config, made):
    """What is trained, and all weights at the start."""
    ms.set_seed(3)
    found = prepare_task(complete(config, made.records), made.records, HERE, lambda text: None)
    return [[p.name for p in found.trained_part.trainable_params()],
            {p.name: p.asnumpy() for p in found.network.get_parameters()}]


def seen_by_what_is_trained(config, made):
    """Shapes of the first batch, of records beside which a stem's maps may be kept."""
    records = open_records(shutil.copytree(made.records.path, made.folder()))
    found = prepare_task(complete(config, records), records, HERE, lambda text: None)
    return [x.shape for x in next(iter(found.batches.train(0)))]


TINY = {"train.lr": 0.03, "train.epochs": 3, "runtime.mode": "pynative", "model.emotions": ("Amusement", "Fear")}
PREPROCESS = {"frames": 4, "face.size": 32, "audio.coefficients": 4, "audio.stack": 2}
MODEL = {name: getattr(TINY_CONFIG.model, name) for name in (
    "frames", "crop_size", "mfcc_features", "stem_width", "spatial_depth", "spatial_heads", "width", "temporal_depth",
    "temporal_heads", "temporal", "tcn_dilations")}
START = {**TINY, **{f"preprocess.{name}": value for name, value in PREPROCESS.items()},
         **{f"model.{name}": value for name, value in MODEL.items()}, "train.batch_size": 8}
COSINE = {"train.schedule": "cosine"}
JOINED = {"model.name": "eri_dual_branch", "train.end_to_end": True, "train.batch_size": 24,
          "train.visual_run": lambda made: made.visual1, "train.acoustic_run": lambda made: made.acoustic1}
MANY = {**JOINED, "model.name": "eri_multi_branch", "model.features": ("fau",),
        "train.features_runs": lambda made: [made.features1]}
FROZEN = {"model.name": "eri_visual", "model.freeze_stem": True,
          "model.stem_checkpoint": lambda made: f"{made.visual1}/checkpoints/best.ckpt"}
CASES = {
    "train.epochs": [Case(rates, [2]), Case(rates, [4], COSINE)],
    "train.batch_size": [Case(batches, [5])],
    "train.lr": [Case(rates, [0.01])],
    "train.schedule": [Case(rates, ["cosine"])],
    "train.warmup": [Case(rates, [1, 2], COSINE)],
    "train.lr_factor": [Case(rates, [0.25], {"train.lr_patience": 1})],
    "train.lr_patience": [Case(rates, [1])],
    "train.weight_decay": [Case(weights, [1.0])],
    "train.clip_norm": [Case(weights, [1e-9])],  # so that even Adam, which divides by the size of gradients, sees it
    "train.accumulate": [Case(weights, [2])],
    "train.ema": [Case(weights, [0.5])],
    "train.label_noise": [Case(batches, [0.1, 0.3])],
    "train.early_stop": [Case(rates, [1])],
    "train.loss": [Case(weights, ["pearson", "ccc"])],
    "train.visual_run": [Case(task, [None, lambda made: made.visual2], JOINED)],
    "train.acoustic_run": [Case(task, [None, lambda made: made.acoustic2], JOINED)],
    "train.features_runs": [Case(task, [(), lambda made: [made.features2]], MANY)],
    "train.cache_stem": [Case(seen_by_what_is_trained, [True], FROZEN)],
    "train.end_to_end": [Case(task, [False], JOINED)]}


@pytest.mark.parametrize("name", leaves("train"))
def test_an_option_changes_training(name, made):
    check(name, CASES, made, START)


def test_no_case_is_of_an_option_that_is_gone():
    assert set(CASES) <= set(leaves("train"))
