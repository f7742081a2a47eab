# SPDX-License-Identifier: Apache-2.0
import csv
import json
import pickle
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from mindface_eri.datasets.build.preprocessing import preprocess_dataset
from mindface_eri.datasets.reading import read_rows
from mindface_eri.datasets.records import open_records
from mindface_eri.errors import DataError


@pytest.fixture
def copy(records_folder, tmp_path):
    return shutil.copytree(records_folder, tmp_path / "copy with a blank")


def test_raw_records_give_back_every_byte(tmp_path, tiny, extractor, corpus_writer, content):
    config = replace(tiny, storage="raw")
    corpus_writer(tmp_path / "data", range(6))  # clip 0 is black: bytes that are all zero
    preprocess_dataset(tmp_path / "data", tmp_path / "out", config, extractor=extractor, progress=False)
    records = open_records(tmp_path / "out")
    columns = ("frames", "mfcc", "present", "timestamps", "boxes", "detected", "landmarks", "labels")
    for i, record in enumerate(records.read(records.ids(), columns)):
        clip = content(i, config)
        for name in columns[:-1]:
            np.testing.assert_array_equal(record[name], getattr(clip, name), err_msg=name)
            assert record[name].dtype == getattr(clip, name).dtype
        np.testing.assert_array_equal(record["labels"], records.all_labels[i])
    assert i == 5


def test_without_opencv_the_crops_are_the_same(records_folder, monkeypatch):
    records = open_records(records_folder)
    with_it = [record["frames"] for record in records.read(records.ids(), ["frames"])]
    monkeypatch.setitem(sys.modules, "cv2", None)
    for frames, record in zip(with_it, records.read(records.ids(), ["frames"])):
        np.testing.assert_array_equal(record["frames"], frames)


def test_jpeg_records_are_close_and_the_rest_exact(records_folder, tiny, content):
    records = open_records(records_folder)
    for i, record in enumerate(records.read(records.ids(), ("frames", "mfcc", "present"))):
        clip = content(i, tiny)
        difference = np.abs(record["frames"].astype(int) - clip.frames)
        assert difference.mean() < 1.5 and difference.max() <= 12, "no crop touches its neighbours"
        np.testing.assert_array_equal(record["mfcc"], clip.mfcc)
        np.testing.assert_array_equal(record["present"], clip.present)


def test_what_the_folder_says(records_folder, tiny):
    records = open_records(records_folder)
    assert records.emotions == ("Joy", "Fear")
    assert records.preprocess == tiny
    assert records.splits == {"train": 24, "val": 8, "test": 8}
    assert records.ids("test")[:2] == ("00004", "00009")
    assert records.column("Subject", ids=["00004"]) == ("s1",) and records.column("Country")[0] == "A, B"
    assert records.table[4]["present_acoustic"] == "0" and records.table[4]["detector"] == "dlib"
    np.testing.assert_allclose(records.labels(ids=["00010", "00001"]), [[0.25, 1.0], [0.025, 1.0]], atol=1e-6)
    assert np.isnan(records.labels("test")).all()
    with pytest.raises(DataError, match="no column 'Age'"):
        records.column("Age")


@pytest.mark.parametrize("damage, message", [
    (lambda d: next(d.glob("records/*.mindrecord")).unlink(), "part or its index .* is missing"),
    (lambda d: next(d.glob("records/*.db")).unlink(), "part or its index .* is missing"),
    (lambda d: (d / "dataset.json").write_text("{}"), "not whole records"),
    (lambda d: (d / "dataset.json").write_text("[1"), "not whole records"),
    (lambda d: (d / "arrays.npz").unlink(), "not whole records"),
    (lambda d: (d / "clips.csv").write_text("id,split\n\0,x"), "preprocess again"),  # before 3.11 csv's own error
    (lambda d: (d / "arrays.npz").write_bytes(b"PK"), "not whole records"),
    (lambda d: (d / "clips.csv").write_text("id,split\n00000,train\n"), "clips.csv has 1 rows"),
    (lambda d: shutil.rmtree(d), "no records there"),
])
def test_damage_is_named(copy, damage, message):
    assert len(open_records(copy)) == 40
    damage(copy)
    with pytest.raises(DataError, match=message):
        open_records(copy)


def test_another_format_is_refused(copy):
    head = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**head, "format": 99}))
    with pytest.raises(DataError, match="format 99, this version reads format 1"):
        open_records(copy)


def test_scrambled_parts_give_a_data_error(copy):
    part = sorted(copy.glob("records/*.mindrecord"))[0]
    part.write_bytes(bytes(len(part.read_bytes())))
    records = open_records(copy)
    with pytest.raises(DataError, match="cannot be read"):
        list(records.read(records.ids()))


def rewrite_head(folder, **changes):
    head = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**head, **changes}))


