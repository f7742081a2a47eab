# SPDX-License-Identifier: Apache-2.0
"""Features of other programs: aligned by time, odd files answered one by one, columns of the training pipeline."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.config import DataConfig
from mindface_eri.datasets.feature_files import Layout, align
from mindface_eri.datasets.feature_import import add_features
from mindface_eri.datasets.feature_sets import list_feature_sets, open_feature_set
from mindface_eri.datasets.folds import fold_view
from mindface_eri.datasets.pipeline import create_dataset
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import ConfigError, DataError

INSTANTS = np.arange(4.0)  # of each clip of the fake corpus, seconds
GOOD = "timestamp,segment_id,AU01,AU02\n0,1,0,10\n1500,1,3,10\n3000,1,6,4\n"  # at 0, 1, 2, 3 s: AU01 is 2 t


@pytest.fixture
def records(records_folder, tmp_path):
    return open_records(shutil.copytree(records_folder, tmp_path / "records"))


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def all_clips(records, text=GOOD):
    return dict.fromkeys(records.ids(), text)


def test_alignment_by_hand():
    values = np.array([[0.0, 5.0], [10.0, 5.0], [20.0, 9.0]])
    times, wanted = np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.25, 2.0, 3.5, 9.0])
    assert align(times, values, wanted).tolist() == [[0, 5], [2.5, 5], [10, 5], [17.5, 8], [20, 9]]
    assert align(times, values, wanted, "nearest").tolist() == [[0, 5], [0, 5], [10, 5], [20, 9], [20, 9]]
    assert align(times[:1], values[:1], wanted).tolist() == [[0, 5]] * 5  # one row holds for the whole clip


def test_gaps_are_filled_from_their_neighbours_in_time(tmp_path):
    path = write(tmp_path, {"a": "t,x,y\n0,nan,1\n1,4,\n2,inf,3\n3,8,4\n"}) / "a.csv"
    read = Layout(("x", "y"), "t").read(path, INSTANTS)
    assert read.tolist() == [[4, 1], [4, 2], [6, 3], [8, 4]] and read.dtype == np.float32


def test_a_folder_as_the_challenges_ship_it(records, tmp_path):
    ids = records.ids()
    texts = {f"train/[{clip_id}]" if i % 2 else f"devel/{clip_id}": GOOD for i, clip_id in enumerate(ids[:-1])}
    for sub in ("train", "devel"):
        (tmp_path / "FAU" / sub).mkdir(parents=True)
    summary = add_features(write(tmp_path / "FAU", {**texts, "stranger": GOOD}), records, progress=False)
    assert (summary.present, summary.missing, summary.failed, summary.strangers) == (39, 1, 0, 1)
    features = open_feature_set(records, "FAU")
    assert features.about["columns"] == ["AU01", "AU02"] and features.about["unit"] == "ms" and features.width == 2
    np.testing.assert_allclose(features.values[0], [[0, 10], [2, 10], [4, 8], [6, 4]], atol=1e-6)
    assert features.present.tolist() == [True] * 39 + [False] and not features.values[39].any()
    assert list_feature_sets(records) == ("FAU",) and not list((records.path / "features").glob(".*"))


ODD = {
    "ragged": ("timestamp,segment_id,AU01,AU02\n0,1,2,3\n1000,1,2\n", "row 3: 3 fields, the header has 4"),
    "other column": ("timestamp,segment_id,AU01,AU04\n0,1,2,3\n1000,1,2,3\n", "no column 'AU02'"),
    "backwards": ("timestamp,segment_id,AU01,AU02\n0,1,2,3\n0,1,2,3\n", "row 3.*time 0 does not come after 0"),
    "words": ("timestamp,segment_id,AU01,AU02\n0,1,2,3\n1000,1,none,3\n", "row 3, column 'AU01': 'none'"),
    "no time": ("timestamp,segment_id,AU01,AU02\n0,1,2,3\n,1,2,3\n", "column 'timestamp': '' is not a number"),
    "nothing": ("timestamp,segment_id,AU01,AU02\n0,1,2,nan\n1000,1,2,\n", "'AU02' holds no number"),
    "empty": ("", "the table is empty"),
}


def test_each_odd_file_has_one_answer_and_stops_nothing(records, tmp_path):
    ids = records.ids()
    odd = dict(zip(ids[3:], ODD.values()))
    texts = {**all_clips(records), **{clip_id: text for clip_id, (text, _) in odd.items()}}
    texts[ids[1]] = "AU02,timestamp,segment_id,AU01\n7,0,1,5\n"  # another order of the same columns is none of them
    summary = add_features(write(tmp_path / "fau", texts), records, progress=False)
    assert (summary.failed, summary.present) == (len(ODD), 40 - len(ODD))
    with open(summary.folder / "failures.csv", newline="") as stream:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(stream)}
    for clip_id, (_, reason) in odd.items():
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(reasons[clip_id])
    features = open_feature_set(records, "fau")
    rows = records.rows(list(odd))
    assert not features.present[rows].any() and not features.values[rows].any()
    assert features.values[1].tolist() == [[5, 7]] * 4


def test_without_a_time_column_rows_lie_evenly(records, tmp_path):
    text = "frame, face_id, AU01_r, AU01_c\n0,0,0,1\n1,0,3,1\n2,0,6,1\n"  # as OpenFace writes names: after a blank
    summary = add_features(write(tmp_path / "x", all_clips(records, text)), records, columns=["*_r"], progress=False)
    assert summary.layout.columns == ("AU01_r",) and summary.layout.time_column is None
    assert open_feature_set(records, "x").values[5, :, 0].tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("texts, options, error, message", [
    ({"00000": GOOD}, {"name": "a/b"}, ConfigError, "letters, digits"),
    ({"00000": GOOD}, {"name": "mfcc"}, ConfigError, "choose one with --name"),
    ({"00000": GOOD}, {"unit": "min"}, ConfigError, "unit 'min'"),
    ({"nobody": GOOD}, {}, DataError, "none of 1 CSV files is named after a clip"),
    ({"00000": GOOD, "[00000]": GOOD}, {}, DataError, "both belong to clip 00000"),
    ({"00000": "timestamp,id\n0,1\n"}, {}, DataError, "no column of features"),
    ({"00000": GOOD}, {"columns": ["FAU*"]}, DataError, "that fits FAU"),
    ({"00000": "timestamp,a\n2,1\n1,1\n"}, {}, DataError, "none of 1 files can be used"),
])
def test_refusals_leave_nothing_behind(records, tmp_path, texts, options, error, message):
    with pytest.raises(error, match=message):
        add_features(write(tmp_path / "fau", texts), records, progress=False, **options)
    assert not list((records.path / "features").glob("*")) and not list((records.path / "features").glob(".*"))


def test_a_set_that_is_there_stays(records, tmp_path):
    source = write(tmp_path / "fau", all_clips(records))
    add_features(source, records, progress=False)
    with pytest.raises(DataError, match="is there already"):
        add_features(source, records, progress=False)


@pytest.mark.parametrize("damage, message", [
    (lambda folder: (folder / "about.json").unlink(), "no feature set 'fau' .there: none."),
    (lambda folder: (folder / "about.json").write_text("{"), "no whole feature set"),
    (lambda folder: (folder / "values.npy").unlink(), "no whole feature set"),
    (lambda folder: np.save(folder / "present.npy", np.ones(3, bool)), "do not fit together"),
    (lambda folder: (folder / "about.json").write_text(
        json.dumps({**json.loads((folder / "about.json").read_text()), "records": "x"})), "made for other records"),
])
def test_damage_is_named(records, tmp_path, damage, message):
    damage(add_features(write(tmp_path / "fau", all_clips(records)), records, progress=False).folder)
    with pytest.raises(DataError, match=message):
        open_feature_set(records, "fau")


@pytest.fixture
def numbered(records, tmp_path):
    """Records with a set whose one value is the clip's place, and which every fifth clip lacks."""
    texts = {clip_id: f"timestamp,n\n0,{i}\n" for i, clip_id in enumerate(records.ids()) if i % 5}
    add_features(write(tmp_path / "n", texts), records, progress=False)
    return records


