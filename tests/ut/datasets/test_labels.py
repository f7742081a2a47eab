# SPDX-License-Identifier: Apache-2.0
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindface_eri.constants import EMOTIONS
from mindface_eri.datasets.labels import bracketed, load_manifest, manifest_from_paths, normalise_id, read_labels
from mindface_eri.errors import DataError

HEADER = "File_ID,Split," + ",".join(EMOTIONS) + ",Age,Country"


def write(folder, text, name="data_info.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode(encoding))
    return folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_reads_data_info(tmp_path):
    write(tmp_path, f"{HEADER}\n[00000],Train,1,0.5,0,0,0,0,0.25,33,ZA\n[00001],Val,0,1,0,0,0,0,0,,US\n"
                    "[00002],Test,,,,,,,,20,US\n")
    touch(tmp_path, "train/mp4/00000.mp4", "train/wav/00000.wav", "val/mp4/00001.mp4", "test/wav/00002.wav")
    manifest = read_labels(tmp_path)
    assert manifest.emotions == EMOTIONS and manifest.extra == ("Age", "Country")
    assert [clip.id for clip in manifest.clips] == ["00000", "00001", "00002"]
    assert [clip.split for clip in manifest.clips] == ["train", "val", "test"]
    np.testing.assert_array_equal(manifest.labels()[0], np.float32([1, 0.5, 0, 0, 0, 0, 0.25]))
    assert np.isnan(manifest.labels()[2]).all()
    assert dict(manifest.clips[1].extra) == {"Age": "", "Country": "US"}
    found = [(clip.video and clip.video.name, clip.audio and clip.audio.name) for clip in manifest.clips]
    assert found == [("00000.mp4", "00000.wav"), ("00001.mp4", None), (None, "00002.wav")]


def test_reads_the_muse_packaging(tmp_path):
    write(tmp_path, "File_ID," + ",".join(EMOTIONS) + "\n[1],1,0,0,0,0,0,0\n[2],0,1,0,0,0,0,0\n", "labels.csv")
    write(tmp_path, "id,hash,partition\n[2],x,devel\n[1],y,train\n[3],z,test\n", "partition.csv")
    touch(tmp_path, "train/mp4/1.mp4", "devel/mp4/2.mp4", "test/mp4/3.mp4")
    manifest = read_labels(tmp_path)
    assert {clip.id: clip.split for clip in manifest.clips} == {"1": "train", "2": "val", "3": "test"}
    assert manifest.clips[1].labels[1] == 1 and np.isnan(manifest.clips[2].labels).all()
    assert all(clip.video for clip in manifest.clips)
    write(tmp_path, "File_ID,A\n[9],1\n", "labels.csv")
    with pytest.raises(DataError, match=r"labels\.csv, row 2, column 'File_ID': id '9' is not in partition\.csv"):
        read_labels(tmp_path)


def test_own_tables_name_their_own_emotions(tmp_path):
    write(tmp_path, "\ufeffclip,Subject,split,Calm,Angry\na,s1,train,0.5,0\nb,s2,dev,0,1\n\n", "mine.csv")
    touch(tmp_path, "deep/down/a.webm", "b.flac")
    manifest = read_labels(tmp_path / "mine.csv")
    assert manifest.emotions == ("Calm", "Angry") and manifest.extra == ("Subject",)
    assert manifest.clips[0].video.suffix == ".webm" and manifest.clips[1].audio.suffix == ".flac"
    assert read_labels(tmp_path, label_columns=["Angry"]).emotions == ("Angry",)
    assert read_labels(tmp_path, label_columns=["Angry"]).extra == ("Subject", "Calm")
    with pytest.raises(DataError, match="no label column 'Sad'"):
        read_labels(tmp_path, label_columns=["Sad"])


@pytest.mark.parametrize("rows, message", [
    ("[0],Train,1,0,0,0,0,0,0,,\n[0],Val,1,0,0,0,0,0,0,,", r"row 3, column 'File_ID': id '0' stands already in row 2"),
    ("[../x],Train,1,0,0,0,0,0,0,,", r"row 2, column 'File_ID': id '\[\.\./x\]' is not a plain file name"),
    ("/etc/passwd,Train,1,0,0,0,0,0,0,,", "not a plain file name"),
    ("..,Train,1,0,0,0,0,0,0,,", "not a plain file name"),
    ("[],Train,1,0,0,0,0,0,0,,", "the id is empty"),
    ("[0],Trian,1,0,0,0,0,0,0,,", "row 2, column 'Split': split 'Trian' is unknown; expected one of train, val, test"),
    ("[0],Train,1,0,0,x,0,0,0,,", "row 2, column 'Disgust': label 'x' is not a number"),
    ("[0],Train,1,0,0,1.5,0,0,0,,", r"row 2, column 'Disgust': label 1\.5 is outside \[0, 1\]"),
    ("[0],Train,1,0,0,inf,0,0,0,,", "outside"),
    ("[0],Train,1,0,0,-0.1,0,0,0,,", "outside"),
    ("[0],Train,1,0", "row 2: 4 fields, the header has 11"),
    ("", "no rows"),
])
def test_broken_rows_are_named(tmp_path, rows, message):
    write(tmp_path, f"{HEADER}\n{rows}\n")
    with pytest.raises(DataError, match=message) as caught:
        read_labels(tmp_path)
    assert "data_info.csv" in str(caught.value)


@pytest.mark.parametrize("text, message", [
    ("", "empty"),
    ("\n\n", "empty"),
    (HEADER.replace(",", ";") + "\n[0];Train\n", "row 2: 2 fields, the header has 11"),
    (HEADER.replace(",", "\t") + "\n", "is no table"),
    ("Split,A\nTrain,1\n", "which column names the clips"),
    ("File_ID,A\n[0],x\n", "no column of numbers"),
    ("File_ID,Split,Age\n[0],Train,1\n", "no label column"),
    ("File_ID,Split,A,A\n[0],Train,1,1\n", "column 4 has the name 'A', which another has too"),
    ("File_ID,Split,A,\n[0],Train,1,1\n", "column 4 has no name"),
    ("File_ID,Split,A\n[0],Train,\0\n", "zero bytes"),
])
def test_broken_tables_are_named(tmp_path, text, message):
    write(tmp_path, text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path)


def test_what_is_no_table_is_refused(tmp_path):
    write(tmp_path, HEADER + "\n", encoding="utf-16")
    with pytest.raises(DataError, match="is no table"):
        read_labels(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_labels(tmp_path / "nowhere")
    with pytest.raises(DataError, match="found no table"):
        read_labels(write(tmp_path / "empty", "", "notes.txt"))


LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\:[]")
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda name: name.strip() == name and name not in (".", ".."))


@given(NAMES)
def test_ids_lose_and_regain_their_brackets(name):
    one = unicodedata.normalize("NFC", name)
    assert normalise_id(bracketed(name)) == normalise_id(name) == normalise_id(f" [{name}] ") == one


@given(NAMES, st.sampled_from(["/", "\\", "../", "\0", "\n", "C:"]))
def test_ids_never_leave_their_folder(name, bad):
    with pytest.raises(ValueError):
        normalise_id(f"{name}{bad}{name}")


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.from_regex("[A-Za-z0-9_]{1,8}", fullmatch=True),
                       st.tuples(st.sampled_from(["Train", "Val", "devel", "TEST"]), st.floats(0, 1, width=32)),
                       min_size=1, max_size=12))
