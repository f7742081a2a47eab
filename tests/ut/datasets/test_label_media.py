# SPDX-License-Identifier: Apache-2.0
"""The media of a label table: found by name and folder, linked to, and never replaced without a word."""

import os

import pytest
from fixtures.labels import people, write

from mindface_eri.cli import main
from mindface_eri.datasets.label_import import import_table
from mindface_eri.datasets.labels import load_manifest, read_labels
from mindface_eri.errors import DataError


def test_an_id_that_fits_files_in_several_folders_is_told_once(tmp_path, caplog):
    table = write(people(tmp_path), "File_ID,Split,Joy\ntake1,train,1\ntake2,train,1\nP02_take2,train,1\n")
    assert read_labels(table).clips[2].video == tmp_path / "P02/take2.mp4"
    assert [record.message.partition("column 'File_ID': ")[2].partition(", /")[0] for record in caplog.records] == [
        f"id 'take1' fits several files ({tmp_path}/P01/take1.mp4"]
    assert "the first is taken; P01_take1 would mean that one; 2 ids are so" in caplog.text


def test_folders_that_are_not_there_do_no_harm_and_those_that_are_count(tmp_path):
    media = people(tmp_path / "m", "P01/a.mp4", "P02/b.mp4", "mp4/c.mp4", "wav/c.wav")
    table = write(tmp_path, "video;Joy\nC:\\old\\a.mp4;1\nP01/b.mp4;5\nmp4/c.mp4;2\n")
    assert main(["labels", str(table), "--media", str(media), "--out", str(tmp_path / "o")]) == 0
    manifest = load_manifest(tmp_path / "o")
    assert [clip.id for clip in manifest.clips] == ["a", "P01_b", "c"], "P01 is there, and has no b"
    assert [bool(clip.video) for clip in manifest.clips] == [True, False, True] and manifest.clips[2].audio
    with pytest.raises(DataError, match="row 2, column 'video': a may be v/a of row 3 or another clip"):
        import_table(write(tmp_path, "video;Joy\na;1\nv/a;2\n"))


def test_media_that_are_not_there_or_meant_twice_are_refused(tmp_path):
    table = write(tmp_path, "File;Joy\n7;0\n07;1\n")
    (tmp_path / "m").mkdir()
    words = ["labels", str(table), "--out", str(tmp_path / "o"), "--media"]
    assert main([*words, str(tmp_path / "none")]) == 1 and main([*words, str(tmp_path / "m")]) == 1
    (tmp_path / "m" / "007.mp4").touch()
    assert main([*words, str(tmp_path / "m")]) == 1
    assert not (tmp_path / "o").exists()


def test_a_folder_of_before_is_replaced_with_a_word_or_left(tmp_path, capsys):
    table, out = write(tmp_path, "id;Joy\na;1\nb;5\n"), tmp_path / "o"
    old, new = (people(tmp_path / name, "a.mp4", "b.mp4") for name in ("old", "new"))
    for media, said in ((old, None), (old, None), (new, f"| replaced | the link to {old}")):
        assert main(["labels", str(table), "--media", str(media), "--out", str(out)]) == 0
        shown = capsys.readouterr()
        assert (said or "wrote") in shown.out.replace("  ", "") and ("replaced" in shown.out) == bool(said)
        assert os.path.realpath(load_manifest(out).clips[0].video) == str(media / "a.mp4") and not shown.err
    assert main(["labels", str(table), "--out", str(out), "--scale", "0:5"]) == 0
    assert "the data_info.csv of 2 clips that was there" in capsys.readouterr().out
    before = (out / "data_info.csv").read_text()
    other = write(tmp_path, "id;Joy\nc;1\n", "other.csv")
    assert main(["labels", str(other), "--out", str(out)]) == 2
    assert "is a table of other clips; name another folder" in capsys.readouterr().err
    assert main(["labels", str(out / "data_info.csv"), "--out", str(out)]) == 2
    assert "is the table itself" in capsys.readouterr().err
    assert (out / "data_info.csv").read_text() == before
    (out / "media").unlink()
    (out / "media").mkdir()
    assert main(["labels", str(table), "--media", str(new), "--out", str(out)]) == 2
    assert "media is no link and stays" in capsys.readouterr().err
