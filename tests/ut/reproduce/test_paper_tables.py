# SPDX-License-Identifier: Apache-2.0
"""Every number of the paper's tables: which runs it is of, its interval, its deviation and what is published."""

import dataclasses

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.predictions import read_predictions, write_predictions
from mindface_eri.metrics import Jackknife, pearson
from mindface_eri.reproduce import paper, paper_tables
from mindface_eri.reproduce.paper_tables import PaperTable, PaperTables


def numbers(runs, labels, split="val", emotion=None, groups=None):
    """Mean over runs, their deviation, the interval of the mean, and each run's own."""
    columns = slice(None) if emotion is None else [emotion]
    values = [read_predictions(run / f"predictions_{split}.csv").values[:, columns] for run in runs]
    each = [pearson(value, labels[:, columns]).mean() for value in values]
    low, high = Jackknife(np.hstack(values), np.hstack([labels[:, columns]] * len(runs)), groups).interval()
    return np.mean(each), np.std(each, ddof=1) if len(each) > 1 else None, low[-1], high[-1], each


def build(protocol, **more):
    return {table.name: table for table in PaperTables(protocol, **more).build()}


def test_the_published_numbers_are_the_papers():
    """Yu et al. 2023: table 1, audio, video, both; table 2 by p_m; table 3; table 4, the test split."""
    assert paper.INPUTS == {"audio": 0.2972, "video": 0.3517, "both": 0.4439}
    assert paper.P_BOTH == {1.0: 0.4423, 0.9: 0.4439, 0.8: 0.4435}
    assert paper.FOLDS == (0.5103, 0.5186, 0.5300, 0.5310, 0.5168)
    assert paper.TEST == {"Adoration": 0.4271, "Amusement": 0.4668, "Anxiety": 0.4501, "Disgust": 0.3770,
                          "Empathic-Pain": 0.4091, "Fear": 0.4950, "Surprise": 0.4405, "mean": 0.4380}
    assert paper.CLIPS == {"train": 15806, "val": 4657, "test": 4604}
    assert paper.COLUMN == "paper (published)"


def test_table_1_is_of_each_branch_and_of_both(done, known_labels):
    table = build(done)["table_1"]
    assert table.title == "Table 1: inputs (validation split, mean Pearson)"
    assert table.headers == ["input", "mean Pearson", "deviation", "low", "high", "seed 0", "seed 1"]
    for row, stage in zip(table.rows, ("acoustic", "visual", "fusion", "features-FAU", "features-both",
                                       "multi-FAU+both")):
        mean, deviation, low, high, each = numbers([done.run(f"seed-{s}", stage) for s in (0, 1)], known_labels[10:16])
        assert row[1:] == pytest.approx([mean, deviation, low, high, *each], abs=1e-9)
    assert [row[0] for row in table.rows][:3] == ["audio", "video", "both"]
    assert table.notes[1].startswith("The rows after *both* are of feature sets, which other programs computed")


def test_wins_are_counted_seed_by_seed(done, known_labels):
    """In seed 0 audio is best; in seed 1 all branches together are, above both, which is above audio and video."""
    alone = dataclasses.replace(done, tables=(1,))

    def write(part, stage, noise):
        draw = np.random.default_rng(7).random((6, 7))
        write_predictions(done.run(part, stage) / "predictions_val.csv", [f"{i:05d}" for i in range(10, 16)], EMOTIONS,
                          (1 - noise) * known_labels[10:16] + noise * draw)

    write("seed-0", "acoustic", 0.02)
    write("seed-0", "visual", 0.6)
    write("seed-1", "multi-FAU+both", 0.01)
    notes = build(alone)["table_1"].notes
    assert notes[0] == "Both is above audio alone and video alone in 1 of 2 seeds."
    assert notes[1].endswith("a branch of each alone, then all branches fused, above both in 1 of 2 seeds.")
    write("seed-0", "acoustic", 0.6)
    write("seed-0", "visual", 0.02)
    assert build(alone)["table_1"].notes[0].endswith("in 1 of 2 seeds.")
    for branch in ("acoustic", "multi-FAU+both"):  # who is just as good is not above
        (done.run("seed-1", branch) / "predictions_val.csv").write_bytes(
            (done.run("seed-1", "fusion") / "predictions_val.csv").read_bytes())
    assert [note[-16:] for note in build(alone)["table_1"].notes] == ["in 0 of 2 seeds."] * 2


def test_table_1_says_where_a_branch_has_fewer_clips(done, known_labels):
    """Two of six clips have no sound; the others' numbers are of those four."""
    for seed in (0, 1):
        path = done.run(f"seed-{seed}", "acoustic") / "predictions_val.csv"
        table = read_predictions(path)
        write_predictions(path, table.ids[:4], table.emotions, table.values[:4])
    table = build(done)["table_1"]
    assert table.notes[1] == "Clips: audio 4, video 6, both 6. A branch alone leaves out those that lack its modality."
    wanted = numbers([done.run(f"seed-{s}", "acoustic") for s in (0, 1)], known_labels[10:14])
    assert table.rows[0][1:5] == pytest.approx(list(wanted[:4]), abs=1e-4)


