# SPDX-License-Identifier: Apache-2.0
"""Label tables: each clip keeps its own labels, each name its one spelling, and nothing goes without a word."""

import os

import numpy as np
import pytest

from mindface_eri.cli import main
from mindface_eri.datasets.label_import import import_table
from mindface_eri.datasets.labels import load_manifest, read_labels
from mindface_eri.errors import DataError


def write(folder, text, name="t.csv"):
    path = folder / name
    path.write_text(text)
    return path


def told(imported):
    return dict(imported.understood)


def people(folder, *names):
    """Media of several people with takes of the same names; each file says whose it is."""
    for name in names or [f"P0{person}/take{take}.mp4" for person in (1, 2, 3) for take in (1, 2)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def clips_of(out):
    """What file each clip of a folder is, by the first row's label."""
    return [clip.video and clip.video.read_text() for clip in load_manifest(out).clips]


def test_a_folder_before_an_id_tells_the_clips_of_people_apart(tmp_path, capsys):
    media, out = people(tmp_path / "m"), tmp_path / "o"
    words = ["--media", str(media), "--out", str(out)]
    table = write(tmp_path, "video;Joy\nP02/take1;1\nx/p03/take2.mp4;5\n")
    assert main(["labels", str(table), *words]) == 0
    assert clips_of(out) == ["P02/take1.mp4", "P03/take2.mp4"]
    assert [clip.id for clip in load_manifest(out).clips] == ["P02_take1", "P03_take2"]
    rows = "".join(f"P0{person}/take{take};{person}\n" for person in (1, 2, 3, 4) for take in (1, 2))
    table = write(tmp_path, f"video;Joy\n{rows}")
    found = import_table(table)
    assert len(found.ids) == 8 and found.labels[:, 0].tolist() == [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1], "no means"
    assert main(["labels", str(table), "--media", str(media), "--out", str(tmp_path / "all")]) == 0
    assert clips_of(tmp_path / "all") == [f"P0{p}/take{t}.mp4" for p in (1, 2, 3) for t in (1, 2)] + [None, None]
    capsys.readouterr()
    table = write(tmp_path, "video;Joy\nP02/take1;1\ntake2;5\n")
    assert main(["labels", str(table), *words]) == 1
    assert "row 3: take2 may be P01/take2.mp4, P02/take2.mp4, P03/take2.mp4" in capsys.readouterr().err
    table = write(media, "video;Joy\nP02/take1;1\nP03/take2;5\n")
    assert [clip.video.parent.name for clip in read_labels(table).clips] == ["P02", "P03"]


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


def test_a_rating_without_the_name_of_a_rater(tmp_path):
    found = import_table(write(tmp_path, "Coder;id;Joy\nA;1;1\n;1;5\nB;2;3\n"))
    assert found.labels.ravel().tolist() == [0.5, 0.5]
    assert told(found)["raters"] == "3 (one without a name, A, B); their mean counts"
    with pytest.raises(DataError, match="row 3.*has Joy in row 2 already, without the name of a rater too; mend 'Cod"):
        import_table(write(tmp_path, "Coder;id;Joy\n;1;1\n;1;5\nB;2;3\n"))
    with pytest.raises(DataError, match="row 3.*has Joy in row 2 already; where several.*--column rater=NAME"):
        import_table(write(tmp_path, "id;Joy\n1;1\n1;5\n"))


def test_spellings_of_one_name_are_one(tmp_path):
    rows = ["A;01;c1;Joy;1", "B;1;c1;joy;5", "a;1.0;c2; JOY;3", "b ;2;c2;joy;5", "A;2;c3;Fear;4"]
    found = import_table(write(tmp_path, "\n".join(["Coder;Person;id;Emotion;Rating", *rows]).replace("b ;2", "b ;1")))
    assert found.emotions == ("Joy", "Fear") and found.extra["Subject"] == ("01", "01", "2")
    np.testing.assert_allclose(found.labels[:2, 0], [0.5, 0.75])
    assert told(found)["raters"].startswith("2 (A, B)")


@pytest.mark.parametrize("name", ["id", "row_id", "rowID", "Nr", "Lfd. Nr.", "Count"])
def test_a_running_number_is_no_emotion(tmp_path, name):
    rows = "".join(f"{i};v{i};{i % 5 + 1}\n" for i in range(12))
    found = import_table(write(tmp_path, f"{name};video;Joy\n{rows}"))
    assert found.emotions == ("Joy",) and told(found)["also kept"] == name
    assert import_table(write(tmp_path, "video;Placid;Joy\na;1;2\nb;2;1\n")).emotions == ("Placid", "Joy")
    assert import_table(write(tmp_path, f"Sum;video\n{''.join(f'{i};v{i}{chr(10)}' for i in range(12))}")).emotions


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


def test_merged_cells_of_a_workbook_count_for_each_row(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Study", None, None], ["Subject", "id", "Joy"], ["p", "a", 1], [None, "b", 5], [None, "c", 2]):
        book.active.append(row)
    book.active.merge_cells("A1:C1")
    book.active.merge_cells("A3:A4")
    book.save(tmp_path / "b.xlsx")
    found = import_table(tmp_path / "b.xlsx")
    assert found.extra["Subject"] == ("p", "p", "") and "1 merged cells count for each of" in told(found)["table"]
    assert "1 clips name nobody (a blank is not who stands above it)" in told(found)["people"]
