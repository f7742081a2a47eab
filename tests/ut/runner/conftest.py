# SPDX-License-Identifier: Apache-2.0
"""A network, batches and records small enough that a training takes a second."""

import dataclasses
import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindface_eri.config import Config, ModelConfig, RuntimeConfig, TrainConfig, from_dict, save_config
from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.pipeline import epoch_order
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.models.registry import build_network
from mindface_eri.runner import trainer
from mindface_eri.runner.batches import Inference, Plan
from mindface_eri.runner.checkpoint import save_checkpoint
from mindface_eri.runner.run_folder import RunFolder, note_of
from mindface_eri.runner.tasks import Task


@pytest.fixture(autouse=True)
def graph_mode():
    """As runs have it; MindSpore's own default is PyNative."""
    ms.set_context(mode=ms.GRAPH_MODE)


class TinyNetwork(nn.Cell):
    """(B, 6) -> (B, 2) in (0, 1)."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.hidden = nn.Dense(6, 5)
        self.dropout = nn.Dropout(p=dropout)
        self.out = nn.Dense(5, 2)

    def construct(self, x):
        return ops.sigmoid(self.out(self.dropout(ops.tanh(self.hidden(x)))))


class NotedNetwork(TinyNetwork):
    """The same with running statistics; `calls` has whether it, and its dropout, trained at each."""

    def __init__(self, dropout):
        super().__init__(dropout)
        self.norm = nn.BatchNorm1d(6)
        self.calls = []

    def construct(self, x):
        self.calls.append((self.training, self.dropout.training))
        return super().construct(self.norm(x))


class NotedStep:
    """Stands for a TrainStep without its gradients, which need most of the time: each call shrinks the weights."""

    def __init__(self, step):
        self.real, self.rates, self.batches = step, [], []
        self.losses = itertools.repeat(0.5)

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __call__(self, *batch):
        network = self.real.network
        network.calls.append((network.training, network.dropout.training))
        self.rates.append(float(self.real.apply_step.optimizer.learning_rate.asnumpy()))
        self.batches.append([x.asnumpy() for x in batch])
        for parameter in network.trainable_params():
            parameter.set_data(ms.Tensor(parameter.asnumpy() * np.float32(0.8)))
        return ms.Tensor(next(self.losses), ms.float32)


class TinyBatches:
    """Inputs (N, 6) whose first columns tell the labels (N, 2)."""

    def __init__(self, config):
        self.config = config
        random = np.random.default_rng(7)
        self.x = {"train": random.normal(size=(20, 6)).astype("f"), "val": random.normal(size=(11, 6)).astype("f")}
        self.y = {split: (1 / (1 + np.exp(-2 * x[:, :2]))).astype("f") for split, x in self.x.items()}
        self.ids = {split: [f"{i:05d}" for i in range(len(x))] for split, x in self.x.items()}
        self.stop_in = None  # an epoch in whose middle to break off
        self.epochs = []  # those asked for

    def count(self, split):
        return len(self.x[split])

    def labels(self, split):
        return self.y[split]

    def plan(self):
        return Plan(4, 5)

    def train(self, epoch):
        self.epochs.append(epoch)
        order = epoch_order(20, shuffle=True, seed=self.config.runtime.seed, epoch=epoch)
        for i, rows in enumerate(order.reshape(5, 4)):
            if epoch == self.stop_in and i == 3:
                raise KeyboardInterrupt
            yield self.x["train"][rows], self.y["train"][rows]

    def inputs(self, split, batch_size):
        yield Inference(np.arange(self.count(split)), (self.x[split],))


def build_tiny_loop(folder, *, dropout=0.0, epochs=3, seed=0, start=1, loss_scale="none", network=TinyNetwork,
                    context=Context("CPU", "graph"), notify=lambda text: None, progress=False,  # noqa: B008
                    **train):
    """A `Loop` over the tiny network and batches; `start` seeds the network."""
    config = Config(model=ModelConfig(emotions=("Amusement", "Fear")),
                    train=TrainConfig(**{"epochs": epochs, "lr": 0.03, **train}),
                    runtime=RuntimeConfig(seed=seed, loss_scale=loss_scale, mode=context.mode))
    ms.set_seed(start)
    built = network(dropout)
    task = Task(built, built, TinyBatches(config))
    return trainer.Loop(config, task, RunFolder(folder).make(), context, notify, progress)


@pytest.fixture
def tiny_loop():
    return build_tiny_loop


@pytest.fixture
def tiny_network():
    return TinyNetwork


@pytest.fixture
def eager(graph_mode):
    """PyNative mode: nothing compiles, and what Python sees can be noted."""
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture
def noted_loop(eager):
    """`noted_loop(folder, **options)`: a `trainer.Loop` that notes what it does and computes next to nothing."""
    def build(folder, **options):
        loop = build_tiny_loop(folder, **{"network": NotedNetwork, "context": Context("CPU", "pynative"), **options})
        loop.step = NotedStep(loop.step)
        return loop

    return build


@pytest.fixture
def noted_training(monkeypatch, eager):
    """Lets `train` train the network, batches and step of `noted_loop`; `tasks`, `steps` and `seeds` tell of each."""
    noted, make_step = SimpleNamespace(tasks=[], steps=[], seeds=[]), trainer.TrainStep

    def prepare(config, records, context, notify):
        noted.seeds.append(ms.get_seed())
        network = NotedNetwork(0.3)
        noted.tasks.append(Task(network, network, TinyBatches(config)))
        return noted.tasks[-1]

    def step(*arguments):
        noted.steps.append(NotedStep(make_step(*arguments)))
        return noted.steps[-1]

    monkeypatch.setattr(trainer, "prepare_task", prepare)
    monkeypatch.setattr(trainer, "TrainStep", step)
    return noted


TINY_CONFIG = from_dict(Config, {
    "preprocess": {"frames": 4, "face": {"size": 32}, "audio": {"coefficients": 4, "stack": 2}},
    "model": {"name": "eri_acoustic", "emotions": ["Amusement", "Fear"], "frames": 4, "crop_size": 32,
              "mfcc_features": 8, "stem_width": 4, "spatial_depth": 1, "spatial_heads": 2, "width": 8,
              "temporal_depth": 1, "temporal_heads": 2, "tcn_dilations": [1]},
    "train": {"epochs": 2, "batch_size": 8, "lr": 1e-2}})


def change(config, **sections):
    """The configuration with fields of its sections replaced."""
    for name, fields in sections.items():
        config = dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **fields)})
    return config


@pytest.fixture(scope="session")
def record_folder(tmp_path_factory):
    """Real records: 24 train, 7 val and 3 test clips with labels in both modalities; the test split has none."""
    patch = pytest.MonkeyPatch()
    for folder in ("datasets", "runner"):  # fake_extractor, tiny_extractor
        patch.syspath_prepend(str(Path(__file__).parents[1] / folder))
    root = tmp_path_factory.mktemp("runner")
    random = np.random.default_rng(3)
    lines = ["File_ID,Split,Amusement,Fear"]
    for i in range(34):
        split = "Train" if i < 24 else "Val" if i < 31 else "Test"
        seen, heard = random.random(2)
        media = root / "data" / split.lower() / "mp4"
        media.mkdir(parents=True, exist_ok=True)
        (media / f"{i:05d}.mp4").write_text(f"{seen} {heard}")
        lines.append(f"[{i:05d}],{split}," + ("," if split == "Test" else f"{(seen + heard) / 2:.4f},{seen:.4f}"))
    (root / "data" / "data_info.csv").write_text("\n".join(lines) + "\n")
    preprocess_dataset(root / "data", root / "records", TINY_CONFIG.preprocess, extractor="tiny_extractor:extract",
                       progress=False)
    patch.undo()
    return root / "records"


@pytest.fixture(scope="session")
def feature_folder(record_folder, tmp_path_factory):
    """The tiny records with a set `fau` of two columns: the mean label with noise, and a constant."""
    root = tmp_path_factory.mktemp("features")
    records = open_records(shutil.copytree(record_folder, root / "records"))
    random = np.random.default_rng(1)
    (root / "fau").mkdir()
    for clip_id, label in zip(records.ids(), np.nan_to_num(records.all_labels).mean(axis=1)):
        rows = [f"{1000 * t},{100 * label + random.normal():.4f},3" for t in range(4)]
        (root / "fau" / f"{clip_id}.csv").write_text("\n".join(["timestamp,AU01,AU02", *rows]))
    (root / "fau" / f"{records.ids('train')[0]}.csv").unlink()
    add_features(root / "fau", records, progress=False)
    return root


@pytest.fixture
def tiny(record_folder):
    """`tiny.config(section={...})`: the tiny recipe on the tiny records, with fields replaced."""
    def config(**sections):
        return change(change(TINY_CONFIG, data={"records": str(record_folder)}), **sections)

    return SimpleNamespace(config=config, records=record_folder)


@pytest.fixture(scope="session")
def mixed_records(tmp_path_factory):
    """Opened records of 11 train, 5 val and 3 test clips; train clips 4 and 9 and val clip 14 have no sound."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(Path(__file__).parents[1] / "datasets"))  # fake_extractor
    root = tmp_path_factory.mktemp("mixed")
    lines, random = ["File_ID,Split,Amusement,Fear"], np.random.default_rng(5)
    for i in range(1, 20):
        split = "Train" if i < 12 else "Val" if i < 17 else "Test"
        media = root / "data" / split.lower() / "mp4"
        media.mkdir(parents=True, exist_ok=True)
        (media / f"{i:05d}.mp4").write_text(str(i))
        a, b = random.random(2)
        lines.append(f"[{i:05d}],{split}," + ("," if split == "Test" else f"{a:.4f},{b:.4f}"))
    (root / "data" / "data_info.csv").write_text("\n".join(lines) + "\n")
    preprocess_dataset(root / "data", root / "records", TINY_CONFIG.preprocess, extractor="fake_extractor:extract",
                       progress=False)
    patch.undo()
    return open_records(root / "records")


def make_run(folder, config, seed, **note):
    """A run folder as training leaves it, with drawn weights: another draw is in `last` than in `best`."""
    run = RunFolder(folder).make()
    save_config(config, run.config)
    for which, start in (("best", seed), ("last", seed + 100)):
        ms.set_seed(start)
        network = build_network(config.model, read_stem=False)
        random = np.random.default_rng(start)
        for parameter in network.get_parameters():  # LayerNorms and biases too
            if parameter.dtype == ms.float32 and not parameter.name.endswith(("moving_variance", "_std")):
                drawn = parameter.asnumpy() + random.normal(0, 0.1, parameter.shape)
                parameter.set_data(ms.Tensor(drawn.astype(np.float32)))
        save_checkpoint(run.checkpoint(which), network, note_of(config.model, **note))
    return run.path


@pytest.fixture(scope="session")
def drawn_run():
    return make_run


@pytest.fixture(scope="session")
def mixed_config(mixed_records):
    """The tiny recipe on the mixed records, run operator by operator: nothing is compiled."""
    return change(TINY_CONFIG, data={"records": str(mixed_records.path)}, runtime={"mode": "pynative"})


@pytest.fixture(scope="session")
def replace():
    return change