def rewrite_table(folder, change):
    with open(folder / "clips.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    change(rows)
    with open(folder / "clips.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def rewrite_arrays(folder, **changes):
    with np.load(folder / "arrays.npz") as stored:
        arrays = {**stored, **changes}
    np.savez(folder / "arrays.npz", **arrays)


def rewrite_part(folder, **changes):
    part, *rest = json.loads((folder / "dataset.json").read_text())["parts"]
    rewrite_head(folder, parts=[{**part, **changes}, *rest])


def elsewhere(folder):
    """A part, whole, but not in the folder of parts."""
    part = sorted((folder / "records").glob("*.mindrecord"))[0]
    for suffix in ("", ".db"):
        shutil.copy(f"{part}{suffix}", f"{folder / part.name}{suffix}")
    rewrite_part(folder, name=f"../{part.name}")


@pytest.mark.parametrize("damage, message", [
    (elsewhere, "'../part-00000.mindrecord' is no part's name"),
    (lambda d: rewrite_part(d, name="sub/part-00000.mindrecord"), "is no part's name"),
    (lambda d: rewrite_part(d, bytes=7), r"bytes and \d+ of index, expected 7 and \d+; it was cut off: copy it again"),
    (lambda d: rewrite_part(d, index_bytes=7), "expected .* and 7; it was cut off"),
    (lambda d: rewrite_part(d, rows=31), "clips.csv has 40 rows, arrays.npz 40; preprocess again"),
    (lambda d: rewrite_arrays(d, labels=np.zeros((39, 2), np.float32)), "clips.csv has 40 rows, arrays.npz 39"),
    (lambda d: rewrite_arrays(d, labels=np.zeros((40, 3), np.float32)), r"labels, mean and deviation are .*expected"),
    (lambda d: rewrite_arrays(d, mfcc_mean=np.zeros(7, np.float32)), r"labels, mean and deviation are .*\(7,\)"),
    (lambda d: rewrite_arrays(d, mfcc_std=np.zeros(9, np.float32)), r"labels, mean and deviation are .*\(9,\)"),
    (lambda d: rewrite_head(d, emotions=["Joy", 1]), "a name or the hash is no text"),
    (lambda d: rewrite_head(d, extra=[1]), "a name or the hash is no text"),
    (lambda d: rewrite_head(d, hash=None), "a name or the hash is no text"),
    (lambda d: rewrite_head(d, preprocess={"frames": 0}), "not whole records .ConfigError"),
    (lambda d: rewrite_table(d, lambda rows: rows[3].__setitem__(1, "dev")), "clip '00002' has no split, or its row"),
    (lambda d: rewrite_table(d, lambda rows: rows[3].__setitem__(0, "")), "clip '' has no split, or its row"),
    (lambda d: rewrite_table(d, lambda rows: rows[3].append("more")), "clip '00002' has no split, or its row is not"),
    (lambda d: rewrite_table(d, lambda rows: rows[3].pop()), "clip '00002' has no split, or its row is not"),
    (lambda d: rewrite_table(d, lambda rows: rows[3].__setitem__(0, "00001")), "a clip stands there twice"),
])
def test_files_that_do_not_belong_together_are_refused(copy, damage, message):
    damage(copy)
    with pytest.raises(DataError, match=message):
        open_records(copy)


def test_an_unfinished_and_a_foreign_folder_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no records there .dataset.json is missing.; make them with"):
        open_records(tmp_path)
    (tmp_path / "plan.json").touch()
    with pytest.raises(DataError, match="preprocessing is not finished; run `mindface-eri preprocess ... --resume`"):
        open_records(tmp_path)


def test_clips_are_asked_for_by_split_and_by_id_in_any_order(records_folder):
    records = open_records(str(records_folder))
    assert records.ids() == tuple(f"{i:05d}" for i in range(40)) and len(records) == 40
    assert records.ids("val")[:2] == ("00003", "00007") and records.extra == ("Subject", "Country")
    assert records.path == records_folder and len(records.hash) == 64
    asked = ["00012", "00003", "00012"]
    rows = records.rows(asked)
    assert rows.tolist() == [12, 3, 12] and rows.dtype == np.int64
    np.testing.assert_array_equal(records.labels(ids=asked), records.all_labels[[12, 3, 12]])
    np.testing.assert_array_equal(records.labels("val"), records.all_labels[records.rows(records.ids("val"))])
    np.testing.assert_array_equal(records.labels(), records.all_labels)
    assert records.column("id", ids=asked) == tuple(asked) and len(records.column("Subject")) == 40
    read = list(records.read(asked))
    assert [list(clip) for clip in read] == [["frames", "mfcc", "present", "labels"]] * 3
    np.testing.assert_array_equal([clip["labels"] for clip in read], records.labels(ids=asked))
    with pytest.raises(DataError, match="2 of 3 ids are not in the records, first 'x'; see failures.csv there"):
        records.rows(["00001", "x", "y"])
    with pytest.raises(DataError, match="no clip in split 'dev'; there are 24 in 'train', 8 in 'val', 8 in 'test'"):
        records.ids("dev")
    none_of_val = replace(records, table=tuple(row for row in records.table if row["split"] != "val"))
    assert none_of_val.splits == {"train": 24, "test": 8}


def test_crops_go_where_they_are_wanted(records_folder):
    records = open_records(records_folder)
    wanted = next(records.read(["00003"], ["frames"]))["frames"]
    stored = next(read_rows(records.files, ["frames"], [3]))["frames"]
    out = np.zeros((4, 32, 32, 3), np.uint8)
    records.crops(stored, out)
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(records.crops(stored), wanted)
    raw = replace(records, preprocess=replace(records.preprocess, storage="raw"))
    flat, out = np.arange(4 * 32 * 32 * 3).astype(np.uint8), np.zeros((4, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(raw.crops(flat, out), flat.reshape(4, 32, 32, 3))
    np.testing.assert_array_equal(out, raw.crops(flat))
    for wrong in (stored[:9], flat):
        with pytest.raises(DataError, match="not a JPEG of 4 crops of 32 pixels"):
            records.crops(wrong)


def test_a_row_is_a_mapping_of_the_columns_of_clips_csv(records_folder):
    records = open_records(records_folder)
    with open(records_folder / "clips.csv", newline="", encoding="utf-8") as stream:
        told = list(csv.DictReader(stream))
    assert list(records.table) == told and list(records.table[3]) == list(told[3]) and "split" in records.table[3]
    assert {**records.table[3], "split": "x"} == {**told[3], "split": "x"} and records.table[3].get("none") is None
    assert records.table[3]["detector"] is records.table[4]["detector"], "held once"
    assert pickle.loads(pickle.dumps(records.table[3])) == told[3]