def test_intervals_are_over_people_where_the_records_name_them(finish, make_records, known_labels, tmp_path):
    """Three people in the six validation clips, and in the four test clips, whose labels come from a bare table."""
    people = [f"s{i % 3}" for i in range(20)]
    records = make_records(tmp_path / "records", columns={"Country": ["PT"] * 20, "speakerID": people})
    protocol = finish(records, tables=(1, 4))
    write_predictions(tmp_path / "labels.csv", records.ids("test"), EMOTIONS, known_labels[16:])
    tables = build(protocol, test_labels=tmp_path / "labels.csv")
    runs = [protocol.run(f"seed-{s}", "visual") for s in protocol.seeds]
    wanted = numbers(runs, known_labels[10:16], groups=people[10:16])
    assert tables["table_1"].rows[1][1:5] == pytest.approx(list(wanted[:4]), abs=1e-4)
    assert wanted[2:4] != pytest.approx(numbers(runs, known_labels[10:16])[2:4], abs=1e-2)
    runs = [protocol.run(f"seed-{s}", "fusion") for s in protocol.seeds]
    wanted = numbers(runs, known_labels[16:], "test", groups=people[16:])
    assert tables["table_4"].rows[-1][1:5] == pytest.approx(list(wanted[:4]), abs=1e-4)
    independent = dataclasses.replace(protocol, group="none")
    wanted = numbers([protocol.run(f"seed-{s}", "visual") for s in protocol.seeds], known_labels[10:16])
    assert build(independent)["table_1"].rows[1][1:5] == pytest.approx(list(wanted[:4]), abs=1e-4)


def test_table_2_is_of_fusion_by_p(done, known_labels):
    table = build(done)["table_2"]
    assert table.title == "Table 2: modality dropout (validation split, mean Pearson)"
    assert table.headers[0] == "p_m" and table.notes == []
    for row, p, stage in zip(table.rows, ("1.0", "0.9", "0.8"), ("fusion-pm1.0", "fusion", "fusion-pm0.8")):
        mean, deviation, low, high, each = numbers([done.run(f"seed-{s}", stage) for s in (0, 1)], known_labels[10:16])
        assert row[0] == p
        assert row[1:] == pytest.approx([mean, deviation, low, high, *each], abs=1e-9)


def test_table_3_is_of_each_fold(done, known_labels):
    table = build(done)["table_3"]
    assert table.title == "Table 3: folds (held-out fold, mean Pearson)"
    assert table.headers == ["fold", "clips", "mean Pearson", "deviation", "low", "high"]
    scores = []
    for fold, row in enumerate(table.rows[:5]):
        run = done.run(f"fold-{fold}", "fusion")
        ids = read_predictions(run / "predictions_val.csv").ids
        mean, _, low, high, _ = numbers([run], known_labels[[int(name) for name in ids]])
        assert row == [str(fold + 1), len(ids), pytest.approx(mean), None, pytest.approx(low), pytest.approx(high)]
        scores.append(mean)
    assert table.rows[5] == ["mean", None, pytest.approx(np.mean(scores)), pytest.approx(np.std(scores, ddof=1)), None,
                             None]
    assert table.notes[0] == ("The clips of the training and validation splits, cut clip by clip: no column names "
                              "people.")
    assert table.notes[1].startswith("As in the paper a fold is the validation split of its training")


def test_table_4_is_of_each_emotion(done, known_labels):
    table = build(done)["table_4"]
    assert table.title == "Table 4: emotions (validation split, Pearson of both inputs)"
    assert table.headers == ["emotion", "Pearson", "deviation", "low", "high"]
    runs = [done.run(f"seed-{s}", "fusion") for s in (0, 1)]
    for e, row in enumerate(table.rows):
        mean, deviation, low, high, _ = numbers(runs, known_labels[10:16], emotion=e if e < 7 else None)
        assert row == [(*EMOTIONS, "mean")[e], *(pytest.approx(x, abs=1e-9) for x in (mean, deviation, low, high))]
    assert table.notes == [
        "On the validation split, for the labels of the test split are not known here.",
        "`ensemble/predictions.csv` holds the mean of the 5 folds' predictions of the test split, in the form of a "
        "submission.", "It has no score: its members were trained on the validation clips."]