def test_a_set_is_a_column_and_lengthens_present(numbered):
    columns = ("mfcc", "n", "present", "index")
    dataset = create_dataset(numbered, "train", batch_size=8, columns=columns, seed=3, num_shards=2, shard_id=1)
    seen = set()
    for batch in dataset.create_dict_iterator(num_epochs=1, output_numpy=True):
        assert batch["n"].shape == (8, 4, 1) and batch["n"].dtype == np.float32 and batch["present"].shape == (8, 3)
        places = numbered.rows(numbered.ids("train"))[batch["index"]]
        assert (batch["n"][:, 0, 0] == np.where(places % 5, places, 0)).all()
        assert (batch["present"][:, 2] == (places % 5 > 0)).all()
        seen |= set(batch["index"])
    assert len(seen) == 8  # one of two ranks, a whole batch
    with pytest.raises(DataError, match="labels, index.*, n"):
        create_dataset(numbered, "train", batch_size=8, columns=("m",))


def test_jitter_moves_a_set_as_it_moves_the_rest(records, tmp_path):
    texts = dict.fromkeys(records.ids(), "timestamp,n\n0,0\n3,3\n")  # its value is the instant, as is the time stamp
    add_features(write(tmp_path / "n", texts), records, progress=False)
    dataset = create_dataset(records, "train", batch_size=24, columns=("n", "timestamps"), seed=1, epoch=0,
                             augment=DataConfig(time_jitter=0.5))
    batch = next(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    np.testing.assert_array_equal(batch["n"][:, :, 0], batch["timestamps"])
    assert (batch["timestamps"] != INSTANTS).any()


def test_statistics_are_those_of_the_training_clips_that_have_it(numbered):
    features = open_feature_set(numbered, "n")
    places = [place for place in numbered.rows(numbered.ids("train")) if place % 5]
    mean, std = features.statistics(numbered.rows(numbered.ids("train")))
    np.testing.assert_allclose([mean[0], std[0]], [np.mean(places), np.std(places)], rtol=1e-6)


def test_a_fold_reads_the_same_set_with_statistics_of_its_own(numbered):
    view = fold_view(numbered, replace(DataConfig(), folds=3, fold=1))
    assert view.hash != numbered.hash
    features = open_feature_set(view, "n")
    places = [place for place in view.rows(view.ids("train")) if place % 5]
    assert features.statistics(view.rows(view.ids("train")))[0][0] == pytest.approx(np.mean(places))
