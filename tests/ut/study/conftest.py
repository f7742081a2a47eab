# SPDX-License-Identifier: Apache-2.0
"""A corpus of nine people, a network that compiles in a moment, and a study of them that was worked off once."""

import dataclasses
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindface_eri.config import NETWORK_INPUTS, save_config
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.datasets.records import open_records
from mindface_eri.files import write_json
from mindface_eri.models.registry import MODELS, register_model
from mindface_eri.study.plan import plan_study
from mindface_eri.study.results import collect
from mindface_eri.study.run import fold_folder, predictions_path, run_study

PEOPLE = [i % 9 for i in range(31)]  # of the labelled clips: the first four have four clips, the others three


class ToyNetwork(nn.Cell):
    """(B, 4, 8) -> (B, 2): the mean over time, with dropout, and one layer."""

    def __init__(self, config):
        super().__init__()
        self.dropout = nn.Dropout(p=config.dropout)
        self.out = nn.Dense(8, len(config.emotions))

    def construct(self, mfcc):
        return ops.sigmoid(self.out(self.dropout(mfcc.mean(1))))


@pytest.fixture(scope="session")
def toy_network():
    """Its name, while the tests of this room run."""
    register_model("toy_study", inputs=("mfcc",))(ToyNetwork)
    yield "toy_study"
    del MODELS._makers["toy_study"], NETWORK_INPUTS["toy_study"]


@pytest.fixture(scope="session")
def people(record_folder):
    """The tiny records, with a Subject for each clip; the three of the test split, which have no labels, are Z's."""
    records = open_records(record_folder)
    names = [f"P{number}" for number in PEOPLE] + ["Z"] * 3
    table = tuple({**row, "Subject": name} for row, name in zip(records.table, names))
    return dataclasses.replace(records, table=table, extra=("Subject",))


@pytest.fixture
def make(people, toy_network, tiny, tmp_path):
    """`make(sections..., **options)`: a study of the nine people with the tiny recipe."""
    def plan(records=people, out=tmp_path / "study", model=(), data=(), train=(), runtime=(), **options):
        config = tiny.config(model={"name": toy_network, **dict(model)}, data={**dict(data)},
                             train={"schedule": "cosine", **dict(train)}, runtime={"mode": "pynative", **dict(runtime)})
        save_config(config, tmp_path / "recipe.yaml")
        options = {"device": "CPU", "folds": 3, "seeds": 2, **options}
        return plan_study(records, tmp_path / "recipe.yaml", out, **options)

    return plan


@pytest.fixture(scope="session")
def finished(people, toy_network, tmp_path_factory):
    """A study that chooses epochs, in graph mode, each fold with two seeds: `study`, and what it `said`."""
    from fixtures.training import TINY_CONFIG, change

    folder, said = tmp_path_factory.mktemp("study"), []
    config = change(TINY_CONFIG, model={"name": toy_network}, train={"epochs": 5, "lr": 0.05, "ema": 0.5})
    save_config(config, folder / "recipe.yaml")
    ms.set_context(mode=ms.GRAPH_MODE)
    study = plan_study(people, folder / "recipe.yaml", folder / "study", folds=2, seeds=2, device="CPU")
    run_study(study, notify=lambda line: said.append(line) if line[0] != " " else None)  # slow machines hear of epochs
    return SimpleNamespace(study=study, said=said, recipe=folder / "recipe.yaml")


def _fill(study, flat=False):
    """Folds as trainings leave them: labels with a noise of each seed's own, last clip first."""
    study.out.mkdir(parents=True, exist_ok=True)
    write_json(study.out / "environment.json", {"device": "CPU", "mindspore": "2.10.0"})
    random = np.random.default_rng(4)
    for fold in range(study.folds):
        ids = [row["id"] for row, part in zip(study.records.table, study.part) if part == fold][::-1]
        labels = study.records.labels(ids=ids)
        for seed in range(study.seeds):
            values = 0.6 * labels + 0.4 * random.random(labels.shape)
            fold_folder(study, fold).mkdir(exist_ok=True)
            write_predictions(predictions_path(study, fold, seed), ids, study.records.emotions,
                              np.full_like(values, 0.5) if flat else values)
        write_json(fold_folder(study, fold) / "done.json", {"trainings": [
            {"seed": seed, "epoch": 3, "epochs": 4, "inner_pearson": None, "seconds": 1.5}
            for seed in range(study.seeds)]})
    return study


@pytest.fixture
def fill():
    """The function that leaves what trainings leave."""
    return _fill


@pytest.fixture
def result(make, fill):
    """What a whole study gave."""
    return collect(fill(make()))
