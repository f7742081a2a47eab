# SPDX-License-Identifier: Apache-2.0
"""Label tables of the two packagings and of others: which column is what, in which order, and what is refused where."""

import math

import numpy as np
import pytest

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.labels import (
    EXTRA_COLUMNS,
    ID_COLUMNS,
    SPLIT_COLUMNS,
    ClipEntry,
    Manifest,
    bare_id,
    load_manifest,
    manifest_from_paths,
    normalise_id,
    read_labels,
)
from mindface_eri.errors import DataError


def write(folder, text, name="data_info.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def read(folder, text, **options):
    return read_labels(write(folder, text), **options)


def muse(folder, labels, partition):
    write(folder, labels, "labels.csv")
    return write(folder, partition, "partition.csv")


@pytest.mark.parametrize("name", EXTRA_COLUMNS)
def test_nothing_from_the_first_known_extra_column_on_is_an_emotion(tmp_path, name):
    for column in (name, name.title(), name.upper()):
        manifest = read(tmp_path, f"Site,File_ID,Note,Split,Joy,Awe,{column},Score\nZA,[1],n,Train,0.25,1,7,0.5\n")
        assert manifest.emotions == ("Joy", "Awe") and manifest.clips[0].labels == (0.25, 1.0)
        assert manifest.extra == ("Site", "Note", column, "Score")
        assert manifest.clips[0].extra == {"Site": "ZA", "Note": "n", column: "7", "Score": "0.5"}


def test_the_known_names_of_columns():
    assert EXTRA_COLUMNS == ("age", "country", "subject", "source_file", "gender", "sex", "speaker", "group")
    assert ID_COLUMNS == ("file_id", "fileid", "id", "clip", "clip_id", "filename", "file", "video")
    assert SPLIT_COLUMNS == ("split", "partition", "set", "subset", "fold")


@pytest.mark.parametrize("id_column", ["File_ID", "FILEID", "id", "Clip", "clip_id", "FileName", "file", "video"])
@pytest.mark.parametrize("split_column", ["Split", "PARTITION", "set", "subset", "fold"])
def test_id_and_split_by_any_of_their_names(tmp_path, id_column, split_column):
    clip, = read(tmp_path, f"{split_column},Joy,{id_column},Awe\ndevel,0.5,[7],0.25\n").clips
    assert (clip.id, clip.split, clip.labels, clip.extra) == ("7", "val", (0.5, 0.25), {})


def test_of_several_names_the_first_known_one_counts(tmp_path):
    manifest = read(tmp_path, "video,File_ID,fold,Split,id,Joy\nv,[7],test,Train,0,1\n")
    assert (manifest.clips[0].id, manifest.clips[0].split) == ("7", "train")
    assert manifest.emotions == ("id", "Joy") and manifest.extra == ("video", "fold")
    manifest = read(tmp_path, "ID,id,Split,Joy\n[7],x,Train,1\n")
    assert manifest.clips[0].id == "7" and manifest.extra == ("id",), "of two that differ in case, the first"


def test_emotions_stand_in_the_tables_order_and_named_ones_in_theirs(tmp_path):
    text = "File_ID,Split,Surprise,Adoration,Joy,Age\n[1],Train,0.25,0.5,1,30\n[2],Val,0.75,1,0,31\n"
    manifest = read(tmp_path, text)
    assert manifest.emotions == ("Surprise", "Adoration", "Joy")
    np.testing.assert_array_equal(manifest.labels(), np.float32([[0.25, 0.5, 1], [0.75, 1, 0]]))
    assert manifest.labels().dtype == np.float32 and len(manifest) == 2
    assert manifest.source == str(tmp_path / "data_info.csv")
    for wanted in (["Joy", "Surprise"], ["Surprise", "Joy"]):
        named = load_manifest(tmp_path, label_columns=wanted)
        assert named.emotions == tuple(wanted) and named.extra == ("Adoration", "Age")
        assert named.clips[1].labels == tuple({"Joy": 0.0, "Surprise": 0.75}[name] for name in wanted)


@pytest.mark.parametrize("cells, labels", [
    ("0,1", (0.0, 1.0)), (" 0.5 ,1e-3", (0.5, 0.001)), (",", None), (" , ", None), ("nan,NaN", None), ("NAN,", None),
])
def test_what_a_label_may_be(tmp_path, cells, labels):
    clip, = read(tmp_path, f"File_ID,Split,Joy,Awe\n[1],Train,{cells}\n").clips
    assert len(clip.labels) == 2
    assert clip.labels == labels if labels else all(math.isnan(value) for value in clip.labels)


@pytest.mark.parametrize("cells, known", [("0.5,nan", 0), (" ,0.25", 1)])
def test_what_is_known_of_a_clip_stays(tmp_path, cells, known):
    clip, = read(tmp_path, f"File_ID,Split,Joy,Awe\n[1],Train,{cells}\n").clips
    assert math.isnan(clip.labels[1 - known]) and clip.labels[known] == (0.5, 0.25)[known]


@pytest.mark.parametrize("cells, message", [
    ("0.5,1.0001", r"row 3, column 'Awe': label 1\.0001 is outside \[0, 1\]; scale the labels"),
    ("-0.0001,1", r"row 3, column 'Joy': label -0\.0001 is outside"),
    ("0.5,half", r"row 3, column 'Awe': label 'half' is not a number between 0 and 1"),
])
def test_what_a_label_may_not_be_is_named_by_row_and_column(tmp_path, cells, message):
    with pytest.raises(DataError, match=rf"data_info\.csv, {message}"):
        read(tmp_path, f"File_ID,Split,Joy,Awe\n[0],Train,1,1\n[1],Train,{cells}\n")


def test_ids_lose_brackets_and_blanks_only(tmp_path):
    rows = " [00000] ,Train,1\n[ 1 ], test ,1\n[2,VALID,1\n3],Dev,1\nx.mp4,val,1\n"
    manifest = read(tmp_path, f"File_ID,Split,Joy\n{rows}")
    assert [clip.id for clip in manifest.clips] == ["00000", "1", "[2", "3]", "x.mp4"]
    assert [clip.split for clip in manifest.clips] == ["train", "test", "val", "val", "val"]
    assert bare_id(" [ ] ") == "" and bare_id("a[1]") == "a[1]"
    assert normalise_id("...") == "..." and normalise_id("a b") == "a b" and normalise_id("a..b") == "a..b"
    for wrong in (".", "[..]", "a/b", "a\\b", "a:b", "a\x1fb"):
        with pytest.raises(ValueError, match="is not a plain file name"):
            normalise_id(wrong)
    for blank in ("", " ", "[]", "[ ]"):
        with pytest.raises(ValueError, match="the id is empty"):
            normalise_id(blank)


def test_doubled_clips_are_refused_though_written_otherwise(tmp_path):
    with pytest.raises(DataError, match=r"row 5, column 'File_ID': id '1' stands already in row 2; each clip may"):
        read(tmp_path, "File_ID,Split,Joy\n[1],Train,1\n[2],Train,1\n\n1,Val,1\n")


def test_the_muse_packaging_gives_every_clip_of_the_partition_one_split(tmp_path):
    folder = muse(tmp_path, "key,Joy,Awe,Age\n[2],0.25,1,30\n[1],0.5,1,40\n",
                  "key,Subject,part\n[1],s1,train\n[3],s2,test\n[2],s3,devel\n4,s4,Train\n")
    for name in ("train/mp4/1.mp4", "devel/mp4/2.mp4", "devel/wav/2.wav", "train/wav/3.wav", "test/mp4/3.mp4"):
        write((folder / name).parent, "", (folder / name).name)
    manifest = load_manifest(folder)
    assert manifest.emotions == ("Joy", "Awe") and manifest.extra == ("Age",)
    assert [(clip.id, clip.split) for clip in manifest.clips] == [("2", "val"), ("1", "train"), ("3", "test"),
                                                                  ("4", "train")]
    np.testing.assert_array_equal(manifest.labels()[:2], np.float32([[0.25, 1], [0.5, 1]]))
    assert np.isnan(manifest.labels()[2:]).all()
    assert [dict(clip.extra) for clip in manifest.clips] == [{"Age": "30"}, {"Age": "40"}, {"Age": ""}, {"Age": ""}]
    assert [(clip.video and clip.video.name, clip.audio and clip.audio.name) for clip in manifest.clips] == [
        ("2.mp4", "2.wav"), ("1.mp4", None), ("3.mp4", None), (None, None)]
    assert read_labels(folder / "labels.csv").clips == manifest.clips


def test_muse_labels_may_have_their_id_anywhere(tmp_path):
    folder = muse(tmp_path, "Joy,File_ID,Awe\n1,[1],0.5\n", "id,part\n[1],train\n[2],test\n")
    manifest = read_labels(folder)
    assert manifest.emotions == ("Awe",) and [clip.id for clip in manifest.clips] == ["1", "2"]
    assert manifest.extra == ("Joy",) and manifest.clips[1].extra == {"Joy": ""}


@pytest.mark.parametrize("partition, message", [
    ("id,part\n[1],train\n[1],test\n", r"partition\.csv, row 3, column 'id': id '1' stands there twice"),
    ("id,part\n[1],trian\n", r"partition\.csv, row 2, column 'part': split 'trian' is unknown; expected one of train"),
    ("id,part\n[/],train\n", r"partition\.csv, row 2, column 'id': id '\[/\]' is not a plain"),
    ("id,part\n[2],train\n", r"labels\.csv, row 2, column 'File_ID': id '1' is not in partition\.csv; add it there"),
])
def test_a_partition_that_does_not_fit_is_named(tmp_path, partition, message):
    with pytest.raises(DataError, match=message):
        read_labels(muse(tmp_path, "File_ID,Joy\n[1],1\n", partition))


def test_labels_twice_in_the_muse_packaging_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv, row 3, column 'File_ID': id '1' stands already in row 2"):
        read_labels(muse(tmp_path, "File_ID,Joy\n[1],1\n[1],0\n", "id,part\n[1],train\n"))


def test_which_table_of_a_folder_is_read(tmp_path):
    own = "File_ID,Split,{}\n[1],Train,1\n"
    write(tmp_path, own.format("Other"), "other.csv")
    assert read_labels(tmp_path).emotions == ("Other",)
    assert load_manifest(tmp_path / "other.csv").emotions == ("Other",)
    write(tmp_path, own.format("More"), "more.csv")
    with pytest.raises(DataError, match="found more.csv, other.csv; name the table itself"):
        read_labels(tmp_path)
    write(tmp_path, own.format("Muse"), "labels.csv")
    assert load_manifest(tmp_path).emotions == ("Muse",), "with a split of its own it needs no partition.csv"
    write(tmp_path, own.format("Abaw"))
    assert load_manifest(tmp_path).emotions == ("Abaw",)
    (tmp_path / "other.csv").rename(tmp_path / "OTHER.CSV")
    assert load_manifest(tmp_path / "OTHER.CSV").emotions == ("Other",)


def test_a_table_without_what_it_needs_says_what_there_is(tmp_path):
    with pytest.raises(DataError, match="which column names the clips. There are Split, Joy; say --column id=NAME"):
        read(tmp_path, "Split,Joy\nTrain,1\n")
    (tmp_path / "labels.csv").write_text("File_ID,Joy\n1,1\n")  # no other splits than MuSe's will do
    with pytest.raises(DataError, match=r"no column for the split; name one 'Split' \(found: File_ID, Joy; MuSe's lab"):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"no label column between 'Split' and the extra columns \(Joy, id, Split, Age"):
        read(tmp_path, "Joy,id,Split,Age\n1,[1],Train,1\n")
    with pytest.raises(DataError, match="row 1: no label column 'Sad'; found: id, Split, Joy"):
        read(tmp_path, "id,Split,Joy\n[1],Train,1\n", label_columns=["Joy", "Sad"])


