# SPDX-License-Identifier: Apache-2.0
"""Predictions beside their labels: from tables, from the data set's folder, from a run's records, and its history."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from mindface_eri.config import Config, DataConfig, save_config
from mindface_eri.datasets.predictions import write_predictions
from mindface_eri.errors import DataError
from mindface_eri.evaluation import evaluator, runs
from mindface_eri.evaluation.runs import evaluate_run, read_history, read_scored

NAMES = ("Fear", "Joy")
TABLE = ("File_ID,Split,Fear,Joy,Country\n[d],Val,0.8,0.1,X\n[c],Test,0.6,0.2,Z\n[b],Val,0.4,,Y\n[a],Val,0.2,0.7,W\n"
         "[e],Val,,,V\n[f],Val,,0.3,U\n")


@pytest.fixture()
def run(tmp_path):
    """A run folder with predictions of its validation split."""
    folder = tmp_path / "my.run"
    folder.mkdir()
    write_predictions(folder / "predictions_val.csv", ["b", "d", "e"], NAMES, [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    (tmp_path / "l.csv").write_text(TABLE)
    return folder


def test_a_run_is_named_by_its_folder_and_a_table_by_its_stem(run, tmp_path):
    scored = read_scored(run, labels=tmp_path / "l.csv")
    assert (scored.name, scored.ids, scored.emotions) == ("my.run", ("b", "d", "e"), NAMES)
    np.testing.assert_allclose(scored.predictions, [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    np.testing.assert_allclose(scored.labels, [[0.4, np.nan], [0.8, 0.1], [np.nan, np.nan]])
    assert scored.columns == {"Split": ("Val", "Val", "Val"), "Country": ("Y", "X", "V")}
    assert scored.labelled.tolist() == [True, True, False]  # one known emotion is a label
    assert scored.notes == ("2 of the clips have a label and no prediction: left out",  # a and f; c is of another split
                            "1 of the clips have no label: left out")
    (run / "predictions_val.csv").rename(tmp_path / "other.csv")
    assert read_scored(tmp_path / "other.csv", labels=tmp_path / "l.csv").name == "other"


def test_the_split_chooses_the_table(run, tmp_path):
    write_predictions(run / "predictions_test.csv", ["c"], NAMES, [[0.9, 0.8]])
    scored = read_scored(run, "test", tmp_path / "l.csv")
    assert (scored.ids, scored.columns["Split"]) == (("c",), ("Test",))
    assert scored.notes == ()
    with pytest.raises(DataError, match=rf"my\.run: has no predictions_train\.csv; write it with `mindface-eri "
                                        rf"evaluate {run} --split train`"):
        read_scored(run, "train", tmp_path / "l.csv")


def test_without_a_column_split_all_labelled_clips_count(run, tmp_path):
    (tmp_path / "l.csv").write_text(TABLE.replace("Split", "Part"))
    assert read_scored(run, labels=tmp_path / "l.csv").notes[0].startswith("3 of the clips have a label and no pred")
    (tmp_path / "l.csv").write_text(TABLE.replace("Split", "SPLIT"))
    assert read_scored(run, labels=tmp_path / "l.csv").notes[0].startswith("2 of the clips have a label and no pred")


def test_a_half_answered_clip_is_answered(tmp_path):
    (tmp_path / "l.csv").write_text(TABLE)
    (tmp_path / "p.csv").write_text("File_ID,Fear,Joy\n[d],0.3,\n[a],,\n")
    scored = read_scored(tmp_path / "p.csv", labels=tmp_path / "l.csv")
    assert scored.ids == ("d",)
    np.testing.assert_array_equal(scored.predictions, [[0.3, np.nan]])
    (tmp_path / "p.csv").write_text("File_ID,Fear,Joy\n[d],0.3,0\n[y],0,0\n[z],0,0\n")
    with pytest.raises(DataError, match=rf"^p: clip y has no labels in {tmp_path / 'l.csv'} \(2 such clips\)$"):
        read_scored(tmp_path / "p.csv", labels=tmp_path / "l.csv")


def test_the_data_sets_folder_stands_for_its_table(run, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "labels.csv").write_text("File_ID,Joy,Fear\n[b],0.9,0.8\n[d],0.7,0.6\n[e],0.5,0.4\n")
    np.testing.assert_allclose(read_scored(run, labels=data).labels, [[0.8, 0.9], [0.6, 0.7], [0.4, 0.5]])
    (data / "data_info.csv").write_text(TABLE)
    assert read_scored(run, labels=data).columns["Country"] == ("Y", "X", "V")


def test_labels_of_the_records_that_a_run_was_trained_on(make_records, known_labels, monkeypatch, tmp_path):
    records = make_records(tmp_path, emotions=NAMES, columns={"Who": [f"s{i // 2}" for i in range(20)]})
    asked = []
    monkeypatch.setattr(runs, "open_records", lambda path: asked.append(path) or records)
    run = tmp_path / "run"
    run.mkdir()
    write_predictions(run / "predictions_val.csv", ["00012", "00010"], NAMES, [[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(DataError, match="run: has no config.yaml to find its records by; name the labels with"):
        read_scored(run)
    save_config(Config(data=DataConfig(records=str(tmp_path / "gone"))), run / "config.yaml")
    with pytest.raises(DataError, match=rf"its records \({tmp_path / 'gone'}\) are not there; name the labels with"):
        read_scored(run)
    save_config(Config(), run / "config.yaml")
    with pytest.raises(DataError, match=r"its records \(None\) are not there"):
        read_scored(run)
    assert asked == []
    save_config(Config(data=DataConfig(records=str(tmp_path))), run / "config.yaml")
    scored = read_scored(run)
    assert [Path(path) for path in asked] == [tmp_path]
    np.testing.assert_array_equal(scored.labels, known_labels[[12, 10], :2].astype(np.float64))
    assert scored.labels.dtype == np.float64
    assert scored.columns == {"split": ("val", "val"), "Who": ("s6", "s5")}
    assert scored.notes == ("4 of the clips have a label and no prediction: left out",)
    folds = DataConfig(records=str(tmp_path), folds=2, fold_as="val", fold_seed=1)  # half of all is held out
    save_config(Config(data=folds), run / "config.yaml")
    splits = runs.fold_splits(records, folds)
    assert read_scored(run).columns["split"] == (splits[12], splits[10])
    assert "train" in (splits[12], splits[10])  # the run's own cut, not the table's
    write_predictions(run / "predictions_val.csv", ["00012"], ("Joy", "Fear"), [[0.1, 0.2]])
    with pytest.raises(DataError, match="predicts Joy, Fear but its records have Fear, Joy; name the labels with"):
        read_scored(run)
    with pytest.raises(DataError, match="predictions_val.csv: is a table of predictions, not a run folder; name its "
                                        "labels with --labels"):
        read_scored(run / "predictions_val.csv")


def test_a_run_predicts_and_has_its_labels_beside_it(make_records, known_labels, monkeypatch, tmp_path):
    """What the network's evaluation gives is matched by ids, to its records or to a table of labels."""
    records = make_records(tmp_path, emotions=NAMES, columns={"Who": list("abcdefghijklmnopqrst")})
    calls = []

    def evaluate(run, given, split, *, device):
        calls.append((run, given, split, device))
        return types.SimpleNamespace(emotions=NAMES, ids=("00012", "00010"), path=None if given else Path("r/p.csv"),
                                     records=records, group=None, left_out=("1 of them: left out",),
                                     predictions=np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))

    monkeypatch.setattr(evaluator, "evaluate", evaluate)
    scored = evaluate_run("r")
    assert (scored.name, scored.ids) == ("r/p.csv", ("00012", "00010"))
    assert scored.predictions.dtype == np.float64
    np.testing.assert_array_equal(scored.labels, known_labels[[12, 10], :2].astype(np.float64))
    assert scored.columns == {"split": ("val", "val"), "Who": ("m", "k")}
    assert scored.notes == ("1 of them: left out",)  # the split that was predicted is all that there is
    (tmp_path / "l.csv").write_text("File_ID,Fear,Joy\n00010,0.5,0.6\n00012,0.7,0.8\n")
    scored = evaluate_run("r", "elsewhere", "test", labels=tmp_path / "l.csv", device="GPU")
    assert scored.name == "r"  # nothing was written beside other records
    np.testing.assert_array_equal(scored.labels, [[0.7, 0.8], [0.5, 0.6]])
    assert calls == [("r", None, "val", None), ("r", "elsewhere", "test", "GPU")]


def test_a_history_without_its_last_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(DataError, match=rf"{path}: cannot be read \(No such file.*\); is {tmp_path} a run folder\?"):
        read_history(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8 text; train again"):
        read_history(tmp_path)
    path.write_text('{"epoch": 3, "val_pearson": null, "val_pearson_by_emotion": {"Fear": null, "Joy": 0.5}}')
    (row,) = read_history(tmp_path)  # as a run writes NaN
    assert row["epoch"] == 3 and row["val_pearson"] != row["val_pearson"]
    assert row["val_pearson_by_emotion"]["Joy"] == 0.5 and np.isnan(row["val_pearson_by_emotion"]["Fear"])
    lines = [json.dumps({"epoch": epoch}) for epoch in (1, 2)]
    path.write_text("\n".join([*lines, '{"epo']))
    assert read_history(tmp_path) == [{"epoch": 1}, {"epoch": 2}]
    path.write_text("\n".join([lines[0], "{", lines[1]]))
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_history(tmp_path)
