# SPDX-License-Identifier: Apache-2.0
"""CSV files of features: time, units, gaps and columns by known numbers; what a set says of itself."""

import csv
import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets.feature_files import Layout, align, read_csv
from mindface_eri.datasets.feature_import import OTHER_COLUMNS, TIME_COLUMNS, add_features
from mindface_eri.datasets.feature_sets import features_folder, list_feature_sets, open_feature_set, stored_hash
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError, DataError

INSTANTS = np.arange(4.0)  # of each clip of the fake corpus, seconds


@pytest.fixture
def records(records_folder, tmp_path):
    return open_records(shutil.copytree(records_folder, tmp_path / "records"))


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def one(tmp_path, text):
    return write(tmp_path, {"a": text}) / "a.csv"


def add(tmp_path, records, text, ids=("00003",), **options):
    """The set `x` of some clips with one text, and what came back."""
    summary = add_features(write(tmp_path / "x", dict.fromkeys(ids, text)), records, progress=False, **options)
    return open_feature_set(records, summary.folder.name), summary


def test_alignment_off_the_grid():
    times, values = np.array([0.5, 1.5, 4.5]), np.array([[1.0, 100], [3, 0], [9, 30]])
    wanted = np.array([0, 0.75, 1.5, 2.4, 3.1, 5])
    linear = [[1, 100], [1.5, 75], [3, 0], [4.8, 9], [6.2, 16], [9, 30]]
    np.testing.assert_allclose(align(times, values, wanted), linear, rtol=1e-6)
    assert align(times, values, wanted, "nearest").tolist() == [[1, 100], [1, 100], [3, 0], [3, 0], [9, 30], [9, 30]]
    assert align(times[:2], values[:2], np.array([1.25, 9])).tolist() == [[2.5, 25], [3, 0]]


@pytest.mark.parametrize("unit, method, instants, wanted", [
    ("s", "linear", [0, 1, 2, 3], [0, 2, 4, 6]), ("ms", "linear", [0, 0.001, 0.002, 0.003], [0, 2, 4, 6]),
    ("s", "nearest", [0, 1.9, 2.1, 9], [0, 0, 8, 8]), ("ms", "linear", [0, 1, 2, 3], [0, 8, 8, 8]),
])
def test_a_layout_reads_by_its_unit_and_method(tmp_path, unit, method, instants, wanted):
    layout = Layout.of({"columns": ["y", "x"], "time_column": "t", "unit": unit, "method": method, "other": 1})
    assert layout == Layout(("y", "x"), "t", unit, method)
    read = layout.read(one(tmp_path, "t,x,y\n0,0,1\n4,8,1\n"), np.array(instants))
    np.testing.assert_allclose(read, [[1, x] for x in wanted], atol=1e-6)
    assert Layout(("x",), None) == Layout(("x",), None, "s", "linear")


def test_rows_without_times_lie_evenly_from_begin_to_last_instant(tmp_path):
    read = Layout(("x",), None).read(one(tmp_path, "x\n1\n2\n\n4\n"), np.array([0, 1, 2.5, 4]))
    np.testing.assert_allclose(read[:, 0], [1, 1.5, 2.5, 4])


def test_gaps_are_filled_over_time_not_over_rows(tmp_path):
    read = Layout(("x", "y"), "t").read(one(tmp_path, "t,x,y\n0,0,7\n1,nan,-inf\n4,8,3\n"), np.array([0, 1, 2, 4]))
    np.testing.assert_allclose(read, [[0, 7], [2, 6], [4, 5], [8, 3]])


def test_values_and_times_as_they_stand(tmp_path):
    times, values = read_csv(one(tmp_path, "b,t,a\n1,0.5,\n2, 7 ,inf\n"), ("a", "b"), "t")
    assert times.tolist() == [0.5, 7] and np.isnan(values[:, 0]).all() and values[:, 1].tolist() == [1, 2]
    times, values = read_csv(one(tmp_path, "b,t,a\n1,2,3\n1,1,4\n"), ("t",), None)
    assert times is None and values.tolist() == [[2], [1]]