def test_media_alone_are_unlabelled_clips_of_the_test_split(tmp_path):
    write(tmp_path / "m", "", "b.mp4")
    write(tmp_path / "m", "", "a.wav")
    manifest = manifest_from_paths([tmp_path / "m" / "b.mp4", tmp_path / "m" / "a.wav"], emotions=["Joy", "Awe"])
    assert [(clip.id, clip.split) for clip in manifest.clips] == [("b", "test"), ("a", "test")]
    assert (manifest.emotions, manifest.extra) == (("Joy", "Awe"), ())
    assert manifest.labels().shape == (2, 2) and np.isnan(manifest.labels()).all()
    assert manifest.source == f"{tmp_path}/m/b.mp4, {tmp_path}/m/a.wav"
    assert load_manifest(tmp_path / "m").emotions == EMOTIONS
    assert Manifest(("Joy",), ()).labels().shape == (0, 1)


def test_the_fingerprint_changes_with_all_but_the_files(tmp_path):
    def of(emotions=("A", "B"), columns=("X",), **changes):
        clip = {"id": "1", "split": "train", "labels": (0.5, 0.25), "extra": {"X": "x"}, **changes}
        return Manifest(emotions, (ClipEntry(**clip), ClipEntry("2", "val", (0.1, 0.2))), columns).fingerprint()

    same = of(video=tmp_path / "a.mp4", audio=tmp_path / "a.wav")
    others = [of(id="3"), of(split="test"), of(labels=(0.25, 0.5)), of(labels=(math.nan, 0.5)), of(extra={"X": "y"}),
              of(emotions=("B", "A")), of(columns=("Y",)), of(extra={"Y": "x"})]
    assert same == of() and len({same, *others}) == len(others) + 1


