# SPDX-License-Identifier: Apache-2.0
"""Evaluation: which checkpoint on which clips, what is written where, and the scores."""

import dataclasses
import errno
import shutil
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.predictions import read_predictions
from mindface_eri.device.context import Context
from mindface_eri.errors import CheckpointError, ConfigError, DataError
from mindface_eri.evaluation import evaluator as module
from mindface_eri.evaluation.evaluator import EvaluationResult, evaluate
from mindface_eri.evaluation.runs import evaluate_run
from mindface_eri.runner import inference
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


def heard(records, split):
    """Ids of a split's clips but those without sound, which the records have every fifth time."""
    return tuple(clip for clip in records.ids(split) if int(clip) % 5 != 4)


def expected(run, records, split, which="best"):
    mfcc = np.stack([row["mfcc"] for row in records.read(heard(records, split), ("mfcc",))])
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
    assert (result.split, result.ids, result.emotions) == ("val", heard(mixed_records, "val"), ("Amusement", "Fear"))
    np.testing.assert_array_equal(result.labels, mixed_records.labels(ids=result.ids))
    assert len(result.ids) == 4 and result.left_out == ("1 of 5 val clips have no sound: left out",)
    table = read_predictions(run / "predictions_val.csv")
    assert result.path == run / "predictions_val.csv" and (table.ids, table.emotions) == (result.ids, result.emotions)
    np.testing.assert_allclose(table.values, result.predictions, atol=1e-6)
    assert sizes == [3] and result.records.path == mixed_records.path
    assert evaluate_run(run).notes == result.left_out


def test_what_is_asked_for_wins_over_the_recipe(run, mixed_records, sizes, tmp_path):
    result = evaluate(run, mixed_records, "test", batch_size=2, which="last", device="CPU", out=tmp_path / "t.csv")
    np.testing.assert_allclose(result.predictions, expected(run, mixed_records, "test", "last"), atol=1e-6)
    assert not np.allclose(result.predictions, expected(run, mixed_records, "test"), atol=1e-3)
    assert sizes == [2] and result.path == tmp_path / "t.csv" and not result.labelled
    assert read_predictions(tmp_path / "t.csv").ids == heard(mixed_records, "test")
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
    with pytest.raises(DataError, match=r"split 'test' has no clips in these records that eri_acoustic can use; they "
                                        r"hold train \(9\), val \(4"):
        evaluate(run, records, "test")


@pytest.mark.parametrize("given", [False, True])
def test_a_run_on_a_fold_is_scored_on_that_fold(given, mixed_config, drawn_run, replace, mixed_records, tmp_path):
    data = {"folds": 3, "fold": 1, "fold_seed": 4}
    config = replace(mixed_config, data=data)
    result = evaluate(drawn_run(tmp_path / "fold", config, 2), mixed_records.path if given else None, "test")
    cut = fold_view(mixed_records, config.data)
    assert result.ids == heard(cut, "test") != heard(mixed_records, "test")
    assert (result.labelled, result.records.hash) == (True, cut.hash)
    np.testing.assert_array_equal(result.labels, cut.labels(ids=result.ids))


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
    monkeypatch.setattr(inference, "gather_rows", lambda where, rows, count, context: np.zeros((count, 2), np.float32))
    assert evaluate(run, out=tmp_path / "p.csv").path == tmp_path / "p.csv" and not (tmp_path / "p.csv").exists()
    with pytest.raises(CheckpointError, match="no such run folder"):
        evaluate(tmp_path / "gone")


def test_a_run_that_cannot_be_written_to_is_scored_all_the_same(run, tmp_path, monkeypatch, caplog):
    codes = [errno.EROFS, errno.EACCES, errno.EROFS, errno.ENOSPC]

    def refuse(path, *_):
        raise OSError(codes.pop(0), "Read-only file system", str(path))

    monkeypatch.setattr(module, "write_predictions", refuse)
    for _ in range(2):
        result = evaluate(run)
        assert result.path is None and len(result.predictions) == len(result.ids)
        assert f"{run / 'predictions_val.csv'}: Read-only file system; the scores are made all the same" in caplog.text
    with pytest.raises(OSError):
        evaluate(run, out=tmp_path / "named.csv")  # asked for, so that it is no little thing
    with pytest.raises(OSError):
        evaluate(run)


def test_what_others_take_for_the_runs_own_stays_the_runs(run, mixed_records, tmp_path):
    """The last weights' validation, and other records, have tables of their own names."""
    own = evaluate(run, mixed_records, device="CPU")
    shutil.copy(run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt")
    last = evaluate(run / "checkpoints" / "last.ckpt", mixed_records, device="CPU")
    other = evaluate(run, dataclasses.replace(mixed_records, hash="other", path=tmp_path / "other"), device="CPU")
    assert [one.path.name for one in (own, last, other)] == [
        "predictions_val.csv", "predictions_val_last.csv", "predictions_val_other.csv"]
    assert evaluate(run / "checkpoints" / "last.ckpt", mixed_records, "test").path.name == "predictions_test.csv"