@pytest.mark.parametrize("text, message", [
    ("t,x\n0,1\n", "row 1: no column 'a', 'b', 'c' ..., which the others have"),
    ("t,a,b,c\n0,1,2,3\n", "row 1: no column 'd', which the others have"),
    ("a,b,c,d\n0,1,2,3\n", "row 1: no column 't', which the others have"),
    ("t,a,b,c,d\n0,1,2,3,4\n2,1,2,3,4\n1,1,2,3,4\n", "row 4, column 't': time 1 does not come after 2; keep one row"),
    ("t,a,b,c,d\n0,1,2,3,4\ninf,1,2,3,4\n", "row 3, column 't': time inf does not come after 0"),
    ("t,a,b,c,d\n0,1,2,3,4\nnan,1,2,3,4\n", "row 3, column 't': time nan does not"),
    ("t,a,b,x,c,d\n0,1,2,w,3,4\n1,1,2,w,3,v\n", "row 3, column 'd': 'v' is not a number"),
])
def test_what_is_refused_of_a_file(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        Layout(("a", "b", "c", "d"), "t").read(one(tmp_path, text), INSTANTS)


def test_the_first_known_time_column_counts_and_what_tools_write_beside_is_no_feature(records, tmp_path):
    assert TIME_COLUMNS == ("timestamp", "frametime", "time", "start")
    others = ["Subject_ID", "segment_id", "file_id", "ID", "name", "file", "input", "Frame", "frame_id", "face_id",
              "confidence", "success", "end"]
    assert tuple(name.lower() for name in others) == OTHER_COLUMNS
    header = ["AU2", *others, "start", "Time", "AU1"]
    rows = [["1", *["word"] * len(others), "99", "0", "4"], ["3", *["word"] * len(others), "98", "2", "8"]]
    made, summary = add(tmp_path, records, "\n".join(map(",".join, [header, *rows])))
    assert summary.layout == Layout(("AU2", "start", "AU1"), "Time", "s", "linear")
    np.testing.assert_allclose(made.values[3], [[1, 99, 4], [2, 98.5, 6], [3, 98, 8], [3, 98, 8]])
    layouts = [add_features(tmp_path / "x", records, f"a{i}", columns=columns, progress=False).layout
               for i, columns in enumerate((["AU*"], ["*1", "Time"], ["au*", "[Ss]tart"]))]
    assert [layout.columns for layout in layouts] == [("AU2", "AU1"), ("Time", "AU1"), ("start",)]
    assert {layout.time_column for layout in layouts} == {"Time"}


@pytest.mark.parametrize("last, said, unit", [
    (90, "auto", "s"), (100, "auto", "ms"), (3000, "auto", "ms"), (3, "auto", "s"), (3000, "s", "s"), (3, "ms", "ms"),
])
def test_the_unit_is_guessed_from_the_clips_lengths_unless_said(records, tmp_path, last, said, unit):
    """Clips last 3 s: 31.6 times that tells seconds from milliseconds."""
    made, summary = add(tmp_path, records, f"time,x\n0,0\n{last},1\n", unit=said)
    assert summary.layout.unit == made.about["unit"] == unit
    assert made.values[3, 1, 0] == pytest.approx(min(1, (1000 if unit == "ms" else 1) / last), abs=1e-6)


def test_the_unit_is_that_of_most_clips_that_tell(records, tmp_path, capfd):
    ids = records.ids()
    texts = {ids[0]: "time,x\nnever,0\n", **dict.fromkeys(ids[1:3], "time,x\n0,0\n3000,1\n"),
             ids[4]: "time,x\n0,0\n3,1\n", **dict.fromkeys(ids[5:8], "time,x\n0,1\n"), ids[3]: "time,x\n0,0\n2500,1\n"}
    left = features_folder(records) / f".x.{os.getpid()}"  # of a killed process of the same number
    left.mkdir(parents=True)
    (left / "half.npy").touch()
    summary = add_features(write(tmp_path / "x", texts), records)
    assert summary.layout.unit == "ms" and (summary.present, summary.failed, summary.missing) == (7, 1, 32)
    shown = capfd.readouterr().err
    assert "features: 100%" in shown and "40/40" in shown
    assert not (summary.folder / "half.npy").exists()


def test_columns_are_those_of_most_files(records, tmp_path):
    ids = records.ids()
    texts = {**dict.fromkeys(ids[:2], "a,b\n1,2\n"), **dict.fromkeys(ids[2:5], "b,c\n1,2\n"), ids[5]: "c,x,b\n5,9,4\n"}
    summary = add_features(write(tmp_path / "x", texts), records, progress=False)
    made = open_feature_set(records, "x")
    assert summary.layout.columns == ("b", "c") and made.present.tolist() == [i in (2, 3, 4, 5) for i in range(40)]
    assert made.values[5].tolist() == [[4, 5]] * 4


def test_a_set_says_what_it_is_made_of(records, tmp_path):
    texts = {"00005": "time,x,y\n0,1,2\n3,4,2\n", "[00002]": "time,x,y\n0,5,6\n", "00001": "time,x\n0,1\n", "zz": ""}
    source = write(tmp_path / "fau-1", texts)
    write(source / "deep", {"00007": "time,x,y\n0,7,8\n", "[]": "x", "a:b": "y"})
    summary = add_features(source, records, method="nearest", progress=False)
    made = open_feature_set(records, "fau-1")
    assert summary.folder == records.path / "features" / "fau-1" == features_folder(records) / made.name
    assert (summary.present, summary.missing, summary.failed, summary.strangers) == (3, 36, 1, 3)
    digest = hashlib.sha256()
    for row in (2, 5, 7):
        digest.update(f"{row}:".encode() + np.asarray(made.values[row]).tobytes())
    assert made.about == {"format": 1, "columns": ["x", "y"], "time_column": "time", "unit": "s", "method": "nearest",
                          "clips": 3, "hash": digest.hexdigest(), "records": records.hash}
    assert made.hash == digest.hexdigest() and made.width == 2 and made.values.dtype == np.float32
    assert made.values[5].tolist() == [[1, 2], [1, 2], [4, 2], [4, 2]]
    assert np.flatnonzero(made.present).tolist() == [2, 5, 7]
    with open(summary.folder / "failures.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["id", "split", "stage", "reason"]
    assert rows[1] == ["00000", "train", "missing", "no file of this id"]
    assert rows[2][:3] == ["00001", "train", "features"] and "no column 'y'" in rows[2][3] and len(rows) == 38
    mean, std = made.statistics([5, 6, 7, 5])
    np.testing.assert_allclose(mean, [(2.5 + 7 + 2.5) / 3, 4], rtol=1e-6)
    np.testing.assert_allclose(std, [np.std([1, 1, 4, 4, 7, 7, 7, 7, 1, 1, 4, 4]), np.std([2, 8, 2])], rtol=1e-6)
    assert [value.tolist() for value in made.statistics([6])] == [[0, 0], [1, 1]]


def test_sets_are_listed_by_name_and_unfinished_ones_are_not(records, tmp_path):
    assert list_feature_sets(records) == ()
    for name in ("b", "a"):
        add(tmp_path, records, "x\n1\n", name=name)
    for name in (".c.123", "d"):
        (features_folder(records) / name).mkdir()
    (features_folder(records) / ".c.123" / "about.json").touch()
    assert list_feature_sets(records) == ("a", "b")
    with pytest.raises(DataError, match="no feature set 'd' .there: a, b.; add it with"):
        open_feature_set(records, "d")


@pytest.mark.parametrize("change, message", [
    ({"format": 2}, "do not fit together, or are of another version"),
    ({"columns": ["x", "y"]}, "do not fit together"),
    ({"records": "0" * 64}, "was made for other records; remove the folder"),
])
def test_sets_of_other_columns_versions_or_records_are_refused(records, tmp_path, change, message):
    made, summary = add(tmp_path, records, "x\n1\n")
    path = summary.folder / "about.json"
    path.write_text(json.dumps({**made.about, **change}))
    with pytest.raises(DataError, match=message):
        open_feature_set(records, "x")


@pytest.mark.parametrize("values, present, message", [
    (np.zeros((40, 4, 2), np.float32), 40, "do not fit together"), (np.zeros((40, 3, 1), np.float32), 40, "do not fit"),
    (np.zeros((40, 4, 1)), 40, "do not fit together"), (np.zeros((39, 4, 1), np.float32), 40, "do not fit together"),
    (np.zeros((39, 4, 1), np.float32), 39, "was made for other records"),
])
def test_arrays_of_another_shape_are_refused(records, tmp_path, values, present, message):
    _, summary = add(tmp_path, records, "x\n1\n")
    np.save(summary.folder / "values.npy", values)
    np.save(summary.folder / "present.npy", np.ones(present, bool))
    with pytest.raises(DataError, match=message):
        open_feature_set(records, "x")


def test_a_set_belongs_to_the_stored_records_whatever_the_view(records, tmp_path):
    view = fold_view(records, DataConfig(folds=2))
    made, _ = add(tmp_path, view, "x\n1\n")
    assert made.about["records"] == stored_hash(view) == records.hash != view.hash


@pytest.mark.parametrize("options, error, message", [
    ({"name": ""}, ConfigError, "feature set ''"), ({"name": "visual"}, ConfigError, "feature set 'visual'"),
    ({"name": "acoustic"}, ConfigError, "is none of frames, .*, visual, acoustic"),
    ({"name": "x\n"}, ConfigError, "feature set"), ({"method": "cubic"}, ConfigError, "method 'cubic'"),
    ({"columns": ["A*", "B"]}, DataError, "no column of features among x that fits A., B"),
])
def test_what_cannot_be_asked(records, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        add(tmp_path, records, "x\n1\n", **options)
    with pytest.raises(DataError, match="nowhere: no such folder of features"):
        add_features(tmp_path / "nowhere", records, progress=False)
    write(tmp_path / "broken", dict.fromkeys(records.ids()[:30], ""))
    with pytest.raises(DataError, match="none of the first 25 files can be read; the first: .*00000.csv: the table"):
        add_features(tmp_path / "broken", records, progress=False)
    assert not features_folder(records).exists()