@pytest.mark.parametrize("ids", [("00001", "00001.mp4"), ("[00001.wav]", "00001"), ("a.mp4", "a.MKV"),
                                 ("\u00e9", "e\u0301"), ("e\u0301.m2ts", "[\u00e9]")])
def test_two_spellings_of_one_clip_are_a_double(tmp_path, ids):
    with pytest.raises(DataError, match=r"row 3, column 'File_ID': id .* stands already in row 2"):
        read(tmp_path, f"File_ID,Split,Joy\n{ids[0]},Train,1\n{ids[1]},Train,1\n")
    folder = muse(tmp_path / "muse", f"key,Joy\n{ids[0]},1\n", f"key,part\n{ids[0]},train\n{ids[1]},train\n")
    with pytest.raises(DataError, match=r"partition.csv, row 3.*stands there twice"):
        read_labels(folder)


@pytest.mark.parametrize("ids", [("00001", "00001.mp"), ("a.b", "a"), ("1", "01"), ("a", "A")])
def test_and_what_only_looks_like_it_is_none(tmp_path, ids):
    rows = "".join(f"{name},Train,1\n" for name in ids)
    assert [clip.id for clip in read(tmp_path, f"File_ID,Split,Joy\n{rows}").clips] == list(ids)


@pytest.mark.parametrize("label", ["0_1", "\uff11", "1e400", "inf", "0_0.5"])
def test_labels_that_python_alone_would_read(tmp_path, label):
    with pytest.raises(DataError, match="row 2, column 'Joy': label"):
        read(tmp_path, f"File_ID,Split,Joy\n1,Train,{label}\n")
