# SPDX-License-Identifier: Apache-2.0
"""Evaluation: which checkpoint on which clips, what is written where, and which records it refuses."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindface_eri.config import Config
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.datasets.records import open_records
from mindface_eri.device.context import Context
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.evaluation import evaluator as module
from mindface_eri.evaluation.evaluator import EvaluationResult, check_records, evaluate, predict_split, resolve_records
from mindface_eri.runner.batches import Inference
from mindface_eri.runner.run_folder import load_trained

HERE = Context("CPU", "pynative")


@pytest.fixture(autouse=True)
def nothing_is_compiled(graph_mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture(scope="module")
def run(mixed_config, drawn_run, replace, tmp_path_factory):
    """A run of the acoustic branch with dropout; its recipe's batches hold three clips."""
    config = replace(mixed_config, train={"batch_size": 3}, model={"dropout": 0.5})
    return drawn_run(tmp_path_factory.mktemp("evaluated") / "run", config, 1)


def expected(run, records, split, which="best"):
    mfcc = np.stack([row["mfcc"] for row in records.read(records.ids(split), ("mfcc",))])
    return load_trained(run, which).build()(Tensor(mfcc)).asnumpy()


@pytest.fixture
def sizes(monkeypatch):
    """How many clips at a time each evaluation took."""
    found, true = [], module.predict_split
    monkeypatch.setattr(module, "predict_split", lambda network, batches, split, size, context: found.append(
        size) or true(network, batches, split, size, context))
    return found


def test_the_best_checkpoint_predicts_the_validation_split(run, mixed_records, sizes):
    result = evaluate(run)
    np.testing.assert_allclose(result.predictions, expected(run, mixed_records, "val"), atol=1e-6)
    assert (result.split, result.ids, result.emotions) == ("val", mixed_records.ids("val"), ("Amusement", "Fear"))
    np.testing.assert_array_equal(result.labels, mixed_records.labels("val"))
    table = read_predictions(run / "predictions_val.csv")
    assert result.path == run / "predictions_val.csv" and (table.ids, table.emotions) == (result.ids, result.emotions)
    np.testing.assert_allclose(table.values, result.predictions, atol=1e-6)
    assert sizes == [3] and result.records.path == mixed_records.path


def test_what_is_asked_for_wins_over_the_recipe(run, mixed_records, sizes, tmp_path):
    result = evaluate(run, mixed_records, "test", batch_size=2, which="last", device="CPU", out=tmp_path / "t.csv")
    np.testing.assert_allclose(result.predictions, expected(run, mixed_records, "test", "last"), atol=1e-6)
    assert not np.allclose(result.predictions, expected(run, mixed_records, "test"), atol=1e-3)
    assert sizes == [2] and result.path == tmp_path / "t.csv" and not result.labelled
    assert read_predictions(tmp_path / "t.csv").ids == mixed_records.ids("test")
    assert not (run / "predictions_test.csv").exists() and result.records is mixed_records
    with pytest.raises(ConfigError, match="runtime.device is GPU"):
        evaluate(run, device="GPU")


def test_a_lone_checkpoint_writes_no_table_unless_told(run, mixed_records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "setup", lambda runtime: HERE)  # without a recipe it would compile a graph
    file = tmp_path / "moved.ckpt"
    file.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    result = evaluate(file, mixed_records.path)
    assert result.path is None and [path.name for path in tmp_path.iterdir()] == ["moved.ckpt"]
    np.testing.assert_allclose(result.predictions, expected(run, mixed_records, "val"), atol=1e-6)
    with pytest.raises(ConfigError, match="no records: give --data, or data.records in the recipe"):
        evaluate(file)


def test_an_empty_split_is_said_with_those_there_are(run, mixed_records):
    table = tuple(row for row in mixed_records.table if row["split"] != "test")
    records = dataclasses.replace(mixed_records, table=table, all_labels=mixed_records.all_labels[:16])
    with pytest.raises(DataError, match=r"split 'test' has no clips in these records; they hold train \(11\), val \(5"):
        evaluate(run, records, "test")


@pytest.mark.parametrize("given", [False, True])
def test_a_run_on_a_fold_is_scored_on_that_fold(given, mixed_config, drawn_run, replace, mixed_records, tmp_path):
    data = {"folds": 3, "fold": 1, "fold_seed": 4}
    config = replace(mixed_config, data=data)
    result = evaluate(drawn_run(tmp_path / "fold", config, 2), mixed_records.path if given else None, "test")
    cut = fold_view(mixed_records, config.data)
    assert result.ids == cut.ids("test") != mixed_records.ids("test")
    assert (result.labelled, result.records.hash) == (True, cut.hash)
    np.testing.assert_array_equal(result.labels, cut.labels("test"))


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


def test_scores_are_those_of_the_whole_split():
    predictions = np.array([[0.1, 0.5], [0.4, 0.2], [0.7, 0.3], [0.2, 0.9]])
    labels = np.array([[0.0, 0.4], [0.5, 0.6], [0.6, 0.1], [np.nan, np.nan]], np.float32)
    result = EvaluationResult("val", ("Joy", "Fear"), tuple("abcd"), predictions, labels, None, SimpleNamespace())
    known = [np.corrcoef(predictions[:3, e], labels[:3, e])[0, 1] for e in (0, 1)]
    np.testing.assert_allclose(result.pearson, known, atol=1e-6)
    assert result.mean == pytest.approx(np.mean(known), abs=1e-6) and isinstance(result.mean, float)
    assert list(result.by_emotion()) == ["Joy", "Fear"]
    assert result.by_emotion()["Fear"] == pytest.approx(known[1], abs=1e-6)
    x, y = predictions[:3, 0], labels[:3, 0]
    concordance = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean())**2)
    assert result.ccc[0] == pytest.approx(concordance, abs=1e-5) and result.labelled
    assert not dataclasses.replace(result, labels=np.full((4, 2), np.nan)).labelled


def test_only_the_main_process_writes_the_table(run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "setup", lambda runtime: Context("CPU", "pynative", 1, 2))
    monkeypatch.setattr(module, "gather_rows", lambda where, rows, count, context: np.zeros((count, 2), np.float32))
    assert evaluate(run, out=tmp_path / "p.csv").path == tmp_path / "p.csv" and not (tmp_path / "p.csv").exists()
    with pytest.raises(CheckpointError, match="no such run folder"):
        evaluate(tmp_path / "gone")
