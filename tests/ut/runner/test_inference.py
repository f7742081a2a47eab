# SPDX-License-Identifier: Apache-2.0
"""A network over a split: rows in order whatever the processes, and which records a run takes."""

import dataclasses
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindface_eri.config import Config
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.runner import inference as module
from mindface_eri.runner.batches import Inference
from mindface_eri.runner.inference import check_records, predict_split, resolve_records
from mindface_eri.runner.run_folder import load_trained

HERE = Context("CPU", "pynative")


@pytest.fixture(autouse=True)
def nothing_is_compiled(graph_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture(scope="module")
def run(mixed_config, drawn_run, tmp_path_factory):
    """A run of the acoustic branch."""
    return drawn_run(tmp_path_factory.mktemp("inferred") / "run", mixed_config, 1)


def test_records_are_those_given_or_the_recipes(mixed_records, feature_folder):
    config = Config()
    with pytest.raises(ConfigError, match="no records: give --data"):
        resolve_records(None, config)
    there = dataclasses.replace(config, data=dataclasses.replace(config.data, records=str(mixed_records.path), folds=3))
    cut = resolve_records(None, there)
    assert cut.hash == fold_view(mixed_records, there.data).hash != mixed_records.hash
    assert resolve_records(mixed_records, there) is mixed_records  # opened ones are taken as they are
    other = resolve_records(str(feature_folder / "records"), there)
    assert other.path == feature_folder / "records" and len(other.ids("test")) > 3
    assert resolve_records(Path(mixed_records.path), config).hash == mixed_records.hash


def model_of(trained, **fields):
    return dataclasses.replace(trained, model=dataclasses.replace(trained.model, **fields))


def test_records_that_do_not_fit_the_model_are_refused(run, mixed_records, feature_folder):
    trained, emotions = load_trained(run), ("Amusement", "Fear")
    check_records(mixed_records, emotions, trained)
    with pytest.raises(DataError, match="emotions are Amusement, Fear; .*best.ckpt was trained on Fear, Amusement"):
        check_records(mixed_records, emotions[::-1], trained)
    for fields, said in (({"frames": 5}, "the records' frames: 4; .*best.ckpt takes 5; preprocess again with the"),
                         ({"crop_size": 64}, "the records' crop size: 32; .* takes 64"),
                         ({"mfcc_features": 9}, "the records' MFCC features: 8; .* takes 9")):
        with pytest.raises(DataError, match=said):
            check_records(mixed_records, emotions, model_of(trained, **fields))
    records = open_records(feature_folder / "records")
    fau = model_of(trained, features=("fau",), feature_widths=(2,))
    check_records(records, emotions, fau)  # a checkpoint of others does not name the columns
    for columns, width, said in ((["AU01", "AU02"], 3, "width of the feature set fau: 2; .* takes 3"),
                                 (["AU02", "AU01"], 2, r"columns of the feature set fau: \['AU01', 'AU02'\]; .* takes "
                                                       r"\['AU02', 'AU01'\]")):
        noted = dataclasses.replace(model_of(fau, feature_widths=(width,)),
                                    note={"features": {"fau": {"columns": columns}}})
        with pytest.raises(DataError, match=said):
            check_records(records, emotions, noted)


class Doubled(nn.Cell):
    """Twice its input, with a dropout that inference must not apply."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(p=0.5)

    def construct(self, x):
        return 2 * self.dropout(x)


class Numbers:
    """A split of seven clips whose only input is their number."""

    def __init__(self, context):
        self.order, self.sizes = np.arange(7)[context.rank::context.world_size], []

    def count(self, split):
        return 7

    def labels(self, split):
        return np.zeros((7, 1), np.float32)

    def inputs(self, split, size):
        for start in range(0, len(self.order), size):
            rows = self.order[start:start + size]
            self.sizes.append(size)
            yield Inference(rows, (np.resize(rows, size).astype(np.float32)[:, None],))


def test_predictions_lie_in_the_splits_order_without_filling():
    network, done = Doubled().set_train(True), []
    found = predict_split(network, Numbers(HERE), "val", 3, HERE, done.append)
    assert found.tolist() == [[0], [2], [4], [6], [8], [10], [12]] and found.dtype == np.float32
    assert done == [3, 3, 1] and not network.training


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_is_no_number_is_refused_and_the_first_clip_named(value, monkeypatch):
    numbers = Numbers(HERE)
    numbers.ids = {"val": [f"clip {k}" for k in range(7)]}
    numbers.order = numbers.order[::-1]
    inputs = numbers.inputs
    monkeypatch.setattr(numbers, "inputs", lambda split, size: (
        Inference(rows, (np.where(np.isin(array, (2, 5)), value, array),)) for rows, (array,) in inputs(split, size)))
    with pytest.raises(DataError, match="gives NaN or infinity for 2 of 7 clips of val, first for clip 5"):
        predict_split(Doubled(), numbers, "val", 3, HERE)


@pytest.mark.parametrize("asked, world, taken", [(3, 1, 3), (64, 1, 7), (64, 2, 4), (0, 1, 1)])
def test_a_batch_holds_no_more_than_a_process_has(asked, world, taken, monkeypatch):
    context = Context("CPU", "pynative", 0, world)
    monkeypatch.setattr(module, "gather_rows", lambda where, rows, count, context: rows)
    batches = Numbers(context)
    predict_split(Doubled(), batches, "val", asked, context)
    assert set(batches.sizes) == {taken}


@pytest.mark.parametrize("rank, positions", [(1, [1, 4]), (7, [])])
def test_each_process_hands_over_its_own_rows(rank, positions, monkeypatch):
    context, told = Context("CPU", "pynative", rank, 8 if rank == 7 else 3), []
    monkeypatch.setattr(module, "gather_rows", lambda *words: told.append(words))
    predict_split(Doubled(), Numbers(context), "val", 2, context)
    where, rows, count, given = told[0]
    assert where.tolist() == positions and rows.tolist() == [[2.0 * p] for p in positions]
    assert (count, given, rows.shape) == (7, context, (len(positions), 1))
    np.zeros(7)[where] = 1  # an index even where it is empty