def test_any_table_comes_back(table):
    with tempfile.TemporaryDirectory() as folder:
        manifest = read_labels(write(Path(folder), "File_ID,Split,Joy\n" + "".join(
            f"[{clip}],{split},{value!r}\n" for clip, (split, value) in table.items())))
    assert [clip.id for clip in manifest.clips] == list(table)
    np.testing.assert_array_equal(manifest.labels()[:, 0], np.float32([value for _, value in table.values()]))


def test_media_of_another_split_do_not_count(tmp_path):
    write(tmp_path, "File_ID,Split,Joy\n[1],Train,1\n[2],Val,1\n[x.mp4],Val,1\n")
    touch(tmp_path, "train/mp4/1.mp4", "val/mp4/1.mp4", "train/mp4/2.mp4", "val/x.mp4", "1.mov")
    first, second, third = read_labels(tmp_path).clips
    assert first.video == tmp_path / "train/mp4/1.mp4"
    assert second.video is None
    assert third.video == tmp_path / "val/x.mp4"


def test_folders_without_labels(tmp_path, caplog):
    touch(tmp_path, "a.mp4", "a.wav", "b.FLV", "sub/b.mp4", "c.flac", "notes.txt", "MANIFEST.csv", ".hidden.mp4")
    clips = {clip.id: clip for clip in load_manifest(tmp_path).clips}
    assert len(clips) == 4 and {clip.split for clip in clips.values()} == {"test"}
    assert clips["a"].audio.name == "a.wav" and clips["c"].video is None and "sub_b" in clips
    assert np.isnan(load_manifest(tmp_path).labels()).all()
    said, _ = caplog.messages  # once a call
    assert said == (f"{tmp_path}: no label table (looked for data_info.csv and labels.csv there): its 4 clips have no "
                    "labels and are of split test; MANIFEST.csv would be read were it named itself")
    assert manifest_from_paths([tmp_path / "notes.txt"]).clips[0].id == "notes", "a file that is named counts"
    with pytest.raises(DataError, match="no such file"):
        manifest_from_paths([tmp_path / "nothing.mp4"])
    with pytest.raises(DataError, match="no media file"):
        load_manifest(write(tmp_path / "docs", "x", "x.txt"))


@pytest.mark.parametrize("text, note", [
    ('{"note": "drawn", "seed": 1}', "drawn"), ("{}", ""), ("[", ""), ('{"note": 3}', "")])
def test_a_generated_corpus_says_what_it_is(tmp_path, text, note):
    write(tmp_path, "File_ID,Split,Joy\n1,Train,1\n")
    assert read_labels(tmp_path).note == ""
    (tmp_path / "corpus.json").write_text(text)
    assert read_labels(tmp_path).note == note


def test_fingerprint_follows_the_labels_not_the_place(tmp_path):
    table = "File_ID,Split,Joy,Subject\n[1],Train,0.5,s\n"
    here, there = (read_labels(write(tmp_path / name, table)).fingerprint() for name in "ab")
    assert here == there
    for other in (table.replace("0.5", "0.6"), table.replace("Train", "Val"), table.replace(",s\n", ",t\n")):
        assert read_labels(write(tmp_path / "c", other)).fingerprint() != here


def test_a_name_that_is_not_utf_8_gives_an_id_that_tables_can_hold(tmp_path):
    (tmp_path / "caf\udce9.mp4").touch()
    clip, = manifest_from_paths([tmp_path]).clips
    assert clip.id == "caf_" and clip.video.exists()