def test_table_4_of_the_test_split_has_the_ensembles_scores(done, known_labels, tmp_path):
    write_predictions(tmp_path / "labels.csv", done.records.ids("test"), EMOTIONS, known_labels[16:])
    table = build(done, test_labels=tmp_path / "labels.csv")["table_4"]
    assert table.title == "Table 4: emotions (test split, Pearson of both inputs)"
    assert table.headers == ["emotion", "Pearson", "deviation", "low", "high", "ensemble of folds"]
    ensemble = read_predictions(done.out / "ensemble" / "predictions.csv").values
    scores = pearson(ensemble, known_labels[16:])
    for e, row in enumerate(table.rows):
        mean, deviation, low, high, _ = numbers([done.run(f"seed-{s}", "fusion") for s in (0, 1)], known_labels[16:],
                                                "test", e if e < 7 else None)
        wanted = [mean, deviation, low, high, np.append(scores, scores.mean())[e]]
        assert row[1:] == pytest.approx(wanted, abs=1e-4)
    assert len(table.notes) == 1


def test_the_published_column_is_last_in_each_table(done, monkeypatch):
    monkeypatch.setattr(paper, "CLIPS", {"train": 10, "val": 6, "test": 4})
    tables = build(done)
    assert {table.headers[-1] for table in tables.values()} == {"paper (published)"}
    last = {name: [row[-1] for row in table.rows] for name, table in tables.items()}
    assert last["table_1"][:3] == [0.2972, 0.3517, 0.4439]
    assert last["table_2"] == [0.4423, 0.4439, 0.4435]
    assert last["table_3"] == [0.5103, 0.5186, 0.53, 0.531, 0.5168, pytest.approx(0.52134)]
    assert last["table_4"] == [0.4271, 0.4668, 0.4501, 0.377, 0.4091, 0.495, 0.4405, 0.438]
    assert tables["table_4"].notes[0].endswith("not known here; the published figures are of the test split.")


def test_one_seed_has_no_deviation_and_no_column_of_its_own(finish):
    tables = build(finish(tables=(4, 1), seeds=(3,)))
    assert list(tables) == ["table_1", "table_4"]
    assert tables["table_1"].headers == ["input", "mean Pearson", "deviation", "low", "high"]
    assert [row[2] for row in tables["table_1"].rows] == [None] * 3
    assert len(tables["table_1"].notes) == 1
    assert tables["table_4"].notes == ["On the validation split, for the labels of the test split are not known here."]


def test_folds_by_group_say_so_and_another_number_of_folds_is_not_the_papers(finish, make_records, monkeypatch,
                                                                           tmp_path):
    monkeypatch.setattr(paper, "CLIPS", {"train": 10, "val": 6, "test": 4})
    records = make_records(tmp_path / "records", columns={"Subject": [f"s{i // 3}" for i in range(20)]})
    protocol = finish(records, tables=(3,), overrides=("data.folds=3",), group="Subject")
    table = build(protocol)["table_3"]
    assert [row[0] for row in table.rows] == ["1", "2", "3", "mean"]
    assert [row[-1] for row in table.rows] == [None] * 4
    assert table.notes[0].endswith("cut so that no Subject stands on two sides.")


def test_clips_that_could_not_be_used_have_a_row_in_the_ensemble(done):
    (done.records.path / "failures.csv").write_text(
        "id,split,stage,reason\n00091,val,video,x\n00090,test,video,x\n00092,test,sound,y\n")
    assert paper.failed_ids(done.records, "test") == ("00090", "00092")
    notes = build(done)["table_4"].notes
    assert notes[1].endswith("submission. 2 clips that preprocessing could not use have the mean of the others.")
    written = read_predictions(done.out / "ensemble" / "predictions.csv")
    assert written.ids == ("00016", "00017", "00018", "00019", "00090", "00092")
    np.testing.assert_allclose(written.values[4:], [written.values[:4].mean(0)] * 2, atol=1e-6)


@pytest.mark.parametrize("splits, known, title", [
    (["train"] * 10 + ["val"] * 6, False, "validation"), (["train"] * 10 + ["val"] * 6 + ["test"] * 4, True, "test")])
def test_the_test_split_is_scored_where_its_labels_are_known(finish, make_records, known_labels, tmp_path, splits,
                                                            known, title):
    records = make_records(tmp_path / "records", splits)
    if known:
        records.all_labels[16:] = known_labels[16:]
    table = build(finish(records, tables=(3, 4)))["table_4"]
    assert f"({title} split" in table.title
    assert ("ensemble of folds" in table.headers) == known
    assert not known or len(table.notes) == 1


def test_markdown_is_title_table_and_notes():
    table = PaperTable("t", "Title", ["a"], [["x"]], ["One.", "Two."])
    assert table.markdown() == "## Title\n\n| a   |\n| --- |\n| x   |\n\nOne.\n\nTwo."
    assert paper_tables.INPUTS == {"audio": "acoustic", "video": "visual", "both": "fusion"}
